"""The bet behind every alarm: evidence that a class answers right less often than it should.

A day of n images with k right answers is a bet against "right with probability r or more",
placed at several alternatives at once and started anew each day (the Shiryaev-Roberts
recursion of an e-detector). While the class is healthy, E minus the days counted is a
supermartingale, so a healthy class reaches c at most T / c times in T days, whatever the
alternatives and their weights, as long as both are fixed beforehand.

This module is the arithmetic, without memory: core.judging.rules keeps the state as rows,
sets it back after an alarm, and asks for recovery. Images are taken as independent given the
past; bursts of near-duplicates need core.stats.day_bet. Results repeat bit for bit on one
machine and numpy.

References:
    Shin, Ramdas, Rinaldo (2022-24), E-detectors: a Nonparametric Framework for
    Sequential Change Detection.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.counts import checked_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

# Alternatives q as shares of the reference r: a drop of 3 % of it up to one of 70 %.
RATIOS = (0.97, 0.94, 0.89, 0.82, 0.72, 0.60, 0.45, 0.30)
# How much of the evidence is each alternative's; most goes where a drop is neither plain
# in a day whatever one does nor hopeless (docs/adr/0017-weights-of-the-alternatives.md).
WEIGHTS = (0.08, 0.16, 0.28, 0.28, 0.12, 0.04, 0.02, 0.02)
# The same for the chance of a mistake, as shares of 1 - level: what recovery makes of it.
RATIOS_UP = (0.90, 0.80, 0.70, 0.60, 0.50, 0.40, 0.25, 0.10)
# Evidence of "above the level" at which a class has recovered: a class that is not is called so at
# most T / 20 times in T days.
RECOVERY_THRESHOLD = 20.0
# How often a class is held to fall before anything is seen of it; certainty alone asks for that.
FALLS_A_YEAR = 1.0
_LARGEST_LOG = math.log(np.finfo(np.float64).max)


def alarm_threshold(classes: int, budget: float) -> float:
    """Return c = 30 K / b: the evidence at which a class raises an alarm.

    Args:
        classes: Number of classes K that share the budget.
        budget: False class-alarms b that the owner accepts per 30 days over all classes.

    Raises:
        StatisticsError: Either number is not above zero.

    Example:
        >>> alarm_threshold(15, budget=0.3)
        1500.0
    """
    if classes < 1 or not 0 < budget < math.inf:
        raise StatisticsError(f"no threshold for {classes} classes at an alarm budget of {budget}")
    return 30 * classes / budget


def empty_log_m(classes: int, ratios: Sequence[float] = RATIOS) -> NDArray[np.float64]:
    """Return the state before the first day: every M_g is 0, its logarithm minus infinity.

    Shape (classes, len(ratios)).
    """
    return np.full((classes, len(ratios)), -np.inf)


def step(
    log_m: NDArray[np.float64],
    correct: ArrayLike,
    total: ArrayLike,
    reference: NDArray[np.float64],
    ratios: Sequence[float] = RATIOS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log M after one more day, and the evidence E against "p >= reference".

    M_g <- (M_g + 1) L_g(day) and E = sum_g w_g M_g, weighted by `weights_of`, where one right
    answer multiplies L_g by q/r and one wrong answer by (1 - q)/(1 - r), for the alternative
    q = ratio_g * r. No reset happens here: where E reaches the threshold, the caller sets the
    row to minus infinity.

    Args:
        log_m: Logarithms of M_g, shape (K, G), minus infinity where M_g is 0.
        correct: The day's right answers k, shape (K,).
        total: The day's images n, shape (K,). Where it is 0 the row comes back as it was,
            and the evidence is that of the row: 0 after a reset.
        reference: Accuracies r of the null, shape (K,), inside (0, 1).
        ratios: The alternatives as shares of r, shape (G,), inside (0, 1).

    Returns:
        The new log M, shape (K, G), and E, shape (K,). E saturates at the largest float.

    Raises:
        StatisticsError: The counts are impossible, or a shape or level does not fit.
    """
    k, n = checked_counts(correct, total)
    null, grid = checked_levels(reference), checked_ratios(ratios)
    if k.shape != null.shape or log_m.shape != (null.size, grid.size):
        raise StatisticsError(
            f"counts {k.shape} and state {log_m.shape} do not fit"
            f" {null.size} classes and {grid.size} alternatives"
        )
    if np.isnan(log_m).any() or np.isposinf(log_m).any():
        raise StatisticsError("the state holds NaN or infinity; replay the class's days instead")
    right = np.log(grid)
    wrong = np.log1p(-null[:, None] * grid) - np.log1p(-null)[:, None]
    hits, misses = k.astype(np.float64)[:, None], (n - k).astype(np.float64)[:, None]
    factor = hits * right + misses * wrong
    return advance(log_m, factor, n > 0, weights_of(ratios))


