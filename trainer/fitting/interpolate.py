"""The path of weights from the champion to its fine-tuned self, and the point chosen on it.

A fine-tune repairs the weak class and costs others a little; a point between the two sets of
weights keeps most of the first and saves most of the second (WiSE-FT, Wortsman et al. 2022,
Robust Fine-Tuning of Zero-Shot Models). Batch-norm statistics do not interpolate: they are those
of the fine-tuned network. The choice is made on the validation split; the gate looks once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.errors import TrainingError

ALPHAS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the path, against the champion on the validation split.

    Attributes:
        alpha: 0 is the champion, 1 the fine-tuned network.
        gain: Mean change of the flagged classes' recall.
        worst: Largest drop of any other class's recall, as a change: 0 or below.
        overall: Change of the accuracy.
    """

    alpha: float
    gain: float
    worst: float
    overall: float

    def to_dict(self) -> dict[str, Any]:
        """Return the point as JSON."""
        return asdict(self)


def between(
    champion: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    alpha: float,
    *,
    learnt: Sequence[str],
) -> dict[str, Tensor]:
    """Return the state at `alpha`: learnt parameters interpolated, the rest from `tuned`."""
    state = dict(tuned)
    for name in learnt:
        state[name] = champion[name].lerp(tuned[name], alpha)
    return state


def measure(
    alpha: float,
    *,
    champion: NDArray[np.int64],
    challenger: NDArray[np.int64],
    labels: NDArray[np.int64],
    flagged: Sequence[int],
) -> Point:
    """Compare the predictions at one point of the path with the champion's.

    Args:
        alpha: The point.
        champion: Its predicted class numbers, shape (n,).
        challenger: Those at the point, shape (n,).
        labels: True class numbers, shape (n,).
        flagged: Numbers of the weak classes; without any, the gain is that over all images.
    """
    change = (challenger == labels).astype(np.int64) - (champion == labels)
    by_class = {int(number): float(change[labels == number].mean()) for number in np.unique(labels)}
    gains = [by_class[number] for number in flagged if number in by_class]
    others = [drop for number, drop in by_class.items() if number not in flagged]
    overall = float(change.mean())
    return Point(
        alpha=alpha,
        gain=float(np.mean(gains)) if gains else overall,
        worst=min([0.0, *others]),
        overall=overall,
    )


def choose(path: Sequence[Point], *, margin: float, overall_margin: float) -> Point:
    """Choose the point with the largest gain that harms nobody by more than the margins.

    Where every point harms, the one that harms least is put to the gate: it decides. Of equals
    the one nearest to the champion is taken.

    Raises:
        TrainingError: The path is empty.
    """
    if not path:
        raise TrainingError("no point between champion and fine-tuned network was measured")
    harmless = [
        point for point in path if point.worst >= -margin and point.overall >= -overall_margin
    ]
    if harmless:
        return max(harmless, key=lambda point: (point.gain, -point.alpha))
    return max(path, key=lambda point: (point.worst, -point.alpha))
