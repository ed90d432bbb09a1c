"""Both sub-protocols as tables: messages of a client, and what is to be done."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from server_core.graphql_ws.protocol import (
    LONGEST_REASON,
    Begin,
    Close,
    End,
    LegacyProtocol,
    Protocol,
    Say,
    Step,
    TransportProtocol,
    negotiate,
)
from server_core.wire import GraphQLRequest

INIT = '{"type":"connection_init"}'
QUERY = "{ flow { id } }"


def begin(type: str, id: object = "1", payload: object = None) -> str:
    """Return a message that begins an operation."""
    return json.dumps({"type": type, "id": id, "payload": payload or {"query": QUERY}})


def end(type: str, id: object = "1") -> str:
    """Return a message that ends one."""
    return json.dumps({"type": type, "id": id})


SUBSCRIBE, COMPLETE = begin("subscribe"), end("complete")
START, STOP = begin("start"), end("stop")
BEGUN = Begin(id="1", request=GraphQLRequest(query=QUERY))


def invalid(reason: str) -> Close:
    """Return the end of a client that sent what cannot be read."""
    return Close(code=4400, reason=f"Invalid message: {reason}")


NOT_JSON = invalid("The message is not valid JSON.")
NO_TYPE = invalid("A message is a JSON object with a `type`.")
NO_ID = invalid("`id` must be a string that is not empty.")
NO_OBJECT = invalid("`payload` must be an object.")
UNKNOWN = invalid("Clients send no messages of this `type`.")
ACK = Say(text='{"type":"connection_ack"}')


def told(protocol: Protocol, messages: Sequence[str | bytes]) -> list[Step]:
    """Return what the last of the messages makes the server do."""
    steps: Sequence[Step] = ()
    for message in messages:
        steps = protocol.received(message)
    return list(steps)


@pytest.mark.parametrize(
    ("messages", "steps"),
    [
        ([INIT], [ACK]),
        (['{"type":"connection_init","payload":{"token":"x"}}'], [ACK]),
        (['{"type":"connection_init","payload":null}'], [ACK]),
        (['{"type":"connection_init","payload":[]}'], [NO_OBJECT]),
        ([INIT, INIT], [Close(code=4429, reason="Too many initialisation requests")]),
        (['{"type":"ping"}'], [Say(text='{"type":"pong"}')]),
        (['{"type":"ping","payload":{"a":1}}'], [Say(text='{"type":"pong","payload":{"a":1}}')]),
        (['{"type":"ping","payload":1}'], [NO_OBJECT]),
        (['{"type":"ping","payload":{"a":0.5}}'], [Say(text='{"type":"pong","payload":{"a":0.5}}')]),
        (['{"type":"ping","payload":{"a":1e999}}'], [Say(text='{"type":"pong"}')]),
        (['{"type":"pong"}'], []),
        ([SUBSCRIBE], [Close(code=4401, reason="Unauthorized")]),
        ([INIT, SUBSCRIBE], [BEGUN]),
        ([INIT, SUBSCRIBE, SUBSCRIBE], [Close(code=4409, reason="Subscriber for 1 already exists")]),
        ([INIT, SUBSCRIBE, begin("subscribe", "2")], [Begin(id="2", request=GraphQLRequest(query=QUERY))]),
        ([INIT, SUBSCRIBE, COMPLETE], [End(id="1")]),
        ([INIT, SUBSCRIBE, COMPLETE, COMPLETE], []),
        ([INIT, SUBSCRIBE, COMPLETE, SUBSCRIBE], [BEGUN]),
        ([COMPLETE], []),
        ([INIT, begin("subscribe", 1)], [NO_ID]),
        ([INIT, begin("subscribe", "")], [NO_ID]),
        ([INIT, end("complete", None)], [NO_ID]),
        ([INIT, begin("subscribe", payload=[1])], [invalid("The request body must be a JSON object with a `query`.")]),
        ([INIT, begin("subscribe", payload={"query": " "})], [invalid("The request has no `query` text.")]),
        ([INIT, begin("subscribe", payload={"query": QUERY, "operationName": 1})],
         [invalid("`operationName` must be a string or null.")]),
        ([START], [UNKNOWN]),
        (['{"type":"next","id":"1"}'], [UNKNOWN]),
        (["{"], [NOT_JSON]),
        (["[" * 100_000], [NOT_JSON]),
        (['{"type":"ping","payload":{"a":NaN}}'], [NOT_JSON]),
        (["[]"], [NO_TYPE]),
        (['{"type":5}'], [NO_TYPE]),
        (["{}"], [NO_TYPE]),
        ([b"{}"], [invalid("Messages are text, not binary.")]),
    ],
)  # fmt: skip
def test_graphql_transport_ws(messages: list[str | bytes], steps: list[Step]) -> None:
    assert told(TransportProtocol(), messages) == steps


def complaint(message: str, code: str = "unexpected-payload", **members: Any) -> Say:
    """Return a message that says what is wrong."""
    payload = {"extensions": {"path": "$", "code": code}, "message": message}
    type = "error" if members else "connection_error"
    return Say(text=json.dumps({"type": type, **members, "payload": payload}, separators=(",", ":")))


@pytest.mark.parametrize(
    ("messages", "steps"),
    [
        ([INIT], [ACK, Say(text='{"type":"ka"}')]),
        ([INIT, INIT], [ACK, Say(text='{"type":"ka"}')]),
        ([START], [complaint("start received before the connection is initialised", "start-failed", id="1")]),
        ([INIT, START], [BEGUN]),
        ([INIT, START, START], [End(id="1"), BEGUN]),
        ([INIT, START, STOP], [End(id="1")]),
        ([INIT, START, STOP, STOP], []),
        ([INIT, START, begin("start", payload={"query": 1})],
         [End(id="1"), complaint("The request has no `query` text.", id="1")]),
        ([INIT, begin("start", 1)], [complaint("`id` must be a string that is not empty.")]),
        ([INIT, end("stop", None)], [complaint("`id` must be a string that is not empty.")]),
        (['{"type":"connection_terminate"}'], [Close(code=1000, reason="")]),
        ([INIT, SUBSCRIBE], [complaint("invalid message type", id="1")]),
        ([INIT, '{"type":"nope"}'], [complaint("Clients send no messages of this `type`.")]),
        (["{"], [complaint("The message is not valid JSON.")]),
        (["{}"], [complaint("A message is a JSON object with a `type`.")]),
        ([b"{}"], [complaint("Messages are text, not binary.")]),
    ],
)  # fmt: skip
def test_graphql_ws(messages: list[str | bytes], steps: list[Step]) -> None:
    assert told(LegacyProtocol(), messages) == steps


ENTRY = {"extensions": {"path": "$", "code": "timeout"}, "message": "m"}


@pytest.mark.parametrize(
    ("protocol", "result", "failure", "alive"),
    [
        (TransportProtocol(), {"type": "next"}, [ENTRY], {"type": "ping"}),
        (LegacyProtocol(), {"type": "data"}, ENTRY, {"type": "ka"}),
    ],
)
def test_what_the_server_sends(protocol: Protocol, result: dict[str, str], failure: object, alive: object) -> None:
    id = 'a"\\\n'
    assert json.loads("".join(protocol.result(id, '{"data":{}}'))) == {**result, "id": id, "payload": {"data": {}}}
    assert json.loads(protocol.failure(id, [ENTRY])) == {"type": "error", "id": id, "payload": failure}
    assert json.loads(protocol.completion(id)) == {"type": "complete", "id": id}
    assert json.loads(protocol.keep_alive()) == alive
    assert protocol.timed_out() == Close(code=4408, reason="Connection initialisation timeout")


@pytest.mark.parametrize(
    ("protocol", "type"), [(TransportProtocol(exact=True), "subscribe"), (LegacyProtocol(exact=True), "start")]
)
def test_fractions_keep_every_digit(protocol: Protocol, type: str) -> None:
    payload = '{"query":"{ a }","variables":{"x":0.1234567890123456789012345}}'
    [begun] = told(protocol, [INIT, f'{{"type":"{type}","id":"1","payload":{payload}}}'])
    assert isinstance(begun, Begin)
    assert begun.request.variables == {"x": Decimal("0.1234567890123456789012345")}


@pytest.mark.parametrize("protocol", [TransportProtocol(), LegacyProtocol()])
def test_an_id_is_free_when_the_server_has_ended_it(protocol: Protocol) -> None:
    message = SUBSCRIBE if isinstance(protocol, TransportProtocol) else START
    assert told(protocol, [INIT, message]) == [BEGUN]
    protocol.ended("1")
    assert told(protocol, [message]) == [BEGUN]


def test_a_reason_fits_into_its_frame() -> None:
    id = "ä" * 200
    [step] = told(TransportProtocol(), [INIT, begin("subscribe", id), begin("subscribe", id)])
    assert isinstance(step, Close)
    assert LONGEST_REASON - 2 < len(step.reason.encode()) <= LONGEST_REASON
    [step] = told(TransportProtocol(), [INIT, begin("subscribe", "\ud800"), begin("subscribe", "\ud800")])
    assert step == Close(code=4409, reason="Subscriber for  already exists")


def test_the_newer_protocol_is_preferred() -> None:
    assert isinstance(negotiate(["graphql-ws", "graphql-transport-ws"]), TransportProtocol)
    assert isinstance(negotiate(["x", "graphql-ws"]), LegacyProtocol)
    assert negotiate([]) is None


@pytest.mark.parametrize("protocol", [TransportProtocol(), LegacyProtocol()])
def test_what_comes_with_the_beginning_is_kept(protocol: Protocol) -> None:
    told(protocol, ['{"type":"connection_init","payload":{"a":1}}'])
    assert protocol.parameters == {"a": 1}


def test_the_older_protocol_takes_any_beginning() -> None:
    protocol = LegacyProtocol()
    told(protocol, ['{"type":"connection_init","payload":[1]}'])
    assert protocol.initialised
    assert protocol.parameters == {}


def test_several_errors() -> None:
    """The older protocol has room for one; its client reads all of them where they stand under `errors`."""
    entries = [ENTRY, {**ENTRY, "message": "another"}]
    assert json.loads(TransportProtocol().failure("1", entries))["payload"] == entries
    assert json.loads(LegacyProtocol().failure("1", entries))["payload"] == {**ENTRY, "errors": entries}


def test_a_ping_as_deep_as_can_be_read_is_answered() -> None:
    """Between what can be read and what can be written again there is a depth or two."""
    for depth in range(900, 1100):
        (step,) = TransportProtocol().received('{"type":"ping","payload":{"a":' + "[" * depth + "]" * depth + "}}")
        assert step == NOT_JSON or (isinstance(step, Say) and json.loads(step.text)["type"] == "pong"), depth
