"""Operations that come over a WebSocket → answers as over HTTP, and subscriptions followed at their owner.

Called by the sockets of server_core.graphql_ws, through app. What is refused has the errors of the HTTP answer with
status 400 (data-api.md §3.3); a failure of the upstream has those of a root field.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from server_core.wire import End, GraphQLRequest, GraphQLResponse, LiveService, Watcher, errors_body
from services.gateway.answer import read
from services.gateway.refusal import INTERNAL, Refusal
from services.gateway.split import Step

_log = logging.getLogger(__name__)


class Answerer(Protocol):
    """What a subscriber needs of the gateway."""

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Answer an operation or follow a subscription, or raise Refusal."""


class Operations:
    """Carries out what WebSocket clients ask; whatever goes wrong is an answer."""

    def __init__(self, gateway: Answerer) -> None:
        self._gateway = gateway

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Answer a query or mutation, or follow a subscription: return how to end it."""
        try:
            return await self._gateway.subscribe(request, watcher)
        except Refusal as refusal:
            return refusal.response()
        except Exception:  # a defect of the gateway: masked, as at the edge
            error_id = uuid4().hex
            _log.exception("The gateway failed to answer.", extra={"error_id": error_id})
            message = f"The server failed to answer this request ({error_id})."
            return Refusal.plain(message, code=INTERNAL).response()


async def follow(
    service: LiveService, step: Step, variables: Mapping[str, Any], watcher: Watcher
) -> GraphQLResponse | End:
    """Follow a planned subscription at the service that owns its one root field.

    Args:
        service: the owner.
        step: the subscription, cut to what the owner needs to know.
        variables: values for it, checked.
        watcher: who is told; errors reach it in the client's terms.

    Returns:
        How to end it, or an answer with the errors for which it was not begun.
    """
    request = GraphQLRequest(query=step.text, variables=variables)
    begun = await service.subscribe(request, _Client(step, watcher))
    return GraphQLResponse(body=errors_body(*_told(step, begun))) if isinstance(begun, GraphQLResponse) else begun


class _Client:
    """Passes on what the owner tells."""

    def __init__(self, step: Step, watcher: Watcher) -> None:
        self._step = step
        self._watcher = watcher

    def result(self, body: str) -> None:
        """Pass a result on, as it came."""
        self._watcher.result(body)

    def ended(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Pass the end on; errors get the client's places and paths."""
        failure = GraphQLResponse(body=errors_body(*errors), status=400)
        self._watcher.ended(_told(self._step, failure) if errors else ())


def _told(step: Step, response: GraphQLResponse) -> list[Mapping[str, Any]]:
    return list(read(step.fields, response, step.owner).errors.values())
