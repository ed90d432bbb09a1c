"""Which queries go on to an upstream now, which wait, and which are turned away. Called by app.

Mutations always go on: states, heartbeats, logs and the agents' polls never wait behind a query. Queries of flow runs
and agents come before those of people, whose pages ask again by themselves. What is turned away was not begun, so its
answer is 503 with `Retry-After`, which the 1.x client obeys for every request, and load balancers and browsers
understand. Where other fields of the
same answer were carried out it is a 200, and `API_ERROR` stands at the fields that were turned away.
"""

from collections.abc import Mapping
from functools import partial
from time import perf_counter

from server_core.config import GatewaySettings
from server_core.errors import Overloaded, Unavailable
from server_core.gate import Gate
from server_core.spool import Spool
from server_core.wire import GraphQLRequest, GraphQLResponse, GraphQLService
from services.gateway.measured import AWAY, FAILED, OK, TURNED_AWAY, UpstreamMetrics, outcome_of
from services.gateway.refusal import Refusal
from services.gateway.stitch import Owner

RETRY_AFTER = "2"
"""Seconds. The 1.x client comes again six times, each time waiting up to `reads_wait_seconds` too."""


class Admission:
    """Lets so many queries at a time go on to each upstream.

    Args:
        settings: how many, and how long they wait.
        metrics: notes how long calls take.
    """

    def __init__(self, settings: GatewaySettings, metrics: UpstreamMetrics) -> None:
        self._metrics = metrics
        self._gates = {
            owner: Gate(
                places=settings.reads_at_once,
                waiting=settings.reads_waiting,
                seconds=settings.reads_wait_seconds,
                kept=settings.reads_at_once // 4,
                message="The server is busy with other queries; try again in a few seconds.",
            )
            for owner in (Owner.DATA, Owner.ACTIONS)
        }

    def waiting(self, owner: Owner) -> int:
        """Return how many queries wait to go on to an upstream."""
        return self._gates[owner].waiting

    async def execute(
        self, service: GraphQLService, owner: Owner, request: GraphQLRequest, *, headers: Mapping[str, str]
    ) -> GraphQLResponse:
        """Have an upstream answer an operation when it is its turn.

        Args:
            service: the upstream.
            owner: which one it is.
            request: what goes to it.
            headers: the client's; the data API is told none.

        Raises:
            Overloaded: it was turned away.
            ServerError: as the upstream does.
        """
        began = perf_counter()
        outcome = FAILED
        chunks = None
        gate = self._gates[owner] if request.read_only else None
        try:
            if gate is not None:
                urgent = _is_urgent(headers)
                if not gate.enter_at_once(urgent=urgent):
                    await gate.enter(urgent=urgent)
            try:
                response = await service.execute(request)
                chunks = response.chunks
            finally:
                if gate is not None:
                    if chunks is None:
                        gate.leave()
                    else:
                        chunks.when_over(gate.leave)
                        chunks.give_way(gate.is_waited_for)
            if gate is not None and response.status == 503 and Unavailable.code.encode() in response.body:
                raise Overloaded(f"The {owner} service is busy; try again in a few seconds.")
            outcome = outcome_of(response)
            return response
        except Unavailable as error:
            outcome = TURNED_AWAY if isinstance(error, Overloaded) else AWAY
            raise
        finally:
            if chunks is None:
                self._metrics.observe(owner, outcome, perf_counter() - began)
            else:
                chunks.when_over(partial(self._ended, owner, chunks, began))

    def _ended(self, owner: Owner, chunks: Spool, began: float) -> None:
        """Note a call whose answer came in chunks, the last of which is here."""
        self._metrics.observe(owner, FAILED if chunks.failed else OK, perf_counter() - began)


def turned_away(message: str) -> Refusal:
    """Return the answer to a request of which nothing was begun."""
    return Refusal.plain(message, code=Overloaded.code, status=503, headers=[("retry-after", RETRY_AFTER)])


def _is_urgent(headers: Mapping[str, str]) -> bool:
    """Tell flow runs, agents and the command line from people's browsers."""
    return "x-prefect-core-version" in headers and "x-prefect-ui" not in headers
