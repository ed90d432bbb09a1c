"""A coroutine → a process that ends well. Called by start, services and dev for everything that runs until stopped.

    SIGTERM, SIGINT, SIGHUP   stop accepting, finish requests in flight, stop the loops, close the pools: exit code 0
    SIGHUP with `on_hangup`   do that work instead, and go on
    SIGINT after one of them  exit at once, with code 130
    after DEADLINE_SECONDS    whatever is still open is cut: a stop never takes longer than 5 s

However it ends, what was registered with `at_exit` (the embedded Postgres) is stopped.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvicorn

from server_core.config import Settings
from server_core.errors import ConfigError
from server_core.serving import PROTOCOLS, Forwarded, Server
from server_core.tls import Certificate

T = TypeVar("T")
logger = logging.getLogger(__name__)

GRACE_SECONDS = 3
"""How long requests in flight may take to finish."""

DEADLINE_SECONDS = 4.3
"""How long a stop may take altogether, without the work of `at_exit`."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """The process was asked to stop before it was ready."""


class Lifetime:
    """What the process was asked: to run, or to stop.

    Attributes:
        stopping: set once a stop was asked for.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.at_exit: list[Callable[[], None]] = []
        self._alongside: list[asyncio.Task[None]] = []
        self._deadline: asyncio.TimerHandle | None = None

    def alongside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run endless work beside the main one, for as long as that runs."""
        self._alongside.append(asyncio.create_task(work))

    def on_hangup(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Let SIGHUP do this work from now on, instead of stopping the process."""
        tasks: set[asyncio.Task[object]] = set()

        def hang_up() -> None:
            task = asyncio.create_task(work())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """Return what `work` returns; when a stop is asked for first, cancel it.

        Raises:
            Stopped: a stop was asked for.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            raise Stopped
        return task.result()

    async def serve(
        self,
        app: Any,
        sockets: list[socket.socket],
        *,
        settings: Settings,
        keep_alive_seconds: int,
        message_limit_bytes: int,
        on_ready: Callable[[], None],
        certificate: Certificate | None = None,
        proxy_headers: bool = True,
    ) -> None:
        """Answer HTTP and WebSockets on bound sockets until a stop is asked for and the requests in flight are done.

        The app's lifespan is the caller's to enter, so that what fails in it is an ordinary exception.

        Args:
            app: answers.
            sockets: bound, not listening yet.
            settings: of the process.
            keep_alive_seconds: when idle connections are closed.
            message_limit_bytes: largest message on a WebSocket.
            on_ready: called when connections are accepted.
            certificate: speak HTTPS with it; SIGHUP reads it anew.
            proxy_headers: believe `X-Forwarded-*` from this machine; not for an app that judges by itself.
        """
        if certificate is not None:
            self.on_hangup(lambda: _reload(certificate))
        config = uvicorn.Config(
            Forwarded(app) if proxy_headers else app,
            **PROTOCOLS,
            ws_max_size=message_limit_bytes,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=GRACE_SECONDS,
            proxy_headers=False,
            ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        server = _Server(config, on_ready)
        serving = asyncio.ensure_future(server.serve(sockets))
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            server.should_exit = True
        try:
            await serving
        except OSError as error:
            # Two that start at the same moment may both bind; only one of them gets to listen.
            if error.errno == errno.EADDRINUSE:
                raise _in_use(*sockets[0].getsockname()[:2]) from None
            raise

    @asynccontextmanager
    async def serving(self, app: Any, sockets: list[socket.socket], **options: Any) -> AsyncIterator[Awaitable[None]]:
        """Serve for the length of a block, which is given what ends when the serving does; see serve.

        Raises:
            ConfigError: the port is in use after all.
        """
        listening = asyncio.Event()
        task = asyncio.ensure_future(self.serve(app, sockets, on_ready=listening.set, **options))
        task.add_done_callback(lambda _: self.stop())  # whoever waits for the database need not wait any longer
        try:
            await self.unless_stopped(listening.wait())
            yield task
        except BaseException:
            self.stop()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(ended, ConfigError):
                raise ended from None
            raise
        await task

    def stop(self) -> None:
        """Ask for a stop, as SIGTERM does. To be called in the event loop."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._deadline = asyncio.get_running_loop().call_later(DEADLINE_SECONDS, self._on_deadline)

    def _close(self) -> None:
        # Once more after an impatient second signal: each of these waits for the first call and then does nothing.
        for stop in reversed(self.at_exit):
            stop()

    def _leave(self, code: int) -> None:
        try:
            self._close()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _on_signal(self, number: int) -> None:
        # Only a person is impatient: what stops services may well send SIGTERM to a process and again to its group.
        if self.stopping.is_set() and number == signal.SIGINT:
            logger.warning("interrupted while stopping: leaving at once")
            self._leave(130)
        self.stop()

    def _on_deadline(self) -> None:
        logger.warning("not everything stopped in time: leaving what is left")
        self._leave(0)


async def _reload(certificate: Certificate) -> None:
    try:
        certificate.reload()
    except ConfigError as error:
        logger.warning("the old certificate stays: %s", error.message)
    else:
        logger.info("the certificate was read anew")


class _Server(Server):
    """Uvicorn without its signal handlers, saying when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def run(main: Callable[[Lifetime], Awaitable[None]]) -> None:
    """Run a coroutine function as the work of this process; returns when it is done or was stopped.

    Raises:
        ServerError: what `main` raised; everything was closed before.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_supervise(main))


async def _supervise(main: Callable[[Lifetime], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    lifetime = Lifetime()
    for number in SIGNALS:
        loop.add_signal_handler(number, lifetime._on_signal, number)
    try:
        await main(lifetime)
    except Stopped:
        pass
    finally:
        for task in lifetime._alongside:
            task.cancel()
        if lifetime._deadline is not None:  # what is left has its own time
            lifetime._deadline.cancel()
        await asyncio.to_thread(lifetime._close)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # a platform without it
        return None
    return uvloop.new_event_loop


def bind(host: str, port: int, *, key: str) -> list[socket.socket]:
    """Take the addresses of a host and port, before anything else is started.

    Args:
        host: name or address; a name that means several addresses is bound to each.
        port: port, or 0 for any free one.
        key: the setting's section, for the message.

    Raises:
        ConfigError: the port is in use, or the host is not one of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:  # the latter for what cannot be a name at all
        raise ConfigError(f"{key}.host: {host!r} is not an address of this machine ({error})") from None
    bound: list[socket.socket] = []
    problem: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address[0], bound[0].getsockname()[1] if bound else port, *address[2:]))
        except OSError as error:
            listener.close()
            problem = error
        else:
            bound.append(listener)
    if problem is not None and (not bound or problem.errno == errno.EADDRINUSE):
        for listener in bound:
            listener.close()
        if problem.errno == errno.EADDRINUSE:
            raise _in_use(host, port)
        raise ConfigError(f"{key}: cannot listen on {host}:{port} ({problem.strerror})") from None
    return bound


def _in_use(host: str, port: int) -> ConfigError:
    return ConfigError(f"Port {port} on {host} is in use: stop what listens there, or choose another with --port.")


def url_of(sockets: Sequence[socket.socket], *, scheme: str = "http", path: str = "") -> str:
    """Return the URL at which this machine reaches bound sockets."""
    host, port = sockets[0].getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}{path}" if ":" in host else f"{scheme}://{host}:{port}{path}"
