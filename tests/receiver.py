"""A webhook's other end, on a real port of this machine: takes, fails, hangs, redirects.

with receiving(Answer(500), Answer(200)) as receiver:
    ...
    assert receiver.requests[0].headers["Idempotency-Key"]
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

HERE = "127.0.0.1/32"


@dataclass(frozen=True)
class Answer:
    """What a request gets: a status and headers; with `hang_s`, a byte now and then before."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """Its body, read."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came in, in order."""

    url: str
    requests: list[Received] = field(default_factory=list)

    @property
    def keys(self) -> list[str | None]:
        """The dedup key of each request."""
        return [each.headers["Idempotency-Key"] for each in self.requests]

    def wait_for(self, requests: int, *, within_s: float = 15.0) -> None:
        """Wait until so many have come."""
        deadline = time.monotonic() + within_s
        while len(self.requests) < requests:
            assert time.monotonic() < deadline, len(self.requests)
            time.sleep(0.01)


@contextmanager
def receiving(*answers: Answer) -> Iterator[Receiver]:
    """Listen until the block ends; the last of the answers is given again and again."""
    waiting = list(answers) or [Answer()]
    lock, over = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                receiver.requests.append(Received(self.path, self.headers, body))
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(answer.status)
            if answer.hang_s:
                drip(self.wfile, answer.hang_s)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def drip(wire: IO[bytes], seconds: float) -> None:
        # A byte now and then: no timeout for silence would ever end this.
        until = time.monotonic() + seconds
        with suppress(OSError):
            wire.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
            while time.monotonic() < until and not over.wait(0.1):
                wire.write(b"x")
                wire.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
