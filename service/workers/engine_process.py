"""The engine process of a service with workers: one model, one queue, and fronts before them.

It accepts the connections and hands each to a front, runs what the fronts ask for, counts for
all of them, and tells them what serves. Pixels never pass through a socket, and the model is in
this process alone. When it ends, however it ends, its fronts end too.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvicorn
from prometheus_client import Counter

from core.errors import UsageError
from service.door.rates import LocalTally
from service.model.model_slot import Serving, ToldSlot
from service.telemetry import Metrics
from service.workers import frames
from service.workers.channel import Reply
from service.workers.engine_desk import Desk, InHand
from service.workers.engine_room import EngineRoom
from service.workers.frames import Kind, Topic
from service.workers.fronts import Front, Fronts
from service.workers.key_turns import KeyTurns
from service.workers.metrics_sum import Sum, numbers_of, render
from service.workers.shared_memory import Board, make_board

_log = logging.getLogger(__name__)

_TICK_S = 0.1
_AT_ONCE = 64  # connections accepted in one turn of the loop
_BACKLOG = 2_048
_KEPT_AT_ONCE = 1_000
_LAST_S = 20.0  # beyond the drain: for the log, the spool and the connections to Postgres
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a service with workers runs.

    Attributes:
        workers: Fronts.
        slots: Images that each may have on their way at one moment.
        setup: Settings of every front, as JSON.
        drain_s: Time for requests in flight at the end.
    """

    workers: int
    slots: int
    setup: dict[str, Any]
    drain_s: float


