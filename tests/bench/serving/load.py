"""The load generator, in a process of its own: as little of it as can be.

Closed loop: so many connections, each asks again as soon as it was answered. Open loop: arrivals
are a Poisson process, whatever the server does; an answer's time counts from its arrival, so a
server that falls behind cannot hide it. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_MOST_CONNECTIONS = 256  # in the open loop; an arrival beyond waits, and its time runs
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PATIENCE_S = 30.0


@dataclass
class Tally:
    """What was seen."""

    start: float
    end: float
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    all_answers: int = 0

    def note(self, begun: float, status: int) -> None:
        """Count one answer; only those that came within the measured time have a latency."""
        now = time.perf_counter()
        self.all_answers += status == 200
        if self.start <= now < self.end:
            self.statuses[status] += 1
            if status == 200:
                self.latencies.append(now - begun)


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect the answer until it is whole."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0 or self._answer is None:
            return
        length = _LENGTH.search(self._buffer, 0, head)
        if length is None:
            self._finish(-2)
        elif len(self._buffer) >= head + 4 + int(length[1]):
            self._finish(int(self._buffer[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """End what still waits."""
        self._finish(-1)

    async def ask(self, request: bytes) -> int:
        """Send a request and return the answer's status; below 0 there was none."""
        assert self._transport is not None
        if self._transport.is_closing():
            return -1
        self._buffer = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.abort()

    def _finish(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


@dataclass(frozen=True)
class Target:
    """Where to ask, and with what."""

    host: str
    port: int
    requests: list[bytes]

    async def connect(self) -> Connection:
        """Open one connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self.host, self.port)
        return connection


async def closed(target: Target, tally: Tally, connections: int) -> None:
    """Let so many connections ask without a pause until the time is over."""

    async def repeat(offset: int) -> None:
        connection, turn = await target.connect(), offset
        while time.perf_counter() < tally.end:
            begun = time.perf_counter()
            status = await connection.ask(target.requests[turn % len(target.requests)])
            tally.note(begun, status)
            turn += connections
            if status < 0:
                await asyncio.sleep(0.01)
                connection = await target.connect()
        connection.close()

    await asyncio.gather(*map(repeat, range(connections)))


async def open_loop(target: Target, tally: Tally, rate: float, rng: random.Random) -> None:
    """Let requests arrive at a rate, each at its own moment, until the time is over."""
    idle: list[Connection] = []
    room = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def arrive(begun: float, turn: int) -> None:
        async with room:
            connection = idle.pop() if idle else await target.connect()
            status = await connection.ask(target.requests[turn % len(target.requests)])
            tally.note(begun, status)
            if status > 0:
                idle.append(connection)

    arrivals: set[asyncio.Task[None]] = set()
    moment, turn = time.perf_counter(), 0
    while (moment := moment + rng.expovariate(rate)) < tally.end:
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        task = asyncio.create_task(arrive(moment, turn))
        arrivals.add(task)
        task.add_done_callback(arrivals.discard)
        turn += 1
    # An answer that comes after the end is not counted; those still waiting are told apart.
    await asyncio.wait_for(asyncio.gather(*arrivals), _PATIENCE_S)
    for connection in idle:
        connection.close()


def request_of(picture: bytes, path: str, body: str) -> bytes:
    """Return a whole HTTP request: `raw`, `multipart:FIELD` or `base64:FIELD`."""
    kind, _, name = body.partition(":")
    content, content_type = picture, "image/jpeg"
    if kind == "multipart":
        mark = "weakspot-bench-boundary"
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n'
        head += "Content-Type: image/jpeg\r\n\r\n"
        content = head.encode() + picture + f"\r\n--{mark}--\r\n".encode()
        content_type = f"multipart/form-data; boundary={mark}"
    elif kind == "base64":
        content = json.dumps({name: base64.b64encode(picture).decode()}).encode()
        content_type = "application/json"
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Type: {content_type}"]
    lines += [f"Content-Length: {len(content)}", "Connection: keep-alive", "", ""]
    return "\r\n".join(lines).encode() + content


def percentile(ordered: list[float], share: float) -> float | None:
    """Return a percentile of sorted seconds, in milliseconds."""
    if not ordered:
        return None
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Make the load that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", default="raw")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(asked.photos.iterdir())]
    requests = [request_of(picture, asked.path, asked.body) for picture in pictures]
    target = Target("127.0.0.1", asked.port, requests)
    start = time.perf_counter() + asked.warm
    tally = Tally(start, start + asked.seconds)
    cpu = time.process_time()
    if asked.rate:
        work = open_loop(target, tally, asked.rate, random.Random(asked.seed))  # noqa: S311
    else:
        work = closed(target, tally, asked.connections)
    asyncio.run(work)
    ordered = sorted(tally.latencies)
    found = {
        "images_per_s": len(ordered) / asked.seconds,
        "p50_ms": percentile(ordered, 0.50),
        "p95_ms": percentile(ordered, 0.95),
        "p99_ms": percentile(ordered, 0.99),
        "errors": sum(n for status, n in tally.statuses.items() if status != 200),
        "statuses": {str(status): n for status, n in tally.statuses.items()},
        "all_answers": tally.all_answers,
        "client_cpu_s": time.process_time() - cpu,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
