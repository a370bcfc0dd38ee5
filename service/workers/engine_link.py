"""A front's end of the line to the engine process, which tells it everything it has to know.

Versions fill this front's slot; connections are those that the engine process accepted and gives
to the front with the fewest. When the engine process is gone, nothing serves here any more, and
the front ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from core.bundle.manifest import Manifest
from core.bundle.trial import Trial
from core.errors import OverloadedError
from core.store.idempotency import Kept
from service.door.rates import Allowance
from service.log.idempotency import State
from service.log.log_entry import kept_from_json, kept_to_json
from service.model.model_slot import ModelSlot, Serving
from service.workers import frames
from service.workers.channel import Channel, Files, Reply
from service.workers.frames import Kind, Topic
from service.workers.metrics_sum import Figures
from service.workers.remote_batcher import RemoteBatcher, RemoteRunner
from service.workers.shared_memory import Block, Board, Shape

_log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
_GONE = "the engine process is gone, and this front ends; try again"


@dataclass(frozen=True, slots=True)
class Place:
    """Which front this is.

    Attributes:
        index: From 0.
        workers: How many fronts there are.
    """

    index: int
    workers: int


class EngineLink:
    """What a front needs of the engine process: a slot, a batcher, a tally, and the metrics.

    Args:
        end: The socket to it.
        board: The numbers that all processes see.
        place: Which front this is.

    Attributes:
        slot: Holds the version that serves.
        batcher: Hands images over.
        place: Which front this is.
        on_connection: To be told of every connection that is this front's.
        on_lost: To be told that the engine process is gone.
        on_kept: To be told what other fronts know of Idempotency-Keys.
        figures: To be asked for this process' own metrics, and what it has spooled.
    """

    def __init__(self, end: socket.socket, board: Board, place: Place) -> None:
        self.slot = ModelSlot()
        self.batcher = RemoteBatcher(board)
        self.place = place
        self.on_connection: Callable[[socket.socket], None] = _refuse
        self.on_lost: Callable[[], None] = lambda: None
        self.on_kept: Callable[[list[Kept], State], None] = lambda _kept, _state: None
        self.figures: Callable[[], Figures] = Figures
        self._end = end
        self._board = board
        self._channel: Channel | None = None
        self._told: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def attach(self) -> None:
        """Listen on this event loop; return when it is known what serves, or why nothing does."""
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self._channel = Channel(
            self._end, on_frame=self._heed, on_question=self._reply, on_lost=self._lose
        )
        self.batcher.attach(self._channel)
        await self._told.wait()

    def say(self, kind: Kind, words: str = "") -> None:
        """Say something about this front."""
        if self._channel:
            self._channel.send(kind, words.encode(errors="replace"))

    def report_trouble(self, words: str) -> None:
        """Say, before there is an event loop, why this front cannot start."""
        if self._channel is None:
            with suppress(OSError):
                self._end.sendall(frames.frame(Kind.BROKEN, words.encode(errors="replace")))

    def note_closed(self, connections: int) -> None:
        """Let the engine process know how many of this front's connections have ended."""
        self._board.note_closed(self.place.index, connections)

    def close(self) -> None:
        """Hang up."""
        if self._channel:
            self._channel.close()

    async def take(self, key: str, per_minute: int) -> Allowance:
        """Take one request out of a key's bucket, which all fronts share."""
        return frames.unpack_allowance(
            await self._ask(Topic.RATE, frames.pack_rate(key, per_minute))
        )

    async def guess(self, address: str) -> tuple[int, bool]:
        """Note a wrong key of an address, whichever front it comes to."""
        return frames.unpack_guess(await self._ask(Topic.GUESS, address.encode()))

    @asynccontextmanager
    async def turn(self, place: tuple[str, str]) -> AsyncGenerator[None]:
        """Be the only front that deals with an Idempotency-Key, for a while."""
        content = frames.pack_json({"place": place})
        try:
            await self._ask(Topic.TURN, content)
            yield
        finally:
            # After everything that was shared meanwhile: whoever is next has heard of it then.
            self._say_later(Kind.LEAVE, content)

    def share(self, kept: list[Kept], state: State) -> None:
        """Tell the other fronts what is known of Idempotency-Keys; called by any thread."""
        told = {"state": state, "kept": [kept_to_json(each) for each in kept]}
        self._say_later(Kind.KEPT, frames.pack_json(told))

    async def metrics(self) -> bytes:
        """Return the metrics of all processes as one page."""
        return await self._ask(Topic.PAGE)

    async def _ask(self, topic: Topic, content: bytes = b"") -> bytes:
        channel = self._channel
        assert channel is not None, "attach first"  # noqa: S101 - the lifespan does
        # With a key, another front's request may come first; how long is the asker's business.
        patience_s = None if topic is Topic.TURN else _PATIENCE_S
        try:
            async with asyncio.timeout(patience_s):
                return await channel.ask(topic, content)
        except TimeoutError as error:
            raise OverloadedError("the engine process does not answer; try again") from error

    def _heed(self, kind: Kind, content: bytes, files: Files) -> None:
        if kind is Kind.ANSWERED:
            self.batcher.on_answered(content)
        elif kind is Kind.FAILED:
            self.batcher.on_failed(content)
        elif kind is Kind.CONNECTION:
            self.on_connection(socket.socket(fileno=files.popleft()))
        elif kind is Kind.SERVING:
            self._serve(content, files.popleft())
        elif kind is Kind.KEPT:
            told = frames.unpack_json(content)
            self.on_kept([kept_from_json(each) for each in told["kept"]], told["state"])
        elif kind is Kind.REASON:
            self.slot.explain(content.decode())
            self._settle()

    def _serve(self, content: bytes, file: int) -> None:
        told = frames.unpack_json(content)
        manifest = Manifest.from_json(told["manifest"])
        recipe, slots, number = manifest.recipe, told["slots"], told["number"]
        shape = Shape(slots, recipe.height, recipe.width, len(manifest.labels))
        runner = RemoteRunner(
            number=number,
            manifest=manifest,
            engine=told["engine"],
            device=told["device"],
            block=Block(file, shape),
            free=list(range(slots)),
        )
        # Whoever holds the runner may still hand images over; when nobody does, it is released.
        weakref.finalize(runner, self._release, number).atexit = False
        trial, since = Trial.from_json(told["trial"]), datetime.fromisoformat(told["loaded_at"])
        self.slot.swap(Serving(runner, trial, told["name"], told["digest"], since))
        self._settle()

    def _release(self, number: int) -> None:
        """Say that a version is not used here any more; the last to let go may be any thread."""
        self._say_later(Kind.RELEASE, frames.VERSION.pack(number))

    def _say_later(self, kind: Kind, content: bytes) -> None:
        channel, loop = self._channel, self._loop
        if channel and loop:
            with suppress(RuntimeError):  # the loop has ended, and so has its need
                loop.call_soon_threadsafe(channel.send, kind, content)

    def _settle(self) -> None:
        if self._told:
            self._told.set()

    def _reply(self, topic: Topic, _content: bytes, reply: Reply) -> None:
        if topic is Topic.NUMBERS:
            reply(frames.pack_json(asdict(self.figures())))

    def _lose(self) -> None:
        _log.warning("the engine process is gone; this front ends")
        self.batcher.on_lost()
        self.slot.empty(_GONE)
        self._settle()
        self.on_lost()


def greet(end: socket.socket) -> tuple[dict[str, Any], int] | None:
    """Wait for the first frame, on a socket that blocks; None when the engine process is gone.

    Returns:
        The settings, and the descriptor of the board.
    """
    heard, files = bytearray(), list[int]()
    needed = frames.HEAD.size
    while len(heard) < needed:
        data, more, _, _ = socket.recv_fds(end, needed - len(heard), 1)
        files += more
        if not data:
            return None
        heard += data
        if len(heard) == frames.HEAD.size:
            _, length = frames.HEAD.unpack(heard)
            needed += length
    if not files:
        return None
    for file in files[1:]:
        os.close(file)
    return frames.unpack_json(bytes(heard[frames.HEAD.size :])), files[0]


def _refuse(connection: socket.socket) -> None:
    connection.close()
