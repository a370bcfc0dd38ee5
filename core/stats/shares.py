"""Whether the shares of classes have moved: all of them a little, or one of them much.

Pearson's chi-squared adds up what every class moved, and loses sight of one that moved alone among
many; the largest standardised shift sees that one, and nothing else. Both are asked, and shuffles
of the two histograms say how often chance does as well by either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import special, stats  # pyright: ignore[reportMissingTypeStubs]

from core.stats.permutation import permutation_p_value
from core.stats.twosample import TwoSample, chi_squared, shift_of_shares

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

_MOST, _ENOUGH = 4_000, 100  # shuffles, and how many of them may do as well
_LARGEST = 900_000_000  # numpy shuffles no larger total
_EXACT_UP_TO = 100_000  # counts of the smaller histogram


def shares_two_sample(
    reference_counts: NDArray[np.int64], current_counts: NDArray[np.int64], rng: Generator
) -> TwoSample:
    """Test whether two histograms have the same shares, in sum and bin by bin.

    The statistic is Pearson's chi-squared. The p-value is that of the smaller of two: of
    chi-squared, and of the largest shift of one bin (normal law, Bonferroni over the bins),
    counted over shuffles, which makes it right for rare bins too. Past 900 million counts it is
    twice the smaller one instead. Of two bins all shuffles are known: the p-value is the
    hypergeometric law's, with half of the chance of a shift as large as the one seen (mid-p), or
    else the law's few steps would make it flag too rarely. The effect is that of
    `shift_of_shares`.

    Args:
        reference_counts: Counts per bin, shape (bins,).
        current_counts: Counts per bin, shape (bins,).
        rng: Shuffles.

    Raises:
        StatisticsError: The shapes differ, or one histogram is empty.

    References:
        Lancaster (1961), Significance Tests in Discrete Distributions: mid-p.
    """
    found = chi_squared(reference_counts, current_counts)
    both = reference_counts + current_counts
    both, now = both[both > 0], current_counts[both > 0]
    n = found.current_size
    smaller = float(_smaller_p_values(now[None], both, n)[0])

    def shuffled(count: int) -> NDArray[np.float64]:
        return -_smaller_p_values(rng.multivariate_hypergeometric(both, n, count), both, n)

    if int(both.sum()) > _LARGEST:
        p_value = min(1.0, 2 * smaller)
    elif both.size == 2 and min(n, found.reference_size) <= _EXACT_UP_TO:
        p_value = _of_two_bins(now, both)
    else:
        p_value = permutation_p_value(-smaller, shuffled, most=_MOST, enough=_ENOUGH)
    effect = shift_of_shares(reference_counts, current_counts)
    return TwoSample(found.statistic, p_value, effect, found.reference_size, n)


def _of_two_bins(now: NDArray[np.int64], both: NDArray[np.int64]) -> float:
    """Return the mid-p of the first bin's count, given what both histograms hold together."""
    n, total, first = int(now.sum()), int(both.sum()), int(both[0])
    counts = np.arange(max(0, n - int(both[1])), min(n, first) + 1)
    law = cast("Any", stats).hypergeom(total, first, n)
    chances = cast("NDArray[np.float64]", law.pmf(counts))
    # In whole numbers, so that shifts of one size on either side are seen to be equal.
    shift = np.abs(counts * total - first * n)
    seen = abs(int(now[0]) * total - first * n)
    return min(1.0, float(chances[shift > seen].sum() + chances[shift == seen].sum() / 2))


def _smaller_p_values(
    now: NDArray[np.int64], both: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Return the smaller of the two p-values for each row of counts, shape (rows,)."""
    total, bins = int(both.sum()), both.size
    share = n / total
    deviation = now - both * share
    # Of a bin's deviation, by the normal law; where all is one bin nothing can deviate.
    variance = both * share * (1 - share) * (1 - both / total)
    squares = deviation**2 / np.where(variance > 0, variance, 1.0)
    largest = np.minimum(1.0, bins * special.chdtrc(1, squares.max(axis=1)))
    if bins == 1:
        return cast("NDArray[np.float64]", largest)
    pearson = (deviation**2 / both).sum(axis=1) / (share * (1 - share))
    return cast("NDArray[np.float64]", np.minimum(largest, special.chdtrc(bins - 1, pearson)))
