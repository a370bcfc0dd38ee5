"""Which classes get today's labelled images: half evenly, half where suspicion is greatest.

How many images a class is examined on may depend on all that is past without touching the
guarantee of the detectors: their bets are fair for any number. So labels may go where they
decide something, and the delay to an alarm at 1,000 classes halves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.counts import whole_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SUSPECTED_SHARE = 0.1
# Of the suspects, the first gets about three times what the thirtieth gets. With equal shares a
# drop from 0.95 to 0.90 took 15 days among 1,000 classes instead of 10; see docs/detection.md.
RANK_POWER = -1 / 3


def allocate(evidence: ArrayLike, labels: int) -> NDArray[np.int64]:
    """Return how many images each class gets, shape as `evidence`; together exactly `labels`.

    Half of the labels are spread evenly over all K classes and half over the suspects: the
    tenth of the classes with the largest evidence, rounded up, where the share of rank i falls
    with i to the power -1/3. What does not divide goes one each to the classes with the most
    evidence. Equal evidence is settled by the order of the classes, so the same past gives the
    same draw.

    Args:
        evidence: E of each class, shape (..., K); leading axes are models of their own.
        labels: Labelled images a day, for all classes together.

    Raises:
        StatisticsError: The evidence is not finite or negative, there is no class, or
            `labels` is negative.

    Example:
        >>> allocate([0.0, 7.0, 1.0], labels=10)
        array([1, 7, 2])
    """
    e = np.asarray(evidence, dtype=np.float64)
    if e.ndim == 0 or e.shape[-1] == 0 or not np.all((e >= 0) & (e < math.inf)):
        raise StatisticsError("evidence must be rows (..., K) of finite numbers from 0 on")
    if labels < 0:
        raise StatisticsError(f"{labels} labels cannot be spread")
    classes = e.shape[-1]
    suspects = math.ceil(SUSPECTED_SHARE * classes)
    by_rank = _evenly(labels - labels // 2, classes)
    by_rank[:suspects] += _by_rank(labels // 2, suspects)
    order = np.argsort(-e, axis=-1, kind="stable")
    given = np.empty(e.shape, dtype=np.int64)
    np.put_along_axis(given, order, np.broadcast_to(by_rank, e.shape), axis=-1)
    return given


def allocate_within(evidence: ArrayLike, labels: int, available: ArrayLike) -> NDArray[np.int64]:
    """Return what `allocate` gives, as far as there are fresh images; shape (K,).

    What a class cannot use goes on to those that can, evenly, so that `labels` are spent as
    long as there are as many images. A suspect without images does not hold back the rest.

    Args:
        evidence: E of each class, shape (K,).
        labels: Labelled images a day, for all classes together.
        available: Images of each class that may be drawn, shape (K,).

    Raises:
        StatisticsError: As `allocate`, or the shapes differ.

    Example:
        >>> allocate_within([0.0, 7.0, 1.0], labels=10, available=[9, 3, 2])
        array([5, 3, 2])
    """
    stock = whole_numbers("available", available)
    wanted = allocate(evidence, labels)
    if stock.shape != wanted.shape or stock.ndim != 1:
        raise StatisticsError(f"evidence {wanted.shape} and images {stock.shape} must be one row")
    given = np.minimum(wanted, stock)
    order = np.argsort(-np.asarray(evidence, dtype=np.float64), kind="stable")
    while given.sum() < min(labels, stock.sum()):
        # Each round spends what is left or empties a class, so there are at most K of them.
        room = order[(stock > given)[order]]
        more = _evenly(labels - int(given.sum()), room.size)
        given[room] = np.minimum(given[room] + more, stock[room])
    return given


def _evenly(labels: int, classes: int) -> NDArray[np.int64]:
    """Return labels by rank, as equal as can be, shape (classes,)."""
    return labels // classes + (np.arange(classes) < labels % classes)


def _by_rank(labels: int, classes: int) -> NDArray[np.int64]:
    """Return labels by rank, most to the first, shape (classes,)."""
    weights = np.arange(1.0, classes + 1) ** RANK_POWER
    given = np.floor(labels * weights / weights.sum()).astype(np.int64)
    return given + _evenly(labels - int(given.sum()), classes)
