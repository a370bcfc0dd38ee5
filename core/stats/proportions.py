"""Shares: k right answers out of n images, for all classes at once.

Intervals to show, tests to decide by, and the empirical-Bayes prior that tells what
accuracy to hold normal for a class. Whoever asks daily whether a class has become
weak wants core.stats.evidence: an interval looked at every day is wrong too often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.counts import checked_counts, checked_p_values, whole_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

REFERENCE_QUANTILE = 0.10
REFERENCE_SLACK = 0.02
HIGHEST_REFERENCE = 0.995
# The cap, mirrored: a detector can only bet against a level inside (0, 1).
LOWEST_REFERENCE = 1 - HIGHEST_REFERENCE
SMALLEST_CORRELATION = 1e-4
# Above this the prior would weigh less than one image and overrule nothing, not even one lucky day.
LARGEST_CORRELATION = 0.5
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """What the classes together say about the accuracy of one: Beta(a, b)."""

    a: float
    b: float


def jeffreys(
    correct: ArrayLike, total: ArrayLike, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Jeffreys interval of each share: quantiles of Beta(k + 1/2, n - k + 1/2).

    For display. The lower end is 0 where k = 0 and the upper end 1 where k = n, so a
    class without images gets (0, 1).

    Args:
        correct: Right answers k, any shape.
        total: Images n, the same shape.
        level: Probability the interval holds, inside (0, 1).

    Raises:
        StatisticsError: The counts are impossible, or `level` is outside (0, 1).

    Example:
        >>> low, high = jeffreys([8, 10], [10, 10])
        >>> low.round(3), high.round(3)
        (array([0.497, 0.783]), array([0.956, 1.   ]))

    References:
        Brown, Cai, DasGupta (2001), Interval Estimation for a Binomial Proportion.
    """
    k, n = checked_counts(correct, total)
    tail = (1 - _inside_unit("level", level)) / 2
    low = _beta_quantile(tail, k + 0.5, n - k + 0.5)
    high = _beta_quantile(1 - tail, k + 0.5, n - k + 0.5)
    return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)


