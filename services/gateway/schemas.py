"""Turns two running upstreams into the stitched schema, however long they take to appear. Owned by app.

Watch tells which schemas the upstreams have; when one differs from what was learned, they are asked anew. Requests are
answered on the old schema until the new one is complete, and a failure leaves the old one in force.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from graphql import get_introspection_query

from server_core.documents.memory import Stats
from server_core.errors import Unavailable
from server_core.memory import resettle
from server_core.wire import GraphQLRequest, GraphQLService
from services.gateway.document import Documents
from services.gateway.introspection import Introspector
from services.gateway.refusal import INTERNAL, Refusal
from services.gateway.stitch import Owner, StitchedSchema, stitch

RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
_QUERY = get_introspection_query(descriptions=True)
_log = logging.getLogger(__name__)


class Schemas:
    """Learns the schema by asking both upstreams for theirs, every second until it works.

    Args:
        services: the upstreams.
        documents: plans documents against the schema.
        retry_seconds: pause between attempts.
        patience_seconds: how long a request waits for the schema before it is refused.
    """

    def __init__(
        self,
        services: Mapping[Owner, GraphQLService],
        *,
        documents: Callable[[StitchedSchema], Documents],
        retry_seconds: float = RETRY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._services = services
        self._documents = documents
        self._retry_seconds = retry_seconds
        self._patience_seconds = patience_seconds
        self._known = asyncio.Event()
        self._stale = asyncio.Event()
        self._digests: Mapping[Owner, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._current: tuple[Documents, Introspector] | None = None

    def start(self) -> None:
        """Begin to ask the upstreams, in the background."""
        self._stale.set()
        self._task = asyncio.create_task(self._keep_learned(), name="gateway schema")

    async def stop(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def plans(self) -> tuple[Stats, int] | None:
        """Return how useful the remembered plans are, and how many there are; None while no schema is known."""
        if self._current is None:
            return None
        documents = self._current[0]
        return documents.stats, len(documents)

    @property
    def known(self) -> tuple[Documents, Introspector] | None:
        """What the schema is good for; None while it is not known."""
        return self._current

    async def current(self) -> tuple[Documents, Introspector]:
        """Return what the schema is good for: planning documents, and answering questions about itself.

        Raises:
            Refusal: the schema is still not known; status 503, to be sent again.
        """
        if self._current is None:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._known.wait()
            except TimeoutError:
                pass
        if self._current is None:
            raise Refusal.plain(
                "The server is starting: its services cannot be reached yet. Try again in a few seconds.",
                code=INTERNAL,
                status=503,
                headers=[("retry-after", "3")],
            )
        return self._current

    def notice(self, digests: Mapping[Owner, str]) -> None:
        """Take notice of which schemas the upstreams have now; does nothing if they are those that were learned."""
        if self._known.is_set() and any(digests[owner] != digest for owner, digest in self._digests.items()):
            self._stale.set()

    async def _keep_learned(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            await self._insist()

    async def _insist(self) -> None:
        complained: str | None = None
        while True:
            try:
                await self._learn()
                return
            except Exception as error:  # whatever an upstream does, the gateway keeps trying
                reason = str(error) or type(error).__name__
                # That an upstream is away is said by who watches it.
                if reason != complained and not isinstance(error, Unavailable):
                    _log.warning("Waiting for the schema: %s Trying every %g s.", reason, self._retry_seconds)
                complained = reason
            await asyncio.sleep(self._retry_seconds)

    async def _learn(self) -> None:
        # Digests first: a schema that changes in between is noticed as a change then, not missed.
        owners = (Owner.DATA, Owner.ACTIONS)
        statuses = await asyncio.gather(*(self._services[owner].status() for owner in owners))
        data, actions = await asyncio.gather(*map(self._ask, owners))
        stitched = await asyncio.to_thread(stitch, data, actions)
        self._current = self._documents(stitched), Introspector(stitched.schema)
        self._digests = {owner: status.schema for owner, status in zip(owners, statuses, strict=True) if status.schema}
        resettle()
        _log.info("The schema was learned anew." if self._known.is_set() else "The schema is ready.")
        self._known.set()

    async def _ask(self, owner: Owner) -> dict[str, Any]:
        response = await self._services[owner].execute(GraphQLRequest(query=_QUERY, read_only=True))
        try:
            data = json.loads(response.body)["data"]
            data["__schema"]["types"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"The {owner} service does not show a schema (HTTP {response.status}).") from error
        return dict(data)
