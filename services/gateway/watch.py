"""What the upstreams say of themselves, every few seconds → who is there, in which version, with which schema.

Owned by app. One log line per change. An upstream that came back with another schema has the schemas learned anew; what
is in flight ends on the old one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server_core.errors import ServerError
from server_core.observe import server_version
from server_core.wire import GATEWAY_SIGN, GraphQLRequest, GraphQLService, ServiceStatus
from services.gateway.stitch import Owner

LOOK_SECONDS = 3.0
TOUCH_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
FRESH_SECONDS = 0.5
"""So old may be what `/ready` answers."""

_AWAY = ServiceStatus(ready=False)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How the upstreams are doing.

    Attributes:
        services: whether each answers, and its database.
        versions: those that are known, the gateway's own among them.
    """

    services: Mapping[str, bool]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether all answer."""
        return all(self.services.values())

    @property
    def mismatch(self) -> str | None:
        """A sentence about versions that differ; None if they do not."""
        if len(set(self.versions.values())) <= 1:
            return None
        named = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"The services are of different versions: {named}. Run all in the same."

    def document(self) -> dict[str, Any]:
        """Return what `/ready` answers."""
        document: dict[str, Any] = {
            "status": "ok" if self.ready else "unavailable",
            "services": dict(self.services),
            "versions": dict(self.versions),
        }
        if self.mismatch is not None:
            document["mismatch"] = self.mismatch
        return document


class Watch:
    """Looks after the upstreams while it runs.

    Args:
        services: the upstreams.
        on_schemas: called with the digests of all schemas whenever all upstreams tell theirs; returns at once.
        look_seconds: pause between two looks.
        touch_seconds: pause between two signs to the actions that the way in is open.
    """

    def __init__(
        self,
        services: Mapping[Owner, GraphQLService],
        *,
        on_schemas: Callable[[Mapping[Owner, str]], None],
        look_seconds: float = LOOK_SECONDS,
        touch_seconds: float = TOUCH_SECONDS,
    ) -> None:
        self._services = services
        self._on_schemas = on_schemas
        self._look_seconds = look_seconds
        self._touch_seconds = touch_seconds
        self._versions = {"gateway": server_version()}
        self._away: set[Owner] = set()
        self._turn = asyncio.Lock()
        self._looked_at = float("-inf")
        self._said: str | None = None
        self.report = Report(services=dict.fromkeys(map(str, services), False))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look and touch for as long as the context is entered."""
        tasks = [
            asyncio.create_task(self._look_on(), name="gateway watch"),
            asyncio.create_task(self._touch(), name="gateway touch"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> Report:
        """Ask all upstreams, unless somebody did just now; return what they say."""
        async with self._turn:
            if time.monotonic() - self._looked_at >= FRESH_SECONDS:
                self.report = await self._ask()
                self._looked_at = time.monotonic()
            return self.report

    def away(self, owner: Owner, reason: str) -> None:
        """Take notice that an upstream cannot be reached."""
        if owner not in self._away:
            self._away.add(owner)
            _log.warning("The %s service is away: %s", owner, reason)

    def back(self, owner: Owner) -> None:
        """Take notice of an answer; costs nothing while all is well."""
        if owner in self._away:
            self._away.discard(owner)
            _log.info("The %s service answers again.", owner)

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                _log.exception("The services could not be looked after.")
            await asyncio.sleep(self._look_seconds)

    async def _ask(self) -> Report:
        answers = await asyncio.gather(*map(self._status, self._services))
        statuses = dict(zip(self._services, answers, strict=True))
        # Of one that is away its last version is remembered: nothing is solved by its absence.
        self._versions |= {str(owner): status.version for owner, status in statuses.items() if status.version}
        report = Report(
            services={str(owner): status.ready for owner, status in statuses.items()}, versions=dict(self._versions)
        )
        if report.mismatch != self._said:
            self._said = report.mismatch
            if report.mismatch is None:
                _log.info("The services are of one version now: %s.", self._versions["gateway"])
            else:
                _log.warning("%s", report.mismatch)
        if all(status.schema for status in statuses.values()):
            self._on_schemas({owner: status.schema for owner, status in statuses.items()})
        return report

    async def _status(self, owner: Owner) -> ServiceStatus:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status = await self._services[owner].status()
        except Exception as error:  # whatever it is, the service cannot be used
            self.away(owner, error.message if isinstance(error, ServerError) else str(error) or type(error).__name__)
            return _AWAY
        self.back(owner)
        return status

    async def _touch(self) -> None:
        """Show the actions again and again that clients can come in, for they may all be silent."""
        while True:
            await asyncio.sleep(self._touch_seconds)
            with contextlib.suppress(Exception):  # that they are away is the other task's to say
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._services[Owner.ACTIONS].execute(GraphQLRequest(query=GATEWAY_SIGN, read_only=True))
