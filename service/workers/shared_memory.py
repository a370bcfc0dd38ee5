"""Memory that the engine process and its fronts share: pixels, answers, and a board of numbers.

It has no name anywhere, so when the last process that holds it ends, however it ends, it is gone.
The engine process makes it and seals its size: no front can pull it away under the model.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.bundle.outputs import EMBEDDING_SIZE

_LINE = 64  # bytes of a processor's cache line: no two slots share one
_FLOAT_BYTES = 4
_IN_HAND, _PACE_S, _OWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a block is.

    Attributes:
        slots: Images that may be in it at one moment.
        height: Of an image, resized.
        width: Of an image, resized.
        classes: K.
    """

    slots: int
    height: int
    width: int
    classes: int

    @property
    def image_bytes(self) -> int:
        """Room for one image."""
        return _rounded(self.height * self.width * 3)

    @property
    def answer_bytes(self) -> int:
        """Room for what the model says of one image."""
        return _rounded(_FLOAT_BYTES * (2 * self.classes + EMBEDDING_SIZE))

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self.slots * (self.image_bytes + self.answer_bytes)


class Block:
    """Slots for the images of one version on their way from one front, and for the answers.

    Attributes:
        shape: How large it is.
        images: One view a slot, uint8 (height, width, 3).
        answers: One view a slot, float32 (2 K + 256,): probabilities, logits, embedding.

    Args:
        file: Descriptor of the memory; it is closed here, the memory stays.
        shape: As it was made.
    """

    def __init__(self, file: int, shape: Shape) -> None:
        memory = _map(file, shape.size)
        self.shape = shape
        size = shape.height * shape.width * 3
        pixels = np.frombuffer(memory, np.uint8, shape.slots * shape.image_bytes)
        self.images: list[NDArray[np.uint8]] = [
            row[:size].reshape(shape.height, shape.width, 3)
            for row in pixels.reshape(shape.slots, shape.image_bytes)
        ]
        floats = np.frombuffer(memory, np.float32, offset=pixels.nbytes)
        self.answers: list[NDArray[np.float32]] = [
            row[: 2 * shape.classes + EMBEDDING_SIZE] for row in floats.reshape(shape.slots, -1)
        ]


class Board:
    """Numbers that every process may look at without asking.

    Attributes:
        in_hand: Images, of all fronts, that the engine process has not answered yet.
        pace_s: What one more of them costs, by the pace of the last calls.

    Args:
        file: Descriptor of the memory; it is closed here, the memory stays.
        fronts: How many there are at most.
    """

    def __init__(self, file: int, fronts: int) -> None:
        size = _FLOAT_BYTES * 2 * (_OWN + fronts)
        self._numbers = np.frombuffer(_map(file, size), np.float64)

    @property
    def in_hand(self) -> int:
        """Images that the engine process has not answered yet."""
        return int(self._numbers[_IN_HAND])

    @property
    def pace_s(self) -> float:
        """Seconds that one more image takes."""
        return float(self._numbers[_PACE_S])

    def tell(self, in_hand: int, pace_s: float) -> None:
        """Write both; the engine process does."""
        self._numbers[_IN_HAND] = in_hand
        self._numbers[_PACE_S] = pace_s

    def closed(self, front: int) -> int:
        """Return how many of the connections that a front was given it has closed."""
        return int(self._numbers[_OWN + front])

    def note_closed(self, front: int, number: int) -> None:
        """Write it; the front does."""
        self._numbers[_OWN + front] = number


def make_block(shape: Shape) -> int:
    """Return the descriptor of memory for a block."""
    return _make("weakspot-pixels", shape.size)


def make_board(fronts: int) -> int:
    """Return the descriptor of memory for a board."""
    return _make("weakspot-board", _FLOAT_BYTES * 2 * (_OWN + fronts))


def _make(name: str, size: int) -> int:
    file = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, size)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    return file


def _map(file: int, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(file, size)
    finally:
        os.close(file)


def _rounded(size: int) -> int:
    return -(-size // _LINE) * _LINE
