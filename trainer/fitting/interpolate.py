"""The path of weights from the champion to its fine-tuned self, and the point chosen on it.

A fine-tune repairs the weak class and costs others a little; a point between the two sets of
weights keeps most of the first and saves most of the second (WiSE-FT, Wortsman et al. 2022,
Robust Fine-Tuning of Zero-Shot Models). Batch-norm statistics do not interpolate: they are those
of the fine-tuned network. The choice is made on the validation split; the gate looks once
(docs/adr/0035).
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
_MIDDLE = 0.5  # What Wortsman et al. advise where nothing else is known.


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the path, against the champion on the validation split.

    Attributes:
        alpha: 0 is the champion, 1 the fine-tuned network.
        gain: Mean change of the flagged classes' recall.
        gain_error: Its standard error.
        worst: Largest drop of any other class's recall, as a change: 0 or below.
        overall: Change of the accuracy.
    """

    alpha: float
    gain: float
    gain_error: float
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
    by_class = {int(number): change[labels == number] for number in np.unique(labels)}
    aimed = [by_class[number] for number in flagged if number in by_class] or [change]
    others = [float(each.mean()) for number, each in by_class.items() if number not in flagged]
    return Point(
        alpha=alpha,
        gain=float(np.mean([each.mean() for each in aimed])),
        gain_error=float(np.sqrt(sum(each.var() / len(each) for each in aimed)) / len(aimed)),
        worst=min([0.0, *others]),
        overall=float(change.mean()),
    )


def choose(path: Sequence[Point], *, margin: float, overall_margin: float) -> Point:
    """Choose the middle of the path, or what is shown to gain more, if it harms nobody.

    Of the points that harm nobody by more than the margins, those count whose gain is within one
    standard error of the largest (Breiman et al. 1984, Classification and Regression Trees, 3.4.3):
    the validation split has a few images of a fault that is days old, and one of them decides
    little. Of these the one nearest to the middle is taken, and of two the one nearer to the
    champion. Where every point harms, the one that harms least is put to the gate: it decides.

    Raises:
        TrainingError: The path is empty.
    """
    if not path:
        raise TrainingError("no point between champion and fine-tuned network was measured")
    harmless = [
        point for point in path if point.worst >= -margin and point.overall >= -overall_margin
    ]
    if not harmless:
        return max(path, key=lambda point: (point.worst, -point.alpha))
    best = max(harmless, key=lambda point: (point.gain, -point.alpha))
    enough = [point for point in harmless if point.gain >= best.gain - best.gain_error]
    return min(enough, key=lambda point: (abs(point.alpha - _MIDDLE), point.alpha))
