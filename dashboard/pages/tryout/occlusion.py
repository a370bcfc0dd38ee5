"""Which parts of a picture an answer rests on, found by covering them one after the other.

No gradient is needed, only answers, so it is the same for every bundle. A grey square is moved over
the picture as the model sees it, by half its side at a time, and what the probability of the class
loses by that is what the place was worth. What is larger than the square, and what only counts
together with another part, is missed: it is a hint, and no explanation.

References:
    Zeiler, Fergus (2014), Visualizing and Understanding Convolutional Networks: section 4.2.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.bundle.runner import Runner

SIDES = (12, 10, 8, 7, 6, 5, 4)
BUDGET_S = 2.0

_GREY = 128
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Looked:
    """What covering each place of a picture costs a class.

    Attributes:
        before: Its probability for the whole picture.
        lost: What that loses at each place, float64 (side, side); negative where covering it
            makes the class likelier.
        seconds: What it took.
    """

    before: float
    lost: NDArray[np.float64]
    seconds: float


def look(
    runner: Runner, tensor: NDArray[np.uint8], label: int, *, budget_s: float = BUDGET_S
) -> Looked:
    """Return what each place of a picture is worth to a class.

    Args:
        runner: Asked about every covered picture.
        tensor: The picture as the model sees it, uint8 (H, W, 3).
        label: Place of the class among the runner's labels.
        budget_s: The grid is the finest of `SIDES` that keeps to this, and at least the coarsest.
    """
    begun = time.monotonic()
    before = float(runner.run(tensor[np.newaxis]).probabilities[0, label])
    side = finest(time.monotonic() - begun, budget_s, shortest=min(tensor.shape[:2]))
    covered = [_cover(tensor, side, place) for place in range(side * side)]
    after = [
        runner.run(np.stack(covered[start : start + _BATCH])).probabilities[:, label]
        for start in range(0, len(covered), _BATCH)
    ]
    lost = before - np.concatenate(after).astype(np.float64).reshape(side, side)
    return Looked(before, lost, time.monotonic() - begun)


def finest(one_s: float, budget_s: float, *, shortest: int) -> int:
    """Return the places a side that can be asked about in time.

    Args:
        one_s: What one picture takes.
        budget_s: What all of them may take.
        shortest: Pixels of the picture's short side: no place is smaller than one of them.
    """
    fitting = [side for side in SIDES if side <= shortest and side * side * one_s <= budget_s]
    return fitting[0] if fitting else min(SIDES[-1], shortest)


def _cover(tensor: NDArray[np.uint8], side: int, place: int) -> NDArray[np.uint8]:
    """Return the picture with a square of two places a side around one of them covered."""
    row, column = divmod(place, side)
    covered = tensor.copy()
    covered[_around(row, tensor.shape[0], side), _around(column, tensor.shape[1], side)] = _GREY
    return covered


def _around(place: int, length: int, side: int) -> slice:
    return slice(
        max(0, (2 * place - 1) * length // (2 * side)), (2 * place + 3) * length // (2 * side)
    )
