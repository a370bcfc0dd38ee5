"""HTTP for clients that are slow, silent or too many.

uvicorn waits for ever for the rest of a request, and for a reader that takes no answer. Here
every connection is in one phase with a deadline, and `Server` looks through all connections
twice a second: no timer for each request, and a bounded time for each client.

A body earns time by arriving: `min_rate` bytes buy a second, of which `body_s` can be saved up.
While the service itself does not read, the clock of the body stands still.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service import problems
from service.door.safe_headers import SAFE_HEADERS

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how much of each client is borne.

    Attributes:
        head_s: From a connection's or request's first byte to the end of its headers.
        body_s: How far a body may fall behind `min_rate`.
        idle_s: Between two requests.
        answer_s: How long a reader may take nothing of an answer.
        linger_s: How long the rest of a body is read and dropped after its answer has left.
        min_rate: Bytes of a body that earn one more second.
        max_head_bytes: Of request line and headers together.
        max_connections: Open at one moment; more get HTTP 503.
    """

    head_s: float = 15
    body_s: float = 20
    idle_s: float = 30
    answer_s: float = 30
    linger_s: float = 5
    min_rate: int = 20_000
    max_head_bytes: int = 32_768
    max_connections: int = 10_000


class _Phase(enum.Enum):
    HEAD = "request line and headers"
    BODY = "body"
    ANSWER = "the service is at work"
    IDLE = "between two requests"
    REST = "of a body that was answered already"


class _TooLongError(Exception):
    """The headers grew past their bound."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with deadlines.

    Args:
        bounds: What is borne.
        options: uvicorn's own arguments.
    """

    def __init__(self, *, bounds: Bounds, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        self._phase = _Phase.HEAD
        self._deadline = math.inf
        self._stuck_since: float | None = None
        self._head_bytes = 0
        self._refusal = 400

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take the connection, or say that there are too many."""
        super().connection_made(transport)
        self._enter(_Phase.HEAD, self._bounds.head_s)
        if len(self.connections) > self._bounds.max_connections:
            self._refuse(503, "the service has too many connections open; try again")

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the headers grow too long."""
        if self.transport.is_closing():
            return
        if self._phase is _Phase.IDLE:
            self._begin_head()
        super().data_received(data)
        if self._phase is _Phase.HEAD:
            # What the parser holds back of an unfinished line is in no callback yet.
            self._head_bytes += len(data)
            if self._head_bytes > self._bounds.max_head_bytes:
                self._refuse_long_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if self._phase is not _Phase.HEAD:
            self._begin_head()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        super().on_url(url)
        if len(self.url) > self._bounds.max_head_bytes:
            self._refusal = 431
            raise _TooLongError

    def on_headers_complete(self) -> None:
        """Hand a request on."""
        # Four bytes are the colon, the blank and the end of the line.
        length = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if length > self._bounds.max_head_bytes:
            self._refusal = 431
            raise _TooLongError
        super().on_headers_complete()
        self._head_bytes = 0
        self._enter(_Phase.BODY, self._bounds.body_s)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, which buys time for the next."""
        super().on_body(body)
        if self._phase is _Phase.BODY:
            earned = self._deadline + len(body) / self._bounds.min_rate
            self._deadline = min(earned, self.loop.time() + self._bounds.body_s)

    def on_message_complete(self) -> None:
        """End a request's body."""
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._enter(_Phase.IDLE, self._bounds.idle_s)
        else:
            self._enter(_Phase.ANSWER, math.inf)

    def on_response_complete(self) -> None:
        """End an answer; what is left of its request's body is dropped for a while."""
        super().on_response_complete()
        if self._phase is _Phase.BODY:
            self._enter(_Phase.REST, self._bounds.linger_s)
        elif self._phase is _Phase.ANSWER and self.cycle.response_complete:
            self._enter(_Phase.IDLE, self._bounds.idle_s)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as a problem, and hang up."""
        if self._refusal == 431:
            self._refuse_long_head()
        else:
            self._refuse(400, "this is no HTTP request; send HTTP/1.1")

    def look(self, now: float, since_s: float) -> None:
        """Close the connection if its time is up.

        Args:
            now: The event loop's time.
            since_s: Seconds since the last look.
        """
        if self.transport.get_write_buffer_size() == 0 or self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > self._bounds.answer_s:
            self._hang_up(abort=True)
            return
        if self._phase is _Phase.BODY and self.flow.read_paused:
            self._deadline += since_s
        if now <= self._deadline or self.transport.is_closing():
            return
        if self._phase is _Phase.BODY and not self.cycle.response_started:
            self._refuse(408, "the body came too slowly; send it faster or smaller")
        elif self._phase is not _Phase.HEAD or not self._is_answering():
            self._hang_up()

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._enter(_Phase.HEAD, self._bounds.head_s)

    def _enter(self, phase: _Phase, allowed_s: float) -> None:
        self._phase = phase
        self._deadline = self.loop.time() + allowed_s

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse_long_head(self) -> None:
        limit = self._bounds.max_head_bytes
        self._refuse(431, f"address and headers have more than the {limit} bytes accepted")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer past the application, and hang up; mid-answer, hang up only."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = problems.respond(problems.build(status, detail, uuid4().hex))
            headers = [*answer.raw_headers, *SAFE_HEADERS, (b"connection", b"close")]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(
                b"".join([STATUS_LINE[status], *lines, b"\r\n", bytes(answer.body)])
            )
        self._hang_up()

    def _hang_up(self, *, abort: bool = False) -> None:
        """Close, and let the application's side see it at once."""
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if abort:
            self.transport.abort()
        else:
            self.transport.close()