def confidence_sequence(
    correct: ArrayLike, total: ArrayLike, alpha: float = 0.05
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an interval of each share that may be looked at after every image.

    With cumulative counts, the chance that it *ever* misses the true share is at most
    alpha. It holds every p with B(a + k, b + n - k) / B(a, b) <= p^k (1 - p)^(n - k) / alpha
    for a = b = 1/2 (Robbins' mixture). The ends are bisected and rounded outwards.

    Args:
        correct: Right answers since the start, any shape.
        total: Images since the start, the same shape; 0 gives (0, 1).
        alpha: Chance of ever missing, inside (0, 1).

    Raises:
        StatisticsError: The counts are impossible, or `alpha` is outside (0, 1).

    References:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, Nonparametric,
        Nonasymptotic Confidence Sequences.
    """
    k, n = checked_counts(correct, total)
    mixture = _log_beta(k + 0.5, n - k + 0.5) - _log_beta(np.array(0.5), np.array(0.5))
    least = mixture + math.log(_inside_unit("alpha", alpha))
    share = k / np.maximum(n, 1)
    low = _edge(k, n, least, share, np.zeros(k.shape))
    high = _edge(k, n, least, share, np.ones(k.shape))
    return low, high


def _edge(
    k: NDArray[np.int64],
    n: NDArray[np.int64],
    least: NDArray[np.float64],
    inner: NDArray[np.float64],
    outer: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where the log likelihood sinks to `least`, between `inner` and `outer`."""
    for _ in range(_BISECTIONS):
        middle = (inner + outer) / 2
        inside = special.xlogy(k, middle) + special.xlog1py(n - k, -middle) >= least
        inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
    return outer


def class_prior(correct: ArrayLike, total: ArrayLike) -> BetaPrior:
    """Return the prior of one class's accuracy, by moments over all classes.

    With n images in every class: mu = mean(k/n), rho = (Var(k/n) / (mu (1 - mu)) - 1/n) /
    (1 - 1/n), s = 1/rho - 1, a = mu s, b = (1 - mu) s, where Var has the divisor K - 1. With
    unequal n a class weighs n / (1 + (n - 1) rho), so that one class of two images cannot
    make all others look unalike. Classes without images are left out. At the limits:

    - mu keeps a distance of 1 / (2 N + 2) from 0 and 1, for N images in all, so that a
      perfect examination does not promise perfection;
    - rho is kept within [1e-4, 0.5]: the prior never weighs less than Jeffreys' own;
    - with a single class, or one image in each, nothing is known about how classes differ,
      and the answer is Jeffreys' Beta(1/2, 1/2).

    Args:
        correct: Right answers on the reference images, shape (K,).
        total: Reference images, shape (K,).

    Raises:
        StatisticsError: The counts are impossible, not of shape (K,), or all zero.

    References:
        Kleinman (1973), Proportions with Extraneous Variance: Single and Independent
        Samples.
    """
    k, n = _per_class(correct, total)
    k, n = k[n > 0], n[n > 0]
    if k.size == 1 or n.max() == 1:
        return BetaPrior(0.5, 0.5)
    # The weights need rho and rho the weights; the second pass all but settles both.
    _, rough = _moments(k, n, rho=0.0)
    mu, rho = _moments(k, n, rho=rough)
    strength = 1 / rho - 1
    return BetaPrior(mu * strength, (1 - mu) * strength)


def _moments(k: NDArray[np.int64], n: NDArray[np.int64], *, rho: float) -> tuple[float, float]:
    """Return the mean share and the intra-class correlation, weighting classes by `rho`."""
    weights = n / (1 + (n - 1) * rho)
    weights = weights / weights.sum()
    mean = float(weights @ (k / n))
    edge = 0.5 / (float(n.sum()) + 1)
    mu = min(max(mean, edge), 1 - edge)
    seen = float(weights @ (k / n - mean) ** 2) / (mu * (1 - mu))
    # What `seen` would be were all classes alike, and were all images of a class alike.
    unlike = weights * (1 - weights)
    alike = float((unlike / n).sum())
    rho = (seen - alike) / (float(unlike.sum()) - alike)
    return mu, min(max(rho, SMALLEST_CORRELATION), LARGEST_CORRELATION)


def posterior_means(correct: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Return each class's accuracy, drawn towards the others' the fewer images it has.

    (a + k) / (a + b + n) with the prior of `class_prior`; this is what the weak list is
    ranked by, so that 1 of 2 does not pass for weaker than 36 of 60.

    Args:
        correct: Right answers, shape (K,).
        total: Images, shape (K,); a class without any gets the prior's mean.

    Raises:
        StatisticsError: As `class_prior`.
    """
    k, n = _per_class(correct, total)
    prior = class_prior(k, n)
    return (prior.a + k) / (prior.a + prior.b + n)


def reference_levels(correct: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Return the accuracy r_c that each class is held to from now on, shape (K,).

    The 0.10 quantile of Beta(a + k, b + n - k) less 0.02, kept within [0.005, 0.995], with
    the prior of `class_prior`. A class without reference images gets the prior's quantile.

    Args:
        correct: Right answers on the reference images, shape (K,).
        total: Reference images, shape (K,).

    Raises:
        StatisticsError: As `class_prior`.

    Example:
        >>> reference_levels([57, 55, 48], [60, 60, 60]).round(2)
        array([0.88, 0.85, 0.75])
    """
    k, n = _per_class(correct, total)
    prior = class_prior(k, n)
    careful = _beta_quantile(REFERENCE_QUANTILE, prior.a + k, prior.b + n - k)
    return np.clip(careful - REFERENCE_SLACK, LOWEST_REFERENCE, HIGHEST_REFERENCE)


def recovery_levels(reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the accuracy each class must be shown to exceed before its alarm closes.

    r_c - 0.02, at least 0.005. Shape (K,), as `reference`.
    """
    return np.maximum(reference - REFERENCE_SLACK, LOWEST_REFERENCE)


def exact_lower_tail(
    correct: ArrayLike, total: ArrayLike, reference: ArrayLike
) -> NDArray[np.float64]:
    """Return P(Bin(n, r) <= k): how rare so few right answers are at accuracy r.

    Args:
        correct: Right answers k, any shape.
        total: Images n, the same shape.
        reference: Accuracies r in [0, 1], one or one each.

    Raises:
        StatisticsError: The counts are impossible, or a reference lies outside [0, 1].
    """
    k, n = checked_counts(correct, total)
    r = np.asarray(reference, dtype=np.float64)
    if not np.all((r >= 0) & (r <= 1)):
        raise StatisticsError("a reference accuracy lies outside 0 to 1")
    # At k = n the incomplete beta function has no meaning; the tail is everything.
    return np.where(k == n, 1.0, special.betaincc(k + 1.0, np.maximum(n - k, 1.0), r))


def mcnemar_exact(gained: ArrayLike, lost: ArrayLike) -> NDArray[np.float64]:
    """Return the one-sided p-value that the challenger is better on the same images.

    P(Bin(b + c, 1/2) >= c) with c = gained and b = lost. Images that both get right or both
    get wrong say nothing; without any other, p = 1.

    Args:
        gained: Images only the challenger gets right, any shape.
        lost: Images only the champion gets right, the same shape.

    Raises:
        StatisticsError: The counts are impossible.

    Example:
        >>> float(mcnemar_exact(5, 0))
        0.03125

    References:
        McNemar (1947), Note on the Sampling Error of the Difference Between
        Correlated Proportions or Percentages.
    """
    c, b = whole_numbers("gained", gained), whole_numbers("lost", lost)
    if c.shape != b.shape:
        raise StatisticsError(f"gained and lost differ in shape: {c.shape} and {b.shape}")
    # P(Bin(m, 1/2) >= c) = P(Bin(m, 1/2) <= m - c), and m - c = b.
    return exact_lower_tail(b, b + c, 0.5)


def paired_difference(
    gained: ArrayLike, lost: ArrayLike, total: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return challenger minus champion on n shared images, and its standard error.

    d = (c - b) / n and se = sqrt(max(b + c - (b - c)^2 / n, 1)) / n, with c = gained and
    b = lost; the 1 keeps a class without any disagreement from looking infinitely sure.

    Args:
        gained: Images only the challenger gets right, any shape.
        lost: Images only the champion gets right, the same shape.
        total: All images n of the class, the same shape, at least 1.

    Raises:
        StatisticsError: The counts are impossible, or a class has no images.
    """
    c, b = whole_numbers("gained", gained), whole_numbers("lost", lost)
    n = whole_numbers("total", total)
    if not c.shape == b.shape == n.shape:
        raise StatisticsError(f"counts differ in shape: {c.shape}, {b.shape} and {n.shape}")
    if np.any(n == 0) or np.any(b + c > n):
        raise StatisticsError("every class needs images, and gained + lost at most that many")
    variance = b + c - (b - c) ** 2 / n
    return (c - b) / n, np.sqrt(np.maximum(variance, 1.0)) / n


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for being many: below 0.05, the family errs in 5 % at most.

    Step-down, valid under any dependence. Shape (..., m), a family along the last axis, order
    kept; m = 0 is allowed.

    Raises:
        StatisticsError: A value is no probability, or there is no axis.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])

    References:
        Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim == 0:
        raise StatisticsError("p-values must be one row (m,) or more, not a single number")
    checked_p_values(values.ravel())
    order = np.argsort(values, axis=-1, kind="stable")
    # The smallest weighs as many as there are, the largest one.
    weights = np.arange(np.size(values, -1), 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(values, order, -1) * weights, axis=-1)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), -1)
    return adjusted


def _per_class(correct: ArrayLike, total: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    k, n = checked_counts(correct, total)
    if k.ndim != 1 or not n.any():
        raise StatisticsError("counts per class must be one row (K,) with at least one image")
    return k, n


def _inside_unit(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise StatisticsError(f"{name} is {value}; it must lie inside 0 and 1")
    return value


def _beta_quantile(
    probability: float, a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    return np.asarray(special.betaincinv(a, b, probability), dtype=np.float64)


def _log_beta(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.asarray(special.betaln(a, b), dtype=np.float64)
