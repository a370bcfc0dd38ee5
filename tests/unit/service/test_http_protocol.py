"""Clients that are slow, silent or too many, with bounds a hundredth of the real ones."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.door.http_protocol import Bounds
from service.server import Server, bind

BOUNDS = Bounds(
    head_s=0.4,
    body_s=0.4,
    idle_s=0.4,
    answer_s=0.8,
    linger_s=0.3,
    min_rate=100_000,
    max_head_bytes=2_000,
    max_connections=3,
)
PATIENCE_S = 4.0  # a look every half second, on a machine that has other things to do
LARGE = 30_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, but not for /early; answer with its length, or with LARGE bytes for /large."""
    if scope["type"] != "http":
        await _live(receive, send)
        return
    length, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more = message["more_body"]
    body = b"x" * LARGE if scope["path"] == "/large" else str(length).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Any, send: Any) -> None:
    for answer in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{answer}.complete"})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Where the server listens."""
    stop, started = threading.Event(), threading.Event()
    with bind("127.0.0.1", 0) as listener:
        server = Server(app, stop=stop, drain_s=1, on_started=started.set, bounds=BOUNDS)  # pyright: ignore[reportArgumentType]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        assert started.wait(10)
        yield listener.getsockname()
        stop.set()
        thread.join(10)


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A connection."""
    with socket.create_connection(address, PATIENCE_S) as connected:
        yield connected


def read_all(client: socket.socket) -> bytes:
    """Return what arrives until the other side hangs up; fails when it does not."""
    found = b""
    try:
        while piece := client.recv(1_000_000):
            found += piece
    except ConnectionResetError:
        pass
    return found


def drip(client: socket.socket, pieces: list[bytes]) -> None:
    """Send the pieces slowly: 400 of them in eight seconds."""
    for piece in pieces:
        client.sendall(piece)
        time.sleep(0.02)


def problem_in(answer: bytes) -> tuple[int, str]:
    """Return status and code of a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head.lower()
    return int(head.split()[1]), json.loads(body)["code"]


class TestSlowClients:
    """S11."""

    @pytest.mark.parametrize("head", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nA: "])
    def test_are_cut_off_before_their_headers_end(self, client: socket.socket, head: bytes):
        """A connection that asks nothing costs memory and a file."""
        client.sendall(head)

        assert read_all(client) == b""

    def test_may_not_send_a_byte_now_and_then(self, client: socket.socket):
        """The classic: every byte used to buy more time."""
        with pytest.raises(OSError, match=r"[Rr]eset|pipe"):
            drip(client, [b"GET / HTTP/1.1\r\n", *[b"A", b":", b"b", b"\r\n"] * 100])

    def test_may_not_drip_after_a_first_request(self, client: socket.socket):
        """One byte after an answer stopped uvicorn's own clock for good."""
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        first = client.recv(1000)
        client.sendall(b"G")

        assert first.startswith(b"HTTP/1.1 200")
        assert read_all(client) == b""

    def test_are_told_that_their_body_is_late(self, client: socket.socket):
        """An honest client on a bad line learns why."""
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")

        assert problem_in(read_all(client)) == (408, "too_slow")

    def test_may_not_drip_chunks(self, client: socket.socket):
        """Without a stated length the bytes that arrive count alike."""
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError, match=r"[Rr]eset|pipe"):
            drip(client, [b"1\r\nx\r\n"] * 400)

    def test_are_borne_while_they_keep_the_pace(self, client: socket.socket):
        """A large upload takes longer than any fixed limit."""
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n")
        for _ in range(12):
            client.sendall(b"x" * 50_000)
            time.sleep(0.1)

        assert client.recv(1000).endswith(b"600000")

    def test_are_cut_off_between_requests(self, client: socket.socket):
        """An idle connection is let go."""
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        assert read_all(client).endswith(b"0")

    def test_must_take_their_answer(self, client: socket.socket):
        """A reader that reads nothing holds a whole answer in memory."""
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(PATIENCE_S / 2)

        assert len(read_all(client)) < LARGE

    def test_get_a_large_answer_when_they_read_it(self, client: socket.socket):
        """Reading is all that is asked."""
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")

        assert len(read_all(client)) > LARGE


class TestHeads:
    """Request lines and headers."""

    @pytest.mark.parametrize(
        "head",
        [
            b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"x" * 3000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"x" * 3000,
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 800 + b"\r\n",
        ],
    )
    def test_are_bounded(self, client: socket.socket, head: bytes):
        """Whether whole or not, in one header or in many."""
        client.sendall(head)

        assert problem_in(read_all(client)) == (431, "head_too_large")

    @pytest.mark.parametrize(
        "junk", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\0\r\n\r\n"]
    )
    def test_must_be_http(self, client: socket.socket, junk: bytes):
        """TLS to a plain port is the usual case."""
        client.sendall(junk)

        assert problem_in(read_all(client)) == (400, "malformed_request")

    def test_may_be_refused_before_their_body_is_read(self, client: socket.socket):
        """S12: the rest of it is dropped for a while, not kept and not awaited for ever."""
        client.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")

        answer = read_all(client)

        assert answer.startswith(b"HTTP/1.1 200")

    def test_may_ask_for_an_upgrade_in_vain(self, client: socket.socket):
        """There are no web sockets here."""
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )

        assert client.recv(1000).startswith(b"HTTP/1.1 200")

    def test_may_follow_one_another_unanswered(self, client: socket.socket):
        """Pipelining: answers come in order."""
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" * 3)

        assert read_all(client).count(b"HTTP/1.1 200") == 3


class TestConnections:
    """How many there may be."""

    def test_are_refused_beyond_their_number(self, address: tuple[str, int]):
        """S11: with an answer, and only until one of them has gone."""
        inside = [socket.create_connection(address, PATIENCE_S) for _ in range(3)]
        time.sleep(0.1)
        with socket.create_connection(address, PATIENCE_S) as beyond:
            refused = problem_in(read_all(beyond))
        for each in inside:
            each.close()
        time.sleep(0.2)
        with socket.create_connection(address, PATIENCE_S) as later:
            later.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = later.recv(1000)

        assert refused == (503, "overloaded")
        assert answer.startswith(b"HTTP/1.1 200")
