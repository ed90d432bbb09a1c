"""Runs the gateway as a process of its own: `python -m services.gateway`."""

import contextlib
import sys

import uvicorn

from server_core.access import observe_requests
from server_core.config_loader import load_settings
from server_core.errors import ConfigError
from server_core.metrics import metrics_endpoint, process_registry
from server_core.observe import configure_logging
from server_core.serving import PROTOCOLS, Server
from server_core.tls import Certificate
from services.gateway.app import create_app
from services.gateway.upstream import actions_upstream, data_upstream

GRACE_SECONDS = 3
"""After a signal requests in flight get this long; the process is gone within five seconds."""


def main() -> int:
    """Serve until SIGINT or SIGTERM, then finish the requests in flight; return the exit code."""
    try:
        settings = load_settings()
        configure_logging(settings.logging)
        registry = process_registry()
        app = create_app(
            settings,
            data=data_upstream(settings),
            actions=actions_upstream(settings),
            beside={"/metrics": metrics_endpoint(registry)},
            registry=registry,
        )
        observe_requests(app, service="gateway", settings=settings, registry=registry)
        certificate = Certificate.of(settings.gateway)
    except ConfigError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        host=settings.gateway.host,
        port=settings.gateway.port,
        loop="uvloop",
        **PROTOCOLS,
        ws_max_size=settings.gateway.body_limit_bytes,
        timeout_keep_alive=settings.gateway.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the app's own layer reads them, and needs to see who asks
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
    )
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    raise SystemExit(main())
