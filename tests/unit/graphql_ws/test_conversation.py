"""One client, and a service that answers when it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from server_core.graphql_ws.conversation import Conversation
from server_core.graphql_ws.outbox import Outbox
from server_core.graphql_ws.protocol import TransportProtocol
from server_core.wire import End, GraphQLRequest, GraphQLResponse, Watcher


class Service:
    """Takes what a conversation begins; each is answered by what `answers` gets."""

    def __init__(self) -> None:
        self.begun: list[tuple[GraphQLRequest, Watcher]] = []
        self.answers: asyncio.Queue[GraphQLResponse | End] = asyncio.Queue()
        self.ended = 0

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Wait for an answer."""
        self.begun.append((request, watcher))
        return await self.answers.get()

    def end(self) -> None:
        """Count ends."""
        self.ended += 1

    def answer(self, body: str) -> None:
        """Answer a request."""
        self.answers.put_nowait(GraphQLResponse(body=body.encode()))


class Talk:
    """A conversation, and what its client has been sent."""

    def __init__(self, headers: Mapping[str, str] | None = None, parameters: object = None) -> None:
        self.service = Service()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self._outbox = Outbox(self._send, self._close, timeout=60)
        self._writing = asyncio.ensure_future(self._outbox.run())
        self.conversation = Conversation(TransportProtocol(), self.service, self._outbox, most=2, headers=headers or {})
        self.say(type="connection_init", payload=parameters)

    async def _send(self, text: str) -> None:
        self.sent.put_nowait(json.loads(text))

    async def _close(self, code: int, _reason: str) -> None:
        self.sent.put_nowait(code)

    def say(self, **message: Any) -> None:
        """Say something as the client."""
        self.conversation.heard(json.dumps(message))

    async def begin(self, id: str = "1") -> Watcher:
        """Begin an operation; return who is told about it."""
        self.say(id=id, type="subscribe", payload={"query": "{ a }"})
        await self.turn()
        return self.service.begun[-1][1]

    async def turn(self) -> None:
        """Let all that can run do so."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def heard(self) -> list[Any]:
        """Return what the client has been sent since, but the acknowledgement."""
        await self.turn()
        found = [self.sent.get_nowait() for _ in range(self.sent.qsize())]
        return [each for each in found if each != {"type": "connection_ack"}]

    async def over(self) -> None:
        """Answer all that still runs."""
        for _ in self.service.begun:
            self.service.answer('{"data":null}')
        await self.turn()
        self._writing.cancel()
        await asyncio.wait([self._writing])


Talking = Callable[..., Talk]


@pytest.fixture
async def talking() -> AsyncIterator[Talking]:
    """Begin a conversation."""
    talks: list[Talk] = []

    def begin(headers: Mapping[str, str] | None = None, parameters: object = None) -> Talk:
        talks.append(Talk(headers, parameters))
        return talks[-1]

    yield begin
    for talk in talks:
        await talk.over()


async def test_headers_come_from_the_handshake_and_from_the_beginning(talking: Talking) -> None:
    """As of an HTTP request, only `x-prefect*` reaches the services (data-api.md §3.2); the beginning is the nearer."""
    parameters = {"headers": {"X-Prefect-B": "2", "Cookie": "x"}, "X-Prefect-C": "3", "x-prefect-d": 4, "other": "5"}
    talk = talking({"x-prefect-a": "1", "x-prefect-c": "0"}, parameters)
    await talk.begin()
    assert talk.service.begun[0][0].headers == {"x-prefect-a": "1", "x-prefect-b": "2", "x-prefect-c": "3"}


async def test_an_answer_with_data_is_a_result_and_one_without_an_error(talking: Talking) -> None:
    talk = talking()
    for id, body in (("1", '{"errors":[{"message":"m"}],"data":null}'), ("2", '{"errors":[{"message":"m"}]}')):
        await talk.begin(id)
        talk.service.answer(body)
    assert await talk.heard() == [
        {"id": "1", "type": "next", "payload": {"errors": [{"message": "m"}], "data": None}},
        {"id": "1", "type": "complete"},
        {"id": "2", "type": "error", "payload": [{"message": "m"}]},
    ]


async def test_what_is_ended_before_it_has_begun_is_ended_then(talking: Talking) -> None:
    talk = talking()
    watcher = await talk.begin()
    watcher.result('{"data":1}')
    talk.say(id="1", type="complete")
    talk.service.answers.put_nowait(talk.service.end)
    assert await talk.heard() == []
    assert talk.service.ended == 1
    watcher.result('{"data":2}')
    watcher.ended([{"message": "late"}])
    assert await talk.heard() == []


async def test_an_id_that_is_used_again_is_another_operation(talking: Talking) -> None:
    talk = talking()
    first = await talk.begin()
    talk.say(id="1", type="complete")
    second = await talk.begin()
    first.result('{"data":1}')
    second.result('{"data":2}')
    talk.service.answers.put_nowait(talk.service.end)
    assert [message["payload"] for message in await talk.heard()] == [{"data": 2}]
    assert talk.service.ended == 1


@pytest.mark.parametrize(
    ("errors", "message"),
    [([], {"type": "complete"}), ([{"message": "m"}], {"type": "error", "payload": [{"message": "m"}]})],
)
async def test_the_end_of_a_subscription(talking: Talking, errors: list[Any], message: dict[str, Any]) -> None:
    talk = talking()
    watcher = await talk.begin()
    talk.service.answers.put_nowait(talk.service.end)
    await talk.turn()
    watcher.result('{"data":1}')
    watcher.ended(errors)
    assert (await talk.heard())[1:] == [{"id": "1", **message}]
    # Its place and its id are free.
    for id in ("1", "2"):
        await talk.begin(id)


async def test_who_leaves_gets_answers_first(talking: Talking) -> None:
    """A request that runs is answered, subscriptions end, nothing more is heard, the end is 1001."""
    talk = talking()
    await talk.begin("live")
    talk.service.answers.put_nowait(talk.service.end)
    await talk.turn()
    await talk.begin("query")
    leaving = asyncio.ensure_future(talk.conversation.leave())
    await talk.turn()
    assert talk.service.ended == 1
    talk.say(id="late", type="subscribe", payload={"query": "{ a }"})
    talk.service.answer('{"data":1}')
    await leaving
    assert await talk.heard() == [
        {"id": "query", "type": "next", "payload": {"data": 1}},
        {"id": "query", "type": "complete"},
        1001,
    ]
    assert len(talk.service.begun) == 2


async def test_what_runs_counts_although_its_client_has_ended_it(talking: Talking) -> None:
    """Otherwise a client could have any number of requests carried out at a time."""
    talk = talking()
    for id in ("1", "2"):
        await talk.begin(id)
        talk.say(id=id, type="complete")
    talk.say(id="3", type="subscribe", payload={"query": "{ a }"})
    (refused,) = await talk.heard()
    assert refused["payload"][0]["extensions"]["code"] == "limit-reached"
    talk.service.answer('{"data":1}')
    await talk.turn()
    await talk.begin("3")
