"""Which labels look wrong: confident learning over one draw.

The model disagrees with a label, and says another class as surely as it usually says that class
of images that bear its name. That may be the label's fault or the model's; this module only says
where they disagree for sure. Which of them is at fault is asked in core.stats.cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.classification import checked_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Rows compared at once, so that 2,500 classes need no second copy of all probabilities.
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class Suspicions:
    """Labels that look wrong, the surest first.

    Attributes:
        rows: Places among the images, int64 (S,).
        suggested: The class that the model is sure of, int64 (S,).
        margin: Probability of the given label less that of the suggested class, float64 (S,).
    """

    rows: NDArray[np.int64]
    suggested: NDArray[np.int64]
    margin: NDArray[np.float64]


def confident_disagreements(probabilities: ArrayLike, labels: ArrayLike) -> Suspicions:
    """Return the images off the diagonal of the confident joint.

    The threshold t_j of a class is the mean probability of j over the images labelled j. An image
    labelled i counts as j = argmax of p_l over the classes l with p_l >= t_l, if there is any; it
    is suspected where j is not i. Ranked by p_i - p_j, the smallest first.

    Args:
        probabilities: Of images that the model has not learnt from, shape (N, K).
        labels: The given labels, shape (N,); N = 0 is allowed.

    Raises:
        StatisticsError: The shapes do not fit, or a label is no class.

    References:
        Northcutt, Jiang, Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset
        Labels, J. Artificial Intelligence Research 70: 3.1, the confident joint; 3.2.
    """
    p = np.asarray(probabilities)
    if p.ndim != 2 or p.shape[1] == 0 or not np.isfinite(p).all():
        raise StatisticsError(f"probabilities of shape {p.shape} must be (N, K) and finite")
    if not len(p):
        return Suspicions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    given = checked_labels(labels, p.shape[1])
    if len(given) != len(p):
        raise StatisticsError(f"{len(p)} rows of probabilities for {len(given)} labels")
    own = p[np.arange(len(p)), given].astype(np.float64)
    counts = np.bincount(given, minlength=p.shape[1])
    sums = np.bincount(given, weights=own, minlength=p.shape[1])
    # A class that no image is labelled as has no threshold, and nothing is taken for it.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    said = np.concatenate([_surely(block, thresholds) for block in _blocks(p)])
    rows = np.flatnonzero((said >= 0) & (said != given))
    margin = own[rows] - p[rows, said[rows]]
    order = np.argsort(margin, kind="stable")
    return Suspicions(rows[order], said[rows][order], margin[order])


def _surely(p: NDArray[np.floating], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the likeliest of the classes that reach their threshold; -1 where none does."""
    # Float32 means of equal numbers may lie a rounding above them.
    reached = np.where(p >= thresholds - 1e-6, p, -1.0)
    best = reached.argmax(axis=1)
    return np.where(reached[np.arange(len(p)), best] >= 0, best, -1).astype(np.int64)


def _blocks(p: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    rows = max(1, _BLOCK // p.shape[1])
    return [p[start : start + rows] for start in range(0, len(p), rows)]
