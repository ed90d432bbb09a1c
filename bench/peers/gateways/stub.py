"""Both upstreams of a gateway, as fast as Python can be: `python -m bench.peers.gateways.stub PORT SCHEMAS`.

Every answer lies ready as bytes. The schemas are the real ones (SCHEMAS: a JSON object, path → answer to
introspection), so that gateways stitch and validate what they would in earnest; a request for rows is told by what it
asks for and gets as many rows, of the same length, as the data set would give.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.dataset import RUNNING
from bench.reads import STATES
from server_core.observe import server_version
from server_core.wire import PLAIN, ServiceStatus

_ID: Final = "4386b165-6e56-c749-ebba-2fb8c510a649"
_TIME: Final = "2026-01-01T00:00:30+00:00"
_PARAMETERS: Final = {"n": 1, "name": "a parameter of ordinary length"}
_RUN: Final = {"id": _ID, "name": "calm-otter-12345", "state": "Success"}
_A: Final = {
    **_RUN,
    **{"version": 3, "start_time": _TIME, "end_time": _TIME, "scheduled_start_time": _TIME},
    **{"state_message": "the message of this state", "auto_scheduled": False, "parameters": _PARAMETERS},
    "flow": {"name": "flow-123"},
}
_B: Final = {
    **{**_RUN, "start_time": _TIME, "end_time": _TIME},
    "flow": {"name": "flow-123", "project": {"name": "project-1"}},
    **{state.lower(): {"aggregate": {"count": 10}} for state in STATES},
}
_C: Final = {
    **{**_RUN, "version": 3, "scheduled_start_time": _TIME, "state_start_time": _TIME, "parameters": _PARAMETERS},
    "serialized_state": {
        **{"type": "Scheduled", "message": "the message of this state", "context": {"tags": []}},
        **{"cached_inputs": {}, "__version__": "1.4.1"},
    },
    "flow": {"id": _ID, "name": "flow-123"},
}
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n%b: %b\r\ncontent-length: %%d\r\n\r\n" % PLAIN
)
"""With the header by which our data service says that there are no errors."""


def _whole(body: bytes) -> bytes:
    return _HEAD % len(body) + body


def _data(value: Any) -> bytes:
    return _whole(json.dumps({"data": value}, separators=(",", ":")).encode())


ANSWERS: Final = (
    (b"task_runs_aggregate", _data({"flow_run": [_B] * 50})),
    (b"serialized_state", _data({"flow_run": [_C] * RUNNING})),
    (b"flow_run_by_pk", _data({"flow_run_by_pk": _A})),
    (b"gateway: __typename", _data({"gateway": "Query"})),
    (b"__typename", _data({"__typename": "Query"})),
)
"""What a body holds → the whole answer; the first that is found."""


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self, schemas: dict[bytes, bytes], ready: bytes) -> None:
        self._schemas = schemas
        self._ready = ready
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is whole."""
        data = self._held + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._held = data
            return
        at = data.find(b"ontent-")
        length = 0
        while 0 <= at < end:
            if data[at + 7 : at + 14].lower() == b"length:":
                length = int(data[at + 14 : data.index(b"\r", at)])
                break
            at = data.find(b"ontent-", at + 7)
        if len(data) < end + 4 + length:
            self._held = data
            return
        self._held = b""
        if self._transport is not None:
            self._transport.write(self._answer(data))
            if b"onnection: close" in data:
                self._transport.close()

    def _answer(self, data: bytes) -> bytes:
        if data.startswith(b"GET"):
            return self._ready
        for mark, answer in ANSWERS:
            if mark in data:
                return answer
        return self._schemas[data[5 : data.index(b" ", 5)]]


async def main(port: int, schemas: dict[str, Any]) -> None:
    """Serve for ever."""
    answers = {path.encode(): _data(schema) for path, schema in schemas.items()}
    status = ServiceStatus(ready=True, version=server_version(), schema="stub").document()
    ready = _whole(json.dumps(status).encode())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(answers, ready), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
