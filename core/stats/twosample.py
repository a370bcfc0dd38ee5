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
from core.stats.classification import areas_under_roc
from core.stats.counts import checked_p_values, whole_numbers

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

# Exact Kolmogorov-Smirnov probabilities take n * m steps; past this the limit law is as good.
_EXACT_UP_TO = 1_000
_FOLDS = 5


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


def population_stability_index(
    reference: ArrayLike, current: ArrayLike, *, pseudocount: float = 0.5
) -> float:
    """Return the population stability index of two histograms, in nats.

    With p and q the shares of bin i, PSI = sum_i (q_i - p_i) ln(q_i / p_i): zero for
    equal shares, symmetric, unbounded above.

    Args:
        reference: Counts per bin, shape (bins,).
        current: Counts over the same bin edges, shape (bins,).
        pseudocount: Added to every count, so that an empty bin stays finite. With 0, bins
            that are empty in both count nothing, and one empty in either is infinity.

    Raises:
        StatisticsError: The shapes differ, or one histogram is empty.

    Example:
        >>> counts = np.array([70, 20, 10])
        >>> population_stability_index(counts, 2 * counts, pseudocount=0)
        0.0

    References:
        Siddiqi (2006), Credit Risk Scorecards, Wiley.
        Yurdakul (2018), Statistical Properties of Population Stability Index,
        Western Michigan University: its distribution when nothing has changed.
    """
    before, now = _checked_histograms(reference, current)
    if not 0 <= pseudocount < math.inf:
        raise StatisticsError(f"the pseudocount is {pseudocount}; it cannot be below zero")
    p = (before + pseudocount) / (before + pseudocount).sum()
    q = (now + pseudocount) / (now + pseudocount).sum()
    return float(np.sum(special.rel_entr(p, q) + special.rel_entr(q, p)))


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> TwoSample:
    """Return the two-sided Kolmogorov-Smirnov test of two samples of one quantity.

    The statistic, and the effect, is the largest distance between the two distribution
    functions. The p-value is exact while both samples have at most 1,000 values, then
    asymptotic; with ties it is on the careful side.

    Args:
        reference: Values, shape (n,), finite, n at least 1.
        current: Values, shape (m,), finite, m at least 1.

    Raises:
        StatisticsError: A sample is empty, of another shape, or not finite.
    """
    before, now = _checked_sample("reference", reference, 1), _checked_sample("current", current, 1)
    method = "exact" if max(before.size, now.size) <= _EXACT_UP_TO else "asymp"
    found = cast("Any", stats).ks_2samp(before, now, method=method)
    statistic, p_value = float(found.statistic), min(float(found.pvalue), 1.0)
    return TwoSample(statistic, p_value, statistic, before.size, now.size)


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


def classifier_two_sample(
    reference: ArrayLike, current: ArrayLike, rng: Generator, permutations: int = 200
) -> TwoSample:
    """Test whether a linear classifier can tell current rows from reference rows.

    A ridge regression on the standardised columns (penalty d, closed form, so that all
    permutations share one factorisation) scores the rows of each of five folds after
    learning from the other four. The statistic, and the effect, is the AUC: how often a
    current row outranks a reference row of its fold; 0.5 when nothing can be told. Labels are
    permuted within the folds, and p = (k + 1) / (B + 1) with the k of B permutations that do
    as well: exact at any sample size. It sees shifts of the mean, not of the spread alone.

    Args:
        reference: Shape (n, d), finite, n at least 5.
        current: Shape (m, d), finite, m at least 5.
        rng: Deals the folds and the permutations; the same seed gives the same answer.
        permutations: B, at least 1; p cannot fall below 1 / (B + 1).

    Raises:
        StatisticsError: A sample is too small or not finite, or the widths differ.

    References:
        Lopez-Paz, Oquab (2017), Revisiting Classifier Two-Sample Tests.
        Phipson, Smyth (2010), Permutation P-values Should Never Be Zero.
    """
    before, now = _checked_sample("reference", reference, 2), _checked_sample("current", current, 2)
    if before.shape[1] != now.shape[1] or permutations < 1:
        raise StatisticsError(
            f"rows of width {before.shape[1]} and {now.shape[1]} at {permutations} permutations:"
            " widths must be equal and permutations at least 1"
        )
    if min(len(before), len(now)) < _FOLDS:
        raise StatisticsError(f"each sample needs {_FOLDS} rows, not {len(before)} and {len(now)}")
    rows = _standardised(np.concatenate([before, now]))
    folds = np.concatenate([_dealt(len(before), rng), _dealt(len(now), rng)])
    is_current = np.arange(len(rows)) >= len(before)
    areas = _cross_fitted_areas(rows, _labellings(is_current, folds, rng, permutations), folds)
    # Equal areas may differ in their last bits after different sums.
    as_good = int(np.sum(areas[1:] >= areas[0] - 1e-12))
    p_value = (as_good + 1) / (permutations + 1)
    return TwoSample(float(areas[0]), p_value, float(areas[0]), len(before), len(now))


def _standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns with mean 0 and spread 1; one that is constant becomes 0."""
    spread = rows.std(axis=0)
    return (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _dealt(rows: int, rng: Generator) -> NDArray[np.int64]:
    """Return a fold for each row, all folds as equal in size as can be."""
    return rng.permutation(np.arange(rows) % _FOLDS)


def _labellings(
    is_current: NDArray[np.bool_], folds: NDArray[np.int64], rng: Generator, permutations: int
) -> NDArray[np.bool_]:
    """Return the true labels and then `permutations` shuffles within folds, shape (N, 1 + B)."""
    labels = np.repeat(is_current[:, None], permutations + 1, axis=1)
    for fold in range(_FOLDS):
        members = folds == fold
        labels[members, 1:] = rng.permuted(labels[members, 1:], axis=0)
    return labels


def _cross_fitted_areas(
    rows: NDArray[np.float64], labels: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the AUC of each labelling, averaged over folds by pairs compared, shape (1 + B,)."""
    areas, pairs = np.zeros(labels.shape[1]), 0
    for fold in range(_FOLDS):
        held_out = folds == fold
        known, unknown = rows[~held_out], rows[held_out]
        centre = known.mean(axis=0)
        centred = known - centre
        penalised = centred.T @ centred + rows.shape[1] * np.eye(rows.shape[1])
        moments = centred.T @ labels[~held_out].astype(np.float64)
        weights = cast("NDArray[np.float64]", np.linalg.solve(penalised, moments))
        current = int(labels[held_out, 0].sum())
        weight = current * (int(held_out.sum()) - current)
        areas += weight * areas_under_roc((unknown - centre) @ weights, labels[held_out])
        pairs += weight
    return areas / pairs


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted so that, kept below q, a share q of findings is false at most.

    Step-up; valid for independent or positively dependent tests. Shape (m,), order kept;
    m = 0 is allowed.

    Raises:
        StatisticsError: A value is no probability, or the shape is not (m,).

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        array([0.03, 0.04, 0.04])

    References:
        Benjamini, Hochberg (1995), Controlling the False Discovery Rate.
    """
    p = checked_p_values(p_values)
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


def _checked_sample(name: str, values: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != dimensions or sample.size == 0 or not np.isfinite(sample).all():
        raise StatisticsError(
            f"the {name} sample of shape {sample.shape} must have {dimensions} dimension(s),"
            " be non-empty and finite"
        )
    return sample
