"""A front's side of the batcher: images go to the engine process, answers come back.

An image is copied once, into a slot of memory that both processes share; a few bytes on a socket
say which slot it is. A slot is free again when the engine process says so: with the answer, or,
where nobody waits for that any more, once no thread there can still read the image.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.bundle.manifest import Manifest
from core.errors import OverloadedError, UsageError
from core.images.preprocess import Recipe
from service.model.batcher import Outcome
from service.workers import frames
from service.workers.channel import Channel
from service.workers.frames import Fault, Kind
from service.workers.shared_memory import Block, Board

_Place = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RemoteRunner:
    """A version that the engine process runs.

    Attributes:
        number: What the engine process calls it.
        manifest: What its bundle says about itself.
        engine: What computes it.
        device: Where.
        block: Where its images go.
        free: Slots of the block without an image.
    """

    number: int
    manifest: Manifest
    engine: str
    device: str
    block: Block
    free: list[int] = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the outputs."""
        return self.manifest.labels

    @property
    def version(self) -> str:
        """The version that answers."""
        return self.manifest.version

    @property
    def recipe(self) -> Recipe:
        """How a picture becomes this model's input."""
        return self.manifest.recipe


@dataclass(frozen=True, slots=True)
class _Pending:
    # The runner is held for as long as the engine process may touch its block.
    runner: RemoteRunner
    answer: asyncio.Future[Outcome]


class RemoteBatcher:
    """Takes single images to the engine process.

    Args:
        board: Says how much of all fronts is in hand there.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._channel: Channel | None = None
        self._pending: dict[_Place, _Pending] = {}

    def attach(self, channel: Channel) -> None:
        """Use a channel from now on."""
        self._channel = channel

    def start(self) -> None:
        """Do nothing: the threads are in the engine process."""

    def stop(self) -> None:
        """Do nothing: what is pending is answered, or given up by whoever asked."""

    def __len__(self) -> int:
        """Return how many images of this front the engine process has not answered yet."""
        return len(self._pending)

    @property
    def is_idle(self) -> bool:
        """Whether the engine process has nothing in hand or on its way, of this front or others."""
        return not self._pending and self._board.in_hand == 0

    def expected_s(self, ahead: int) -> float:
        """Return how long so many images of this front take, with those of all others.

        Args:
            ahead: Images of this front.
        """
        others = max(0, self._board.in_hand - len(self._pending))
        return (ahead + others) * self._board.pace_s

    def submit(self, runner: RemoteRunner, image: NDArray[np.uint8]) -> asyncio.Future[Outcome]:
        """Hand one image over; call it on the event loop that awaits the answer.

        Args:
            runner: The version that is to answer.
            image: uint8 (H, W, 3), preprocessed by that version's recipe.

        Raises:
            UsageError: The image has another shape.
            OverloadedError: Too many are on their way, or the engine process is gone.
        """
        if self._channel is None or not self._channel.is_open:
            raise OverloadedError("the service is stopping; try again")
        if not runner.free:
            raise OverloadedError(f"{len(self._pending)} images are waiting already; try again")
        shape = runner.block.images[0].shape
        if image.shape != shape:
            raise UsageError(f"version {runner.version} takes {shape}, not {image.shape}")
        slot = runner.free.pop()
        runner.block.images[slot][:] = image
        place = (runner.number, slot)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[place] = _Pending(runner, answer)
        answer.add_done_callback(lambda answer: self._done(place, answer))
        self._channel.send(Kind.SUBMIT, frames.PLACE.pack(*place))
        return answer

    def on_answered(self, content: bytes) -> None:
        """Take an answer from its slot."""
        number, slot, confidence, margin, entropy, queue_s, infer_s = frames.ANSWER.unpack(content)
        pending = self._pending.pop((number, slot))
        runner, k = pending.runner, len(pending.runner.labels)
        said = runner.block.answers[slot].copy()
        runner.free.append(slot)
        if not pending.answer.done():
            pending.answer.set_result(
                Outcome(
                    probabilities=said[:k],
                    logits=said[k : 2 * k],
                    embedding=said[2 * k :],
                    confidence=confidence,
                    margin=margin,
                    entropy=entropy,
                    queue_s=queue_s,
                    infer_s=infer_s,
                )
            )

    def on_failed(self, content: bytes) -> None:
        """Hear that there is no answer for a slot."""
        number, slot, fault, retry_after_s = frames.FAILURE.unpack_from(content)
        pending = self._pending.pop((number, slot))
        pending.runner.free.append(slot)
        if fault != Fault.ABANDONED and not pending.answer.done():
            words = content[frames.FAILURE.size :].decode()
            pending.answer.set_exception(frames.error_of(fault, words, retry_after_s))

    def on_lost(self) -> None:
        """Let nobody wait for an engine process that is gone."""
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(OverloadedError("the service is stopping; try again"))
        self._pending.clear()

    def _done(self, place: _Place, answer: asyncio.Future[Outcome]) -> None:
        if not answer.cancelled() or self._channel is None:
            return
        pending = self._pending.get(place)
        if pending is not None and pending.answer is answer:
            self._channel.send(Kind.ABANDON, frames.PLACE.pack(*place))
