"""How the service listens, and how it stops: bound sockets, and uvicorn in between."""

import asyncio
import contextlib
import functools
import logging
import math
import resource
import socket
import threading
import time
from collections.abc import Callable, Generator

import uvicorn
from fastapi import FastAPI

from core.errors import UsageError
from service.door.http_protocol import Bounds, GuardedProtocol

_log = logging.getLogger(__name__)

_OTHER_FILES = 200  # open beside the connections: database, model, spool, libraries
_LOOK_S = 0.5
_BACKLOG = 2_048
# What a socket bound to every address is reached by from this machine.
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Server(uvicorn.Server):
    """uvicorn that stops when an event says so; signals are the caller's business.

    Left alone, uvicorn raises the signal again after a clean stop, and the process seems killed.

    Args:
        app: The application.
        stop: Set it to stop.
        drain_s: Time for requests in flight to finish, in seconds.
        on_started: Called once requests are answered.
        bounds: What is borne of each client.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        stop: threading.Event,
        drain_s: float,
        on_started: Callable[[], None],
        bounds: Bounds | None = None,
    ) -> None:
        bounds = bounds or Bounds()
        config = uvicorn.Config(
            app,
            # uvicorn calls what it is given here; that it is no class, it never asks.
            http=functools.partial(GuardedProtocol, bounds=bounds),  # pyright: ignore[reportArgumentType]
            lifespan="on",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(bounds.idle_s),
            backlog=_BACKLOG,
            timeout_graceful_shutdown=math.ceil(drain_s),
        )
        super().__init__(config)
        self._stop = stop
        self._on_started = on_started
        self._looked = time.monotonic()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `core.stopping`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Ask, ten times a second, whether to stop, and now and then whose time is up."""
        since_s = time.monotonic() - self._looked
        if since_s >= _LOOK_S:
            self._look(since_s)
        return await super().on_tick(counter) or self._stop.is_set()

    def _look(self, since_s: float) -> None:
        self._looked = time.monotonic()
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, GuardedProtocol):
                connection.look(now, since_s)


def make_room_for(connections: int) -> int:
    """Raise this process' limit on open files; return how many connections that is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    room = max(1, soft - _OTHER_FILES)
    _log.warning("the limit of %d open files leaves room for %d connections", soft, room)
    return room


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0 takes a free one.

    Raises:
        UsageError: The address is taken, or not one of this machine.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _unusable(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unusable(host, port, error) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address at which a bound socket is reached from this machine."""
    bound: tuple[str, int] = listener.getsockname()[:2]
    host, port = _FROM_HERE.get(bound[0], bound[0]), bound[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _unusable(host: str, port: int, error: OSError) -> UsageError:
    return UsageError(
        f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with "
        "WEAKSPOT_SERVICE_HOST and WEAKSPOT_SERVICE_PORT (0 takes a free port)"
    )
