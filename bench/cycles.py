"""A cycle of requests, each with ids out of the answers before it → how many cycles a server does per second.

    python -m bench.cycles < plan.json > figures.json          (called by `measured`; a process of its own)

wrk cannot put what an answer says into the next request, a workflow's client does nothing else. Every client is a
coroutine with a connection of its own that goes through its cycle again and again. The figures tell what share of a
core the generator itself took, so that one sees that it is not what was measured.
"""

import asyncio
import itertools
import json
import re
import sys
import time
from asyncio.subprocess import PIPE
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import uvloop

from bench.client import Connection, connect, head, request
from bench.load import LoadFailed

_SLOT = re.compile(r"<<(\w+)>>")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of a cycle.

    Attributes:
        body: with `<<name>>` for what was kept; `<<n>>` is a number never used before, `<<uuid>>` a new UUID, `<<now>>`
            the time.
        path: "" for that of the URL.
        keep: names → regular expressions with one group, looked for in the answer.
        good: what an answer must contain, as a regular expression; the others count as errors.
    """

    body: str
    path: str = ""
    method: str = "POST"
    keep: dict[str, str] = field(default_factory=dict)
    good: str = ""


Work = tuple[tuple[Call, ...], tuple[Call, ...]]
"""What a client does first, and then again and again."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the clients of one server do.

    Attributes:
        url: of the server.
        cycle: repeated until the time is over.
        first: done once by each client before the clock starts.
        clients: how many there are at a time.
        seconds: how long is measured, after `warm_up` seconds.
        headers: of each request.
    """

    url: str
    cycle: tuple[Call, ...]
    first: tuple[Call, ...] = ()
    clients: int = 16
    seconds: float = 3.0
    warm_up: float = 0.5
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came out.

    Attributes:
        per_second: cycles per second, parts of cycles counted.
        requests: answered within the time.
        errors: how many of them were not good.
        error: one of them.
        median_ms: of one request.
        longest_ms: of one request.
        generator: share of a core that the generator took.
    """

    per_second: float
    requests: int
    errors: int
    error: str
    median_ms: float
    longest_ms: float
    generator: float


class _Prepared:
    """A Call as bytes around slots."""

    def __init__(self, call: Call, plan: Plan) -> None:
        self.opening = head(plan.url, path=call.path, method=call.method, headers=plan.headers)
        pieces = _SLOT.split(call.body)
        self._text = [piece.encode() for piece in pieces[::2]]
        self._names = pieces[1::2]
        self.path = _SLOT.search(call.path) is not None
        self.keep = {name: re.compile(pattern.encode()) for name, pattern in call.keep.items()}
        self.good = re.compile(call.good.encode())

    def bytes(self, kept: dict[str, bytes]) -> bytes:
        pieces = [self._text[0]]
        for name, text in zip(self._names, self._text[1:], strict=True):
            pieces += (_value(name, kept), text)
        opening = self.opening
        if self.path:
            opening = re.sub(rb"<<(\w+)>>", lambda slot: _value(slot[1].decode(), kept), opening)
        return request(opening, b"".join(pieces))


_numbers = itertools.count(1)


def _value(name: str, kept: dict[str, bytes]) -> bytes:
    match name:
        case "n":
            return b"%d" % next(_numbers)
        case "uuid":
            return str(uuid4()).encode()
        case "now":
            return datetime.now(UTC).isoformat().encode()
    return kept[name]


class _Run:
    """The clients of one plan, and what they counted."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._waits: list[float] = []
        self._errors: list[str] = []
        self._counting = False
        self._begin = asyncio.Event()

    async def figures(self) -> Figures:
        """Let all clients go round, count what is answered within the time."""
        plan = self._plan
        ready = [asyncio.get_running_loop().create_future() for _ in range(plan.clients)]
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(self._client(each)) for each in ready]
            await asyncio.gather(*ready)
            self._begin.set()
            await asyncio.sleep(plan.warm_up)
            self._counting, since, used = True, time.perf_counter(), time.process_time()
            await asyncio.sleep(plan.seconds)
            self._counting, seconds = False, time.perf_counter() - since
            generator = (time.process_time() - used) / seconds
            for client in clients:
                client.cancel()
        waits = sorted(self._waits) or [0.0]
        return Figures(
            per_second=len(self._waits) / len(plan.cycle) / seconds,
            requests=len(self._waits),
            errors=len(self._errors),
            error=self._errors[0] if self._errors else "",
            median_ms=waits[len(waits) // 2] * 1000,
            longest_ms=waits[-1] * 1000,
            generator=generator,
        )

    async def _client(self, ready: "asyncio.Future[None]") -> None:
        connection = await connect(self._plan.url)
        kept: dict[str, bytes] = {}
        try:
            for call in (_Prepared(each, self._plan) for each in self._plan.first):
                if not await self._do(connection, call, kept):
                    raise LoadFailed(self._errors[-1])
            ready.set_result(None)
            await self._begin.wait()
            cycle = [_Prepared(each, self._plan) for each in self._plan.cycle]
            while True:
                for call in cycle:
                    if not await self._do(connection, call, kept):
                        break
        finally:
            connection.close()

    async def _do(self, connection: Connection, call: _Prepared, kept: dict[str, bytes]) -> bool:
        """Send one request, keep what is to be kept of its answer; tell whether that was as it should be."""
        sent = call.bytes(kept)
        since = time.perf_counter()
        answer = await connection.ask(sent)
        if self._counting:
            self._waits.append(time.perf_counter() - since)
        good = connection.status < 300 and call.good.search(answer) is not None
        for name, pattern in call.keep.items():
            if (found := pattern.search(answer)) is None:
                good = False
            else:
                kept[name] = found[1]
        if not good:
            self._errors.append(f"{connection.status} {answer[:600].decode(errors='replace')} to {sent[-300:]!r}")
        return good


async def measured(plan: Plan) -> Figures:
    """Carry out a plan in a process of its own.

    Raises:
        LoadFailed: an answer was not good, or the generator ended early.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.cycles", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    printed, complaint = await process.communicate(json.dumps(asdict(plan)).encode())
    if process.returncode:
        raise LoadFailed(f"the generator failed: {complaint.decode()[-3000:]}")
    figures = Figures(**json.loads(printed))
    if figures.errors or not figures.requests:
        raise LoadFailed(f"{plan.url}: {figures.errors} of {figures.requests} failed: {figures.error}")
    return figures


def main() -> None:
    """Read a plan, carry it out, print its figures."""
    said = json.load(sys.stdin)
    for name in ("first", "cycle"):
        said[name] = tuple(Call(**call) for call in said[name])
    said["headers"] = tuple(said["headers"])
    print(json.dumps(asdict(uvloop.run(_Run(Plan(**said)).figures()))))


if __name__ == "__main__":
    main()
