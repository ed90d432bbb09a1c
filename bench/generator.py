"""The load generator for machines without wrk: a process of its own, told by load what to send.

    python -m bench.generator URL REQUESTS-FILE '{"seconds": 3, "connections": 16, "headers": {}, "fresh": 100000000}'

Prints one line of JSON: requests, seconds, refused, broken, p50 and p99 in milliseconds, and its own share of a core.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Final
from urllib.parse import urlsplit

import uvloop

FRESH: Final = b"903817264"
"""See bench.load."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One connection: sends a request as soon as the answer to the one before is complete."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._sent = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take what came; an answer has a length."""
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._received, 0, head)
        if length is None or len(self._received) < head + 4 + int(length[1]):
            return
        self._run.answered(time.perf_counter() - self._sent, bytes(self._received[9:12]) == b"200")
        self._received.clear()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that ended early."""
        if not self._run.over():
            self._run.broken += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        if self._transport is None or self._run.over():
            if self._transport is not None:
                self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._run.next())


class Run:
    """What all connections share: the requests, the time, the figures."""

    def __init__(self, requests: Sequence[bytes], seconds: float, fresh: int) -> None:
        self._requests = requests
        self._fresh = fresh
        self._at = 0
        self._begun = time.perf_counter()
        self._seconds = seconds
        self._waits: list[float] = []
        self._refused = 0
        self.broken = 0

    def next(self) -> bytes:
        """Return the next request."""
        self._at = (self._at + 1) % len(self._requests)
        self._fresh += 1
        return self._requests[self._at].replace(FRESH, b"%d" % self._fresh)

    def over(self) -> bool:
        """Tell whether the time is up."""
        return time.perf_counter() - self._begun >= self._seconds

    def answered(self, seconds: float, good: bool) -> None:
        """Count an answer."""
        self._waits.append(seconds)
        self._refused += not good

    def report(self) -> dict[str, float]:
        """Return the figures."""
        waits = sorted(self._waits) or [0.0, 0.0]
        cuts = quantiles(waits, n=100) if len(waits) > 1 else waits * 100
        return {
            "requests": len(self._waits),
            "seconds": time.perf_counter() - self._begun,
            "refused": self._refused,
            "broken": self.broken,
            "p50": cuts[49] * 1000,
            "p99": cuts[98] * 1000,
            "core": time.process_time() / (time.perf_counter() - self._begun),
        }


async def main(
    url: str, bodies: Sequence[bytes], seconds: float, connections: int, headers: dict[str, str], fresh: int
) -> None:
    """Run and report."""
    parts = urlsplit(url)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    requests = [
        f"POST {parts.path or '/'} HTTP/1.1\r\nhost: bench\r\n{fields}content-length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies
    ]
    run = Run(requests, seconds, fresh)
    loop = asyncio.get_running_loop()
    place = parts.hostname or "", parts.port or 80
    clients = [(await loop.create_connection(lambda: Client(run), *place))[1] for _ in range(connections)]
    await asyncio.wait([client.closed for client in clients], timeout=seconds + 30)
    print(json.dumps(run.report()))


if __name__ == "__main__":
    target, file, options = sys.argv[1:]
    uvloop.run(main(target, Path(file).read_bytes().splitlines(), **json.loads(options)))
