"""Which classes are below the floor the owner asked for? A question of level, not of change.

Within an epoch of 30 days the e-SR bet against "p >= floor" gathers evidence; a thirtieth of
it is an e-value, since E minus the days is a supermartingale. The list is what the e-BH
procedure takes from all classes: of those on it a share q at most is there by chance,
however the classes depend on each other and whenever one looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.proportions import posterior_means

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

EPOCH_DAYS = 30
FALSE_SHARE = 0.05


def epoch_of(day: int) -> int:
    """Return the first day of the epoch that a day lies in, both counted from 0.

    Before it is counted, every M_g is set back to 0, its logarithm to minus infinity.
    """
    return day - day % EPOCH_DAYS


def e_values(evidence: ArrayLike) -> NDArray[np.float64]:
    """Return E / 30: evidence gathered within an epoch as e-values, shape as given.

    Raises:
        StatisticsError: Evidence is negative or NaN.
    """
    gathered = np.asarray(evidence, dtype=np.float64)
    if not np.all(gathered >= 0):
        raise StatisticsError("evidence is never negative, and never NaN")
    return gathered / EPOCH_DAYS


def e_benjamini_hochberg(values: ArrayLike, false_share: float = FALSE_SHARE) -> NDArray[np.bool_]:
    """Return which of K e-values are findings, shape (K,).

    With e-values sorted downwards, the first k for the largest k with e_(k) >= K / (q k):
    the expected share of false findings is q at most, under any dependence.

    Args:
        values: E-values, shape (K,); K = 0 is allowed, infinity as well.
        false_share: q, inside (0, 1).

    Raises:
        StatisticsError: A value is negative or NaN, or q is outside.

    Example:
        >>> e_benjamini_hochberg([100.0, 0.5, 30.0, 1.0])
        array([ True, False, False, False])

    References:
        Wang, Ramdas (2022), False Discovery Rate Control with E-values.
    """
    e = np.asarray(values, dtype=np.float64)
    if e.ndim != 1 or not np.all(e >= 0):
        raise StatisticsError("e-values must be one row of numbers that are not negative")
    if not 0 < false_share < 1:
        raise StatisticsError(f"the share of false findings is {false_share}, not inside 0 to 1")
    falling = np.sort(e)[::-1]
    enough = np.flatnonzero(falling >= e.size / (false_share * np.arange(1, e.size + 1)))
    if not enough.size:
        return np.zeros(e.size, dtype=np.bool_)
    # All classes with the evidence of the last one taken are on the list; ties are no matter.
    return np.asarray(e >= falling[enough[-1]])


def weak_list(
    evidence: ArrayLike,
    correct: ArrayLike,
    total: ArrayLike,
    false_share: float = FALSE_SHARE,
) -> NDArray[np.intp]:
    """Return the classes below the floor, the weakest first.

    Ranked by the empirical-Bayes posterior mean, so that 1 of 2 right does not pass for
    weaker than 36 of 60; ties keep the order of the classes.

    Args:
        evidence: E of each class in this epoch against "p >= floor", shape (K,).
        correct: Right answers of the epoch, shape (K,).
        total: Images of the epoch, shape (K,).
        false_share: Largest expected share of the list that is there by chance.

    Raises:
        StatisticsError: The evidence or the counts are impossible, or differ in shape.
    """
    listed = e_benjamini_hochberg(e_values(evidence), false_share)
    if listed.shape != np.shape(total):
        raise StatisticsError(f"evidence {listed.shape} and counts {np.shape(total)} differ")
    if not listed.any():
        return np.array([], dtype=np.intp)
    order = np.argsort(posterior_means(correct, total), kind="stable")
    return order[listed[order]]
