"""Runs the data API as a process of its own: `python -m services.data --database-url URL --metadata FILE --port N`."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import uvicorn

from server_core.access import observe_requests
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db.connection import wait_until_ready
from server_core.errors import ServerError
from server_core.metrics import process_registry
from server_core.observe import configure_logging
from server_core.serving import PROTOCOLS, Forwarded, Server
from server_core.wire import GraphQLService
from services.data.app import METADATA, create_app, create_service
from services.data.catalog.metadata import load_metadata

GRACE_SECONDS = 3
"""After a signal requests in flight get this long; the process is gone within five seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, reload on SIGHUP; return the exit code.

    What the command line does not say comes from settings.
    """
    given = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        settings = replace(
            settings,
            data=replace(settings.data, host=given.host or settings.data.host, port=given.port or settings.data.port),
        )
        if given.database_url:  # what settings say of another database is not about this one
            settings = replace(settings, database=replace(settings.database, direct_url=None))
        dsn = given.database_url or settings.database.connection_url
        if not dsn:
            print("error: --database-url or database.connection_url must name a database", file=sys.stderr)
            return 2
        configure_logging(settings.logging)
        load_metadata(given.metadata)
        registry = process_registry()
        service = create_service(settings, dsn, given.metadata, registry=registry)
        app = observe_requests(create_app(service), service="data", settings=settings, registry=registry)
        asyncio.run(_ready(dsn, settings, service))
    except ServerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    config = uvicorn.Config(
        Forwarded(app),
        host=settings.data.host,
        port=settings.data.port,
        loop="uvloop",
        **PROTOCOLS,
        ws_max_size=settings.gateway.body_limit_bytes,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        server = _Server(config)
        runner.run(_serve(server, app.state.reload))
    return 0 if server.started else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.data", description="GraphQL queries over a database.")
    parser.add_argument("--database-url", help="postgresql:// URL; default: setting database.connection_url")
    parser.add_argument("--metadata", type=Path, default=METADATA, help="what to show, in Hasura's metadata format")
    parser.add_argument("--host", help="address to listen on; default: setting data.host")
    parser.add_argument("--port", type=int, help="port to listen on; default: setting data.port")
    return parser


class _Server(Server):
    """Uvicorn without its signal handlers, which end the process by the signal once it is done."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve(server: uvicorn.Server, reload: Callable[[], Awaitable[object]]) -> None:
    """Serve until told to stop; SIGHUP reloads metadata and catalog."""
    reloads: set[asyncio.Future[object]] = set()

    def on_hangup() -> None:
        task = asyncio.ensure_future(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    await server.serve()


async def _ready(dsn: str, settings: Settings, service: GraphQLService) -> None:
    """Wait for the database and try the start once: what is wrong with the metadata is then one line, not a trace."""
    await wait_until_ready(
        dsn,
        retry_seconds=settings.database.connect_retry_seconds,
        timeout_seconds=settings.database.connect_timeout_seconds,
    )
    await service.start()
    await service.stop()


if __name__ == "__main__":
    raise SystemExit(main())
