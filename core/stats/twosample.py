"""Whether two samples come from one source: today's traffic against the reference.

This module only measures: a statistic, its p-value, and an effect size that does not grow
with the sample. What is too far is decided in the monitor, which asks for both
significance and effect, since with a million rows everything is significant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import special, stats  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.counts import checked_p_values, whole_numbers
from core.stats.permutation import permutation_p_value

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

# Exact Kolmogorov-Smirnov probabilities take n * m steps; past this the limit law is as good.
_EXACT_UP_TO = 1_000
_MOST, _ENOUGH = 1_000, 20  # shuffles of tied values, and how many of them may do as well


@dataclass(frozen=True, slots=True)
class TwoSample:
    """One comparison of two samples.

    `effect` says how far apart they are whatever their size; each test names its own.
    """

    statistic: float
    p_value: float
    effect: float
    reference_size: int
    current_size: int


def kolmogorov_smirnov(
    reference: ArrayLike, current: ArrayLike, *, ties: Generator | None = None
) -> TwoSample:
    """Return the two-sided Kolmogorov-Smirnov test of two samples of one quantity.

    The statistic, and the effect, is the largest distance between the two distribution
    functions. The p-value is exact while both samples have at most 1,000 values, then
    asymptotic. Both laws are for values that never repeat; where they do, as sizes of pictures
    do, they flag too rarely, and `ties` has the p-value counted over shuffles as well.

    Args:
        reference: Values, shape (n,), finite, n at least 1.
        current: Values, shape (m,), finite, m at least 1.
        ties: Shuffles what is tied; None to let the careful p-value stand.

    Raises:
        StatisticsError: A sample is empty, of another shape, or not finite.
    """
    before, now = checked_sample("reference", reference, 1), checked_sample("current", current, 1)
    method = "exact" if max(before.size, now.size) <= _EXACT_UP_TO else "asymp"
    found = cast("Any", stats).ks_2samp(before, now, method=method)
    statistic, p_value = float(found.statistic), min(float(found.pvalue), 1.0)
    if ties is not None and are_tied(before, now):
        # Shuffles see no further than their number; the law, too large with ties, sees on.
        p_value = min(p_value, _shuffled_p_value(before, now, statistic, ties))
    return TwoSample(statistic, p_value, statistic, before.size, now.size)


def are_tied(reference: NDArray[np.float64], current: NDArray[np.float64]) -> bool:
    """Say whether more than one value in twenty only repeats another."""
    both = np.concatenate([reference, current])
    return np.unique(both).size < 0.95 * both.size


def _shuffled_p_value(
    before: NDArray[np.float64], now: NDArray[np.float64], statistic: float, rng: Generator
) -> float:
    both = np.sort(np.concatenate([before, now]))
    n, m = before.size, now.size
    ends = np.flatnonzero(np.append(both[1:] != both[:-1], True))
    is_now = np.arange(n + m) < m

    def shuffled(count: int) -> NDArray[np.float64]:
        shuffles = rng.permuted(np.repeat(is_now[None], count, axis=0), axis=1)
        seen = shuffles.cumsum(axis=1, dtype=np.int32)[:, ends]
        return np.abs(seen / m - (ends + 1 - seen) / n).max(axis=1)

    return permutation_p_value(statistic, shuffled, most=_MOST, enough=_ENOUGH)


def chi_squared(reference_counts: ArrayLike, current_counts: ArrayLike) -> TwoSample:
    """Return Pearson's chi-squared test that two histograms have the same shares.

    Bins empty in both are left out. The effect is the total variation distance, half of
    sum |p - q|: the share of traffic that would have to change its bin. The p-value is the
    limit law's, which wants some five expected counts in most bins: pool rare classes first.

    Args:
        reference_counts: Counts per bin, shape (bins,).
        current_counts: Counts per bin, shape (bins,).

    Raises:
        StatisticsError: The shapes differ, or one histogram is empty.

    References:
        Pearson (1900); Cochran (1954), Some Methods for Strengthening the Common
        Chi-squared Tests.
    """
    before, now = _checked_histograms(reference_counts, current_counts)
    both = before + now
    before, now, both = before[both > 0], now[both > 0], both[both > 0]
    n, m = int(before.sum()), int(now.sum())
    # The two rows' deviations are equal and opposite, so one row's tell all.
    deviation = now - both * (m / (n + m))
    statistic = float(np.sum(deviation**2 / both)) * (n + m) ** 2 / (n * m)
    p_value = float(special.chdtrc(both.size - 1, statistic)) if both.size > 1 else 1.0
    effect = float(np.abs(before / n - now / m).sum()) / 2
    return TwoSample(statistic, p_value, effect, n, m)


def shift_of_shares(reference_counts: ArrayLike, current_counts: ArrayLike) -> float:
    """Return how far the shares have moved, less what chance alone adds: Cohen's w.

    With p the shares of both histograms together and d their difference, w^2 = sum d^2 / p. From
    counts it is estimated without bias as (chi-squared - degrees of freedom) (1/n + 1/m), and
    cut off at 0. By Cauchy and Schwarz w is at least sum |d|, twice the share of traffic that
    changed its bin: a tenth of the traffic moved is w >= 0.2 whatever the bins and their number,
    so that one floor does for 2 classes and for 2,500.

    Args:
        reference_counts: Counts per bin, shape (bins,).
        current_counts: Counts per bin, shape (bins,).

    Raises:
        StatisticsError: The shapes differ, or one histogram is empty.

    Example:
        >>> round(shift_of_shares([500_000, 500_000], [600_000, 400_000]), 3)
        0.201

    References:
        Cohen (1988), Statistical Power Analysis, chapter 7: 0.1 small, 0.3 medium, 0.5 large.
    """
    found = chi_squared(reference_counts, current_counts)
    before, now = _checked_histograms(reference_counts, current_counts)
    freedom = int(np.count_nonzero(before + now)) - 1
    n, m = found.reference_size, found.current_size
    return math.sqrt(max(0.0, (found.statistic - freedom) * (1 / n + 1 / m)))


def benjamini_hochberg(
    p_values: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return p-values adjusted so that, kept below q, a share q of findings is false at most.

    Step-up; valid for independent or positively dependent tests. Shape (m,), order kept;
    m = 0 is allowed.

    Args:
        p_values: Shape (m,).
        weights: How much of q each test may use, shape (m,), above 0, their mean 1; chosen
            before the data is seen. None for equal ones.

    Raises:
        StatisticsError: A value is no probability, or a shape or a weight is wrong.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        array([0.03, 0.04, 0.04])

    References:
        Benjamini, Hochberg (1995), Controlling the False Discovery Rate.
        Genovese, Roeder, Wasserman (2006), False Discovery Control with p-value Weighting.
    """
    p = checked_p_values(p_values)
    if weights is not None:
        w = np.asarray(weights, dtype=np.float64)
        if w.shape != p.shape or not np.all(w > 0) or not np.isclose(w.sum(), p.size):
            raise StatisticsError(f"{p.size} weights above 0 with mean 1 are needed")
        p = np.minimum(p / w, 1.0)
    order = np.argsort(p, kind="stable")[::-1]
    stepped = np.minimum.accumulate(p[order] * p.size / np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = stepped
    return adjusted


def _checked_histograms(
    reference: ArrayLike, current: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    before, now = whole_numbers("reference", reference), whole_numbers("current", current)
    if before.shape != now.shape or before.ndim != 1:
        raise StatisticsError(f"histograms differ in shape: {before.shape} and {now.shape}")
    if not before.sum() or not now.sum():
        raise StatisticsError("a histogram without observations has no shares")
    return before, now


def checked_sample(name: str, values: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """Return a sample as float64, refusing one that is empty, of another shape or not finite.

    Raises:
        StatisticsError: It is one of those; the message says which sample.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != dimensions or sample.size == 0 or not np.isfinite(sample).all():
        raise StatisticsError(
            f"the {name} sample of shape {sample.shape} must have {dimensions} dimension(s),"
            " be non-empty and finite"
        )
    return sample