def recovery_step(
    log_m: NDArray[np.float64],
    correct: ArrayLike,
    total: ArrayLike,
    level: NDArray[np.float64],
    ratios_up: Sequence[float] = RATIOS_UP,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log M after one more day, and the evidence against "p <= level".

    That null says: mistakes have a probability of 1 - level or more. So it is `step` on the
    mistakes, with alternatives 1 - q = ratio_g * (1 - level). Arguments, shapes and errors
    are those of `step`.
    """
    k, n = checked_counts(correct, total)
    return step(log_m, n - k, n, 1 - checked_levels(level), ratios_up)


def advance(
    log_m: NDArray[np.float64],
    log_factor: NDArray[np.float64],
    touched: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log M and E after a day whose bets multiplied M by exp(log_factor).

    The recursion itself, whatever was bet on: each factor must have an expectation of 1 at
    most, given the past, while the null holds.

    Args:
        log_m: Logarithms of M_g, shape (K, G).
        log_factor: Logarithms of the day's factors, shape (K, G).
        touched: Which classes had images, shape (K,); the others stay as they were.
        weights: Share of each alternative, shape (G,), together 1.

    Returns:
        The new log M, shape (K, G), and E, shape (K,). E saturates at the largest float.
    """
    stepped = np.where(touched[:, None], np.logaddexp(log_m, 0.0) + log_factor, log_m)
    return stepped, evidence_of(stepped, weights)


def evidence_of(log_m: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return E = sum_g w_g M_g of each class, shape (K,), for a state of shape (K, G)."""
    # Added one alternative after the other, so that the order of the sum, and with it the
    # last bit, does not depend on how many classes are updated together.
    log_evidence: NDArray[np.float64] = reduce(np.logaddexp, (log_m + np.log(weights)).T)
    return np.exp(np.minimum(log_evidence, _LARGEST_LOG))


def certainty(evidence: float) -> float:
    """Return how probable it is that a class has fallen, where each falls once a year.

    E is a sum over the days on which it may have begun of likelihood ratios, averaged over the
    alternatives. With a small chance h a day of falling, the odds are h E: they count the earlier
    days as if none of them had been less likely for being long ago, and healthy classes as if
    they were no better than their reference, so they are rather too small (tests/bench/certainty).
    Alarms ask for no such h, and do not follow this.

    Args:
        evidence: E of the class, 0 or more.

    References:
        Shiryaev (1963), On Optimum Methods in Quickest Detection Problems.
    """
    odds = FALLS_A_YEAR / 365.25 * evidence
    return odds / (1 + odds)


def carried_over(evidence: NDArray[np.float64], alternatives: int) -> NDArray[np.float64]:
    """Return a state of other alternatives that holds the same evidence, shape (K, G).

    Every M_g is E, and so is their mean: a class may change its bet between two days
    without losing what it knows, and without a jump that the guarantee does not cover.
    """
    with np.errstate(divide="ignore"):
        return np.repeat(np.log(evidence)[:, None], alternatives, axis=1)


def weights_of(ratios: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of each alternative, together 1, shape (G,).

    WEIGHTS for RATIOS; alternatives that nobody has weighed have equal shares.
    """
    if tuple(ratios) == RATIOS:
        return np.array(WEIGHTS)
    return np.full(len(ratios), 1 / len(ratios))


def checked_levels(levels: ArrayLike) -> NDArray[np.float64]:
    """Return accuracies to bet against as float64 of shape (K,), each inside (0, 1).

    Raises:
        StatisticsError: The shape is not (K,), or a level is outside.
    """
    null = np.array(levels, dtype=np.float64)
    if null.ndim != 1 or null.size == 0:
        raise StatisticsError(f"levels must be one row (K,), not of shape {null.shape}")
    if not np.all((null > 0) & (null < 1)):
        worst = null[~((null > 0) & (null < 1))][0]
        raise StatisticsError(f"a level of {worst} cannot be bet against; it must be inside 0 to 1")
    return null


def checked_ratios(ratios: Sequence[float]) -> NDArray[np.float64]:
    """Return alternatives as float64 of shape (G,), each inside (0, 1).

    Raises:
        StatisticsError: There is none, or one is outside.
    """
    grid = np.array(ratios, dtype=np.float64)
    if grid.ndim != 1 or grid.size == 0 or not np.all((grid > 0) & (grid < 1)):
        raise StatisticsError("ratios must be one row of numbers inside 0 to 1")
    return grid
