"""HTTP → operations for the action service and their answers → HTTP. What app serves at its GraphQL path.

Plain ASGI, as the gateway's edge: requests come here straight, without going through a framework.
"""

from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from server_core.answering import send_answer
from server_core.errors import InvalidInput, PayloadTooLarge, ServerError
from server_core.receiving import BodyIncomplete, BodyTooLarge, receive_body
from server_core.wire import BodyLimits, GraphQLRequest, GraphQLService, errors_body, parse_body
from services.graphql.errors import server_error_entry

_MEDIA = (b"content-type", b"application/json")


class Door:
    """Answers POST with one operation or a batch of them, one after the other (actions.md §0.1, §0.3).

    Args:
        service: answers operations.
        limits: largest bodies.
    """

    def __init__(self, service: GraphQLService, *, limits: BodyLimits) -> None:
        self._service = service
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        status, body = await self._answer(scope, receive)
        headers = [(b"content-length", str(len(body)).encode()), _MEDIA]
        await send_answer(scope, send, status=status, headers=headers, body=body)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        forwarded: dict[str, str] = {}
        length = b""
        for name, value in scope["headers"]:
            if name.startswith(b"x-prefect"):
                forwarded[name.decode("latin-1")] = value.decode("latin-1")
            elif name == b"content-length":
                length = value
        try:
            body = await receive_body(receive, self._limits, declared=length)
            operations = parse_body(body, forwarded)
            if not self._limits.fits(len(body), operations):
                raise BodyTooLarge(self._limits.body, begun=True, more=False)
        except BodyTooLarge as error:
            return 413, errors_body(server_error_entry(PayloadTooLarge(error.message)))
        except BodyIncomplete as error:
            return 400, errors_body(server_error_entry(InvalidInput(error.message)))
        except ServerError as error:
            return 400, errors_body(server_error_entry(error))
        if isinstance(operations, GraphQLRequest):
            answer = await self._service.execute(operations)
            return answer.status, answer.body
        return 200, await self._batch(operations)

    async def _batch(self, operations: Sequence[GraphQLRequest]) -> bytes:
        answers = [(await self._service.execute(operation)).body for operation in operations]
        return b"[" + b",".join(answers) + b"]"
