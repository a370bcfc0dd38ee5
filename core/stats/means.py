"""Whether the means of two groups differ, for any number of groups at once, from their sums alone.

A count, a mean and a sum of squares say all that a comparison of means needs. They add up over
days and never grow with the traffic, so thousands of classes can be watched where samples of rows
would be too thin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MOST = (
    1e6  # what a statistic or an effect is cut off at, where nothing varies and the means differ
)


@dataclass(frozen=True, slots=True)
class Moments:
    """Groups of values by their sums; all three of one shape.

    Attributes:
        n: How many values, int64.
        mean: Their mean, float64; 0 where there are none.
        squares: Sum of their squared distances from the mean, float64.
    """

    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeansTwoSample:
    """Comparisons of means, one for each pair of groups; all of the groups' shape.

    Attributes:
        statistic: t, positive where the current mean is the larger one.
        p_value: Two-sided.
        effect: Cohen's d: the distance of the means in standard deviations.
    """

    statistic: NDArray[np.float64]
    p_value: NDArray[np.float64]
    effect: NDArray[np.float64]


def moments_of(values: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> Moments:
    """Return the moments of each column within each group, shape (groups, columns).

    Args:
        values: Shape (n, columns); what is NaN is left out.
        group: Which group each row is of, shape (n,).
        groups: How many there are.
    """
    n, total = (np.zeros((groups, values.shape[1])) for _ in range(2))
    known = np.isfinite(values)
    np.add.at(n, group, known)
    np.add.at(total, group, np.where(known, values, 0.0))
    mean = total / np.maximum(n, 1)
    squares = np.zeros_like(mean)
    np.add.at(squares, group, np.where(known, values - mean[group], 0.0) ** 2)
    return Moments(n.astype(np.int64), mean, squares)


def together(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all parts as one, each group for itself.

    Raises:
        StatisticsError: There are no parts.

    References:
        Chan, Golub, LeVeque (1983), Algorithms for Computing the Sample Variance.
    """
    if not parts:
        raise StatisticsError("moments of nothing; at least one part is needed")
    sum_n, mean, squares = parts[0].n, parts[0].mean, parts[0].squares
    for part in parts[1:]:
        both = sum_n + part.n
        moved = part.mean - mean
        share = part.n / np.maximum(both, 1)
        squares = squares + part.squares + moved**2 * sum_n * share
        mean, sum_n = mean + moved * share, both
    return Moments(sum_n, mean, squares)


def means_two_sample(reference: Moments, current: Moments) -> MeansTwoSample:
    """Test whether the means of pairs of groups differ.

    t is the difference over the larger of two standard errors, Welch's and the pooled one, with
    Welch's degrees of freedom. In large samples both errors are the same when nothing has moved.
    In small ones of skewed values the smaller of them is too small where the mean strays far, on
    one side Welch's and on the other the pooled one, and the far tails are what thousands of
    tests ask for.

    Args:
        reference: n at least 2 throughout.
        current: n at least 2 throughout, of the same shape.

    Raises:
        StatisticsError: The shapes differ, or a group has fewer than 2 values.

    References:
        Welch (1947), The Generalization of "Student's" Problem; Cohen (1988), chapter 2.
    """
    if reference.n.shape != current.n.shape:
        raise StatisticsError(f"groups of {reference.n.shape} and {current.n.shape} do not pair")
    if np.any(np.minimum(reference.n, current.n) < 2):
        raise StatisticsError("a group of fewer than 2 values has no spread; leave it out")
    sides = (reference, current)
    own = [side.squares / (side.n - 1) / side.n for side in sides]
    welch = own[0] + own[1]
    freedom_of_both = reference.n + current.n - 2
    variance = (reference.squares + current.squares) / freedom_of_both
    error = np.sqrt(np.maximum(welch, variance * (1 / reference.n + 1 / current.n)))
    parts = own[0] ** 2 / (reference.n - 1) + own[1] ** 2 / (current.n - 1)
    freedom = np.where(parts > 0, welch**2 / np.where(parts > 0, parts, 1.0), freedom_of_both)
    moved = current.mean - reference.mean
    statistic = _ratio(moved, error)
    p_value = cast("NDArray[np.float64]", 2 * special.stdtr(freedom, -np.abs(statistic)))
    return MeansTwoSample(
        statistic, np.minimum(p_value, 1.0), np.abs(_ratio(moved, np.sqrt(variance)))
    )


def _ratio(moved: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, where nothing spreads too: 0 where nothing moved, else as much as there is."""
    least = np.maximum(spread, np.abs(moved) / _MOST)
    return moved / np.where(least > 0, least, 1.0)
