"""`python -m service.front`: one front of a service with workers, started by its engine process.

It has everything of a service but the model: it reads requests, decodes pictures, writes the log
and its own segments of the spool. SIGTERM lets it finish what it accepted; so does an engine
process that is gone, with what needs no model.
"""

import asyncio
import logging
import signal
import socket
import sys
import threading
from typing import Any

from core import logs
from core.clock import open_clock
from core.errors import WeakspotError
from core.settings import HomeSettings, ServiceSettings
from core.stopping import stopping_on_signals
from core.store.database import create_engine
from service.allocator import keep_small_blocks
from service.app import create_app
from service.door.http_protocol import Bounds
from service.server import Server, make_room_for
from service.workers.engine_link import EngineLink, Place, greet
from service.workers.frames import Kind
from service.workers.shared_memory import Board

_log = logging.getLogger("service.front")  # not the name it is run by


class FrontServer(Server):
    """A server whose connections are accepted by another process.

    Args:
        link: Where they come from.
        options: Those of `Server`.
    """

    def __init__(self, link: EngineLink, **options: Any) -> None:
        super().__init__(**options)
        self._link = link
        self._given = 0
        self._arriving: set[asyncio.Task[None]] = set()
        link.on_connection = self.take

    def take(self, connection: socket.socket) -> None:
        """Serve a connection."""
        self._given += 1
        arriving = asyncio.get_running_loop().create_task(self._connect(connection))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)

    async def on_tick(self, counter: int) -> bool:
        """Tell the engine process, ten times a second, how many connections have ended."""
        open_now = len(self.server_state.connections) + len(self._arriving)
        self._link.note_closed(self._given - open_now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and finish what those that are here have asked for."""
        self._link.say(Kind.LEAVING)
        await super().shutdown(sockets)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError as error:
            _log.debug("a connection ended before it began: %s", error)
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def serve(link: EngineLink, home: HomeSettings, settings: ServiceSettings) -> None:
    """Serve until SIGTERM, or until the engine process is gone."""
    if home.database_url is None:
        raise ValueError("a front is told where the database is")
    stop = threading.Event()
    link.on_lost = stop.set
    engine = create_engine(home.database_url)
    with stopping_on_signals(stop):
        # Ctrl-C reaches every process of a terminal; the engine process then says what to do.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        app = create_app(
            settings, engine=engine, clock=open_clock(home.clock_file), home=home.home, link=link
        )
        bounds = Bounds(max_connections=make_room_for(settings.max_connections))
        FrontServer(
            link,
            app=app,
            stop=stop,
            drain_s=settings.drain_s,
            on_started=lambda: link.say(Kind.READY),
            bounds=bounds,
        ).run([])
    engine.dispose()


def main(arguments: list[str]) -> int:
    """Take the settings from the engine process, and serve; return the exit code."""
    end = socket.socket(fileno=int(arguments[0]))
    greeting = greet(end)
    if greeting is None:
        return 0
    setup, board = greeting
    home, settings = HomeSettings(**setup["home"]), ServiceSettings(**setup["service"])
    logs.configure(home.log_level, home.log_format)
    keep_small_blocks()
    place = Place(setup["index"], setup["workers"])
    link = EngineLink(end, Board(board, place.workers), place)
    try:
        serve(link, home, settings)
    except WeakspotError as error:
        _log.error("front %d cannot start: %s", place.index, error)
        link.report_trouble(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
