"""The engine process' side of one front: its images into the batcher, the answers back to it.

A front keeps the versions it was told of until its last request with one has ended; then it
releases the version, and the runner goes when the last front has. Nothing that a front says
reaches further than its own block.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.bundle.runner import Runner
from core.errors import OverloadedError
from service.model.batcher import Batcher, Outcome
from service.model.model_slot import Serving
from service.workers import frames
from service.workers.channel import Channel
from service.workers.frames import Fault, Kind
from service.workers.shared_memory import Block, Board, Shape, make_block

_Place = tuple[int, int]


class InHand:
    """Counts the images of all fronts that are not answered yet, for every front to see.

    Args:
        board: Where they see it.
        batcher: Knows the pace.
    """

    def __init__(self, board: Board, batcher: Batcher) -> None:
        self._board = board
        self._batcher = batcher
        self._number = 0

    def add(self, change: int) -> None:
        """Count images that came or went."""
        self._number += change
        self._board.tell(self._number, self._batcher.expected_s(1))


@dataclass(frozen=True, slots=True)
class _Offered:
    runner: Runner
    block: Block


class Desk:
    """Serves one front.

    Args:
        batcher: Runs the model.
        in_hand: Counts what it was given.
        slots: Images of this front that may be on their way at one moment.
    """

    def __init__(self, batcher: Batcher, in_hand: InHand, *, slots: int) -> None:
        self._batcher = batcher
        self._in_hand = in_hand
        self._slots = slots
        self._channel: Channel | None = None
        self._offered: dict[int, _Offered] = {}
        self._answers: dict[_Place, asyncio.Future[Outcome]] = {}

    def __len__(self) -> int:
        """Return how many versions the front may still ask for."""
        return len(self._offered)

    def attach(self, channel: Channel) -> None:
        """Use a channel from now on."""
        self._channel = channel

    def offer(self, number: int, serving: Serving) -> None:
        """Tell the front of the version that serves from now on.

        Args:
            number: A new one.
            serving: The version; its runner runs here.
        """
        # What the slot of this process holds can be run in it.
        runner, channel = cast("Runner", serving.runner), self._channel
        if channel is None or not channel.is_open:
            return
        recipe = runner.recipe
        shape = Shape(self._slots, recipe.height, recipe.width, len(runner.labels))
        file = make_block(shape)
        self._offered[number] = _Offered(runner, Block(os.dup(file), shape))
        content = {
            "number": number,
            "slots": self._slots,
            "name": serving.name,
            "digest": serving.digest,
            "loaded_at": serving.loaded_at.isoformat(),
            "trial": serving.trial.to_json(),
            "manifest": runner.manifest.to_json(),
            "engine": runner.engine,
            "device": runner.device,
        }
        channel.send(Kind.SERVING, frames.pack_json(content), file=file)

    def heed(self, kind: Kind, content: bytes) -> None:
        """Do what the front says about images and versions."""
        if kind is Kind.SUBMIT:
            self._submit(frames.PLACE.unpack(content))
        elif kind is Kind.ABANDON:
            answer = self._answers.get(frames.PLACE.unpack(content))
            if answer is not None:
                answer.cancel()
        elif kind is Kind.RELEASE:
            (number,) = frames.VERSION.unpack(content)
            self._offered.pop(number, None)

    def on_lost(self) -> None:
        """Let go of everything of a front that is gone; what waits is not computed any more."""
        for answer in list(self._answers.values()):
            answer.cancel()
        self._offered.clear()

    def _submit(self, place: _Place) -> None:
        number, slot = place
        offered = self._offered[number]
        if place in self._answers:
            raise ValueError(f"slot {slot} of version {number} is in use")
        # A view of its own for each image tells, by its end, that nobody reads the slot any more.
        image = offered.block.images[slot].view()
        try:
            answer = self._batcher.submit(offered.runner, image)
        except OverloadedError as error:
            self._say(Kind.FAILED, frames.failure(place, error))
            return
        self._answers[place] = answer
        self._in_hand.add(1)
        reading = weakref.ref(image)
        answer.add_done_callback(lambda answer: self._answer(place, offered.block, answer, reading))

    def _answer(
        self,
        place: _Place,
        block: Block,
        answer: asyncio.Future[Outcome],
        reading: weakref.ref[NDArray[np.uint8]],
    ) -> None:
        del self._answers[place]
        self._in_hand.add(-1)
        if answer.cancelled():
            image = reading()
            if image is None:
                self._let_go(place)
            else:
                loop = answer.get_loop()
                weakref.finalize(image, self._let_go_later, loop, place).atexit = False
            return
        error = answer.exception()
        if error is not None:
            self._say(Kind.FAILED, frames.failure(place, error))
            return
        said = answer.result()
        room, k = block.answers[place[1]], block.shape.classes
        room[:k], room[k : 2 * k], room[2 * k :] = said.probabilities, said.logits, said.embedding
        numbers = (said.confidence, said.margin, said.entropy, said.queue_s, said.infer_s)
        self._say(Kind.ANSWERED, frames.ANSWER.pack(*place, *numbers))

    def _let_go(self, place: _Place) -> None:
        """Give back a slot that was abandoned."""
        self._say(Kind.FAILED, frames.FAILURE.pack(*place, Fault.ABANDONED, 0))

    def _let_go_later(self, loop: asyncio.AbstractEventLoop, place: _Place) -> None:
        """Give it back from the thread that read it last."""
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._let_go, place)

    def _say(self, kind: Kind, content: bytes) -> None:
        if self._channel is not None:
            self._channel.send(kind, content)