class EngineProcess:
    """Runs the engine room behind its fronts.

    Args:
        room: Where the model is; its slot is a ToldSlot.
        plan: How.
        listener: The bound socket.
        metrics: This process' own numbers.
        stop: Set it to stop.
        on_started: Called once every front takes connections.
    """

    def __init__(
        self,
        room: EngineRoom,
        plan: Plan,
        *,
        listener: socket.socket,
        metrics: Metrics,
        stop: threading.Event,
        on_started: Callable[[], None],
    ) -> None:
        self._room, self._plan, self._listener = room, plan, listener
        self._metrics, self._stop, self._on_started = metrics, stop, on_started
        self._board_file = make_board(plan.workers)
        self._board = Board(os.dup(self._board_file), plan.workers)
        self._in_hand = InHand(self._board, room.batcher)
        self._tally = LocalTally()
        self._turns = KeyTurns()
        self._gone = Sum()
        self._number = 0
        self._looked = False
        self._accepting = False
        self._fronts = Fronts(
            plan.workers, start=self._start, on_gone=self._bury, board=self._board
        )
        self._lost = Counter(
            "weakspot_fronts_lost",
            "Fronts that ended while the service went on.",
            registry=metrics.registry,
        )
        metrics.watch("weakspot_fronts", "Fronts that take connections.", self._ready)
        metrics.watch("weakspot_spool_predictions", "Predictions in the spool.", self._spooled)

    def run(self) -> None:
        """Serve until told to stop; then every front finishes what it accepted.

        Raises:
            UsageError: A front cannot work with its settings.
        """
        config = uvicorn.Config(_nothing, log_config=None)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        loop, room = asyncio.get_running_loop(), self._room
        slot = room.slot
        assert isinstance(slot, ToldSlot)  # noqa: S101 - whoever furnished the room sees to it
        slot.on_change = lambda news: _call(loop, lambda: self._tell_all(news))
        room.batcher.start()
        try:
            self._fronts.tend()
            await asyncio.to_thread(room.reloader.look)
            room.reloader.start()
            room.upkeep.start()
            room.self_check.start()
            self._looked = True
            if slot.peek() is None:
                self._tell_all(slot.reason)
            if await self._started():
                self._listener.setblocking(False)
                self._listener.listen(_BACKLOG)
                self._on_started()
                await self._work()
            await self._fronts.stop(self._plan.drain_s + _LAST_S)
        finally:
            self._fronts.kill()
            await asyncio.to_thread(self._close)

    async def _started(self) -> bool:
        """Wait for all fronts; False when told to stop meanwhile."""
        give_up = time.monotonic() + _START_S
        while not self._stop.is_set() and not self._fronts.are_ready:
            over = [each for each in self._fronts.here() if each.process.poll() is not None]
            await asyncio.sleep(_TICK_S / 10)  # in which its last words arrive
            for front in over:
                raise UsageError(
                    front.trouble
                    or f"front {front.index} ended with {front.process.returncode} before it "
                    "took any connection; the log says why"
                )
            if time.monotonic() > give_up:
                raise UsageError(
                    f"the fronts were not ready within {_START_S:.0f} s; try fewer workers"
                )
        return not self._stop.is_set()

    async def _work(self) -> None:
        loop, listener = asyncio.get_running_loop(), self._listener
        while not self._stop.is_set():
            self._fronts.tend()
            # While no front is ready, whoever connects waits in the kernel.
            accepting = self._fronts.next_for_a_connection() is not None
            if accepting and not self._accepting:
                loop.add_reader(listener, self._accept)
            elif self._accepting and not accepting:
                loop.remove_reader(listener)
            self._accepting = accepting
            await asyncio.sleep(_TICK_S)
        if self._accepting:
            loop.remove_reader(listener)
        listener.close()

    def _accept(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                front = self._fronts.next_for_a_connection()
                if front is None:
                    return
                connection, _ = self._listener.accept()
                front.give(connection)
        except BlockingIOError:
            return
        except OSError as error:
            # Out of files, most likely: the loop looks again at the next tick.
            _log.error("a connection cannot be accepted: %s", error)
            asyncio.get_running_loop().remove_reader(self._listener)
            self._accepting = False

    def _start(self, index: int) -> Front:
        desk = Desk(self._room.batcher, self._in_hand, slots=self._plan.slots)
        setup = {**self._plan.setup, "index": index, "workers": self._plan.workers}
        front = Front(
            index,
            setup=setup,
            board=self._board_file,
            desk=desk,
            on_question=functools.partial(self._answer, index),
            on_keys=functools.partial(self._heed_keys, index),
        )
        for kept in self._turns.pinned(at_once=_KEPT_AT_ONCE):
            front.say(Kind.KEPT, frames.pack_json({"state": "pinned", "kept": kept}))
        serving = self._room.slot.peek()
        if serving is not None:
            self._tell(front, serving)
        elif self._looked:
            self._tell(front, self._room.slot.reason)
        return front

    def _tell_all(self, news: Serving | str) -> None:
        for front in self._fronts.here():
            self._tell(front, news)

    def _tell(self, front: Front, news: Serving | str) -> None:
        if isinstance(news, str):
            front.say(Kind.REASON, news.encode())
            return
        self._number += 1
        front.desk.offer(self._number, news)

    def _answer(self, index: int, topic: Topic, content: bytes, reply: Reply) -> None:
        if topic is Topic.RATE:
            reply(frames.pack_allowance(self._tally.take_now(*frames.unpack_rate(content))))
        elif topic is Topic.GUESS:
            reply(frames.pack_guess(*self._tally.guess_now(content.decode())))
        elif topic is Topic.TURN:
            place = tuple(frames.unpack_json(content)["place"])
            self._turns.join(place, index, lambda: reply(b""))
        elif topic is Topic.PAGE:
            task = asyncio.get_running_loop().create_task(self._page())
            task.add_done_callback(lambda page: reply(page.result()))

    def _heed_keys(self, index: int, kind: Kind, content: bytes) -> None:
        told = frames.unpack_json(content)
        if kind is Kind.LEAVE:
            self._turns.leave(tuple(told["place"]), index)
            return
        self._turns.note(told["state"], told["kept"])
        for front in self._fronts.here():
            if front.index != index:
                front.say(Kind.KEPT, content)

    async def _page(self) -> bytes:
        fronts = self._fronts.here()
        await asyncio.gather(*(front.refresh() for front in fronts))
        parts = [numbers_of(self._metrics.registry)]
        parts += [front.figures.numbers for front in self._fronts.here()]
        return await asyncio.to_thread(render, parts, gone=self._gone.numbers())

    def _bury(self, front: Front) -> None:
        self._lost.inc()
        self._turns.forget(front.index)
        self._gone.add(front.figures.numbers, gone=True)

    def _ready(self) -> int:
        return sum(front.is_ready for front in self._fronts.here())

    def _spooled(self) -> int:
        segments: dict[str, int] = {}
        for front in self._fronts.here():
            segments |= front.figures.segments
        return sum(segments.values())

    def _close(self) -> None:
        if self._looked:
            self._room.reloader.stop()
            self._room.upkeep.stop()
            self._room.self_check.stop()
        self._room.batcher.stop()


def _call(loop: asyncio.AbstractEventLoop, step: Callable[[], None]) -> None:
    """Do something on the loop, from any thread; too late when it has ended."""
    try:
        loop.call_soon_threadsafe(step)
    except RuntimeError:
        _log.debug("the loop has ended already")


async def _nothing(*_: object) -> None:
    """Stand where uvicorn wants an application: only its choice of an event loop is asked for."""
