"""The fronts of a service as the engine process sees them: started, told, replaced, stopped.

A front is a process for HTTP and decoding. Each connection goes to the one with the fewest. One
that dies takes its own connections with it and is started again, after a pause that grows while
it keeps dying; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.errors import OverloadedError
from service.workers import frames
from service.workers.channel import Channel, Files, Reply
from service.workers.engine_desk import Desk
from service.workers.frames import Kind, Topic
from service.workers.metrics_sum import Figures
from service.workers.shared_memory import Board

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_STEADY_S = 30.0  # who lived so long does not keep dying
_SILENT_S = 10.0  # a front that hung up has so long to end
_NUMBERS_S = 1.0  # a front that does not say its numbers in time is shown as it was


class Front:
    """One front: its process, and the line to it.

    Args:
        index: Which.
        setup: Its settings, as JSON.
        board: Descriptor of the numbers that all processes see; a copy goes along.
        desk: Serves it.
        on_question: Answers what it asks.
        on_keys: Told what it says of Idempotency-Keys.

    Attributes:
        index: Which.
        process: The process.
        desk: Serves it.
        is_ready: Whether it takes connections.
        trouble: Why it could not start.
        figures: What it last said of itself.
        given: Connections it was given.
        since: When it was started.
    """

    def __init__(
        self,
        index: int,
        *,
        setup: dict[str, Any],
        board: int,
        desk: Desk,
        on_question: Callable[[Topic, bytes, Reply], None],
        on_keys: Callable[[Kind, bytes], None],
    ) -> None:
        self.index, self.desk = index, desk
        self._on_keys = on_keys
        self.is_ready, self.trouble = False, ""
        self.figures = Figures()
        self.given = 0
        self.since = time.monotonic()
        self._lost_at: float | None = None
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.front", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # where a verb prints one object, and nothing else
            )
        self._channel = Channel(
            ours, on_frame=self._heed, on_question=on_question, on_lost=self._lose
        )
        desk.attach(self._channel)
        self.say(Kind.SETUP, frames.pack_json(setup), file=os.dup(board))

    def say(self, kind: Kind, content: bytes, *, file: int | None = None) -> None:
        """Tell it something."""
        self._channel.send(kind, content, file=file)

    def give(self, connection: socket.socket) -> None:
        """Hand it a connection."""
        self.given += 1
        self.say(Kind.CONNECTION, b"", file=connection.detach())

    async def refresh(self) -> None:
        """Ask what it has counted; a front that does not say stays as it was."""
        with suppress(TimeoutError, OverloadedError):
            async with asyncio.timeout(_NUMBERS_S):
                said = frames.unpack_json(await self._channel.ask(Topic.NUMBERS))
            self.figures = Figures(**said)

    def is_over(self, now: float) -> bool:
        """Say whether its process has ended; one that hung up and stays is killed."""
        if self._lost_at is not None and now - self._lost_at > _SILENT_S:
            self.process.kill()
        return self.process.poll() is not None

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
        self.desk.on_lost()

    def _heed(self, kind: Kind, content: bytes, _files: Files) -> None:
        if kind is Kind.READY:
            self.is_ready = True
        elif kind is Kind.LEAVING:
            self.is_ready = False
        elif kind is Kind.BROKEN:
            self.trouble = content.decode()
        elif kind in {Kind.KEPT, Kind.LEAVE}:
            self._on_keys(kind, content)
        else:
            self.desk.heed(kind, content)

    def _lose(self) -> None:
        self.is_ready = False
        self._lost_at = time.monotonic()
        self.desk.on_lost()


@dataclass(slots=True)
class _Seat:
    """The place of one front, whoever sits there."""

    front: Front | None = None
    failures: int = 0
    next_at: float = 0.0


class Fronts:
    """All fronts.

    Args:
        number: How many.
        start: Starts the one with an index, and tells it what serves.
        on_gone: Told of one that ended.
        board: Says how many connections each has closed.
    """

    def __init__(
        self,
        number: int,
        *,
        start: Callable[[int], Front],
        on_gone: Callable[[Front], None],
        board: Board,
    ) -> None:
        self._start = start
        self._on_gone = on_gone
        self._board = board
        self._seats = [_Seat() for _ in range(number)]

    def here(self) -> list[Front]:
        """Return those that have a process."""
        return [seat.front for seat in self._seats if seat.front]

    @property
    def are_ready(self) -> bool:
        """Whether each of them takes connections."""
        return all(seat.front and seat.front.is_ready for seat in self._seats)

    def tend(self) -> None:
        """Start those that are not there and are due, and bury those that have ended."""
        now = time.monotonic()
        for index, seat in enumerate(self._seats):
            if seat.front is None and now >= seat.next_at:
                self._board.note_closed(index, 0)
                seat.front = self._start(index)
            elif seat.front is not None and seat.front.is_over(now):
                self._bury(seat, seat.front, now)

    def next_for_a_connection(self) -> Front | None:
        """Return the one with the fewest connections; None while none takes any."""
        ready = [front for front in self.here() if front.is_ready]
        return min(ready, key=self._connections, default=None)

    async def stop(self, patience_s: float) -> None:
        """Let each finish what it accepted, then end; after `patience_s` it is killed."""
        give_up = time.monotonic() + patience_s
        for front in self.here():
            front.process.terminate()
        while self._alive() and time.monotonic() < give_up:
            await asyncio.sleep(0.02)
        for front in self._alive():
            _log.error("front %d did not end within %.0f s", front.index, patience_s)
        self.kill()

    def kill(self) -> None:
        """End every process that is left, at once."""
        for front in self.here():
            front.close()
            front.process.kill()
            front.process.wait()

    def _alive(self) -> list[Front]:
        return [front for front in self.here() if front.process.poll() is None]

    def _connections(self, front: Front) -> int:
        return front.given - self._board.closed(front.index)

    def _bury(self, seat: _Seat, front: Front, now: float) -> None:
        front.close()
        steady = now - front.since > _STEADY_S
        seat.failures = 0 if steady else seat.failures + 1
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** max(0, seat.failures - 1))
        seat.front, seat.next_at = None, now + pause_s
        _log.error(
            "front %d ended with %d; it is started again in %.1f s",
            front.index, front.process.returncode, pause_s,
        )  # fmt: skip
        self._on_gone(front)
