"""Whether a share is lower than it was when somebody was last told, looked at every day.

A weak class is told of once, and again only when it is shown to have become worse than was said.
Each look compares the images since with those that were told of, by Fisher's exact test against
one side: over all ways to share out the right answers between the two, how many leave the images
since with so few. It is exact whatever the numbers, and holds for a told sample of any size, so an
uncertain "6 of 20" is not taken for 30 %.

Images that belong together (a session, near-duplicates) are right or wrong together and tell less
than as many single ones. So n images in groups of m_i are worth n^2 / sum_i m_i (1 + (m_i - 1) rho)
of them, the effective sample size of a cluster sample with the intra-class correlation rho, and
the test is made on so many, each share as it was and rounded towards "no worse". It is exact only
where rho is 0.

Looking every day is many tests. A day has two, over all days since and over the last seven with
images (a class that falls after a long quiet time is not hidden by it), each at DAILY_LEVEL / 2. By
the union bound, thirty days of looks are wrong with a probability of 30 * DAILY_LEVEL = 0.03 at
most, for a class that stays where it was told to be.

References:
    Kish (1965), Survey Sampling, 5.4: the design effect of clusters.
    Rao, Scott (1992), A Simple Method for the Analysis of Clustered Binary Data: counts divided by
    their design effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

DAILY_LEVEL = 0.001
RECENT_DAYS = 7


class Counts(NamedTuple):
    """Answers to the images of some days.

    Attributes:
        correct: Right answers.
        n: Images.
        pairs: Ordered pairs of images that belong together, sum m_i (m_i - 1) over the groups.
    """

    correct: int
    n: int
    pairs: int = 0

    def worth(self, correlation: float) -> int:
        """Return how many single images these are worth, rounded down, when they are so alike."""
        if not self.n:
            return 0
        return math.floor(self.n**2 / (self.n + correlation * self.pairs) + 1e-9)


@dataclass(frozen=True, slots=True)
class Worse:
    """The days on which a share was lower than told.

    Attributes:
        first: Index of the first of these days; the last is the last.
        correct: Right answers on them.
        n: Images on them.
        p_value: That of the test.
    """

    first: int
    correct: int
    n: int
    p_value: float


def pairs_of(sizes: Iterable[int]) -> int:
    """Return the ordered pairs of images that belong together, for groups of these sizes."""
    return sum(size * (size - 1) for size in sizes)


def lower_p_value(
    correct: ArrayLike, total: ArrayLike, told_correct: ArrayLike, told_total: ArrayLike
) -> NDArray[np.float64]:
    """Return Fisher's exact p-value of a share being no lower than another.

    Args:
        correct: Right answers now, any shape.
        total: Images now, the same shape.
        told_correct: Right answers then.
        told_total: Images then.

    Example:
        >>> lower_p_value([0, 15], [50, 50], 6, 20).round(4).tolist()
        [0.0003, 0.6072]
    """
    now, then = np.asarray(total), np.asarray(told_total)
    right = np.asarray(correct) + np.asarray(told_correct)
    found = stats.hypergeom.cdf(correct, now + then, right, now)  # pyright: ignore[reportUnknownMemberType]
    # Where there are no images at all, nothing is shown.
    return np.where(now + then > 0, np.asarray(found, dtype=np.float64), 1.0)


def find_worse(days: Sequence[Counts], told: Counts, correlation: float = 0.0) -> Worse | None:
    """Return the days that show a share to be lower than told; None when none do.

    Args:
        days: What was answered on each day since, in order.
        told: What was told of.
        correlation: How alike images that belong together are, 0 to 1.
    """
    seen = [i for i, day in enumerate(days) if day.n]
    if not seen or not told.n:
        return None
    firsts = sorted({seen[0], seen[-RECENT_DAYS:][0]})
    counts = [Counts(*map(sum, zip(*days[first:], strict=True))) for first in firsts]
    p_values = [_p_value(each, told, correlation) for each in counts]
    best = int(np.argmin(p_values))
    if p_values[best] > DAILY_LEVEL / 2:
        return None
    return Worse(firsts[best], counts[best].correct, counts[best].n, p_values[best])


def _p_value(now: Counts, told: Counts, correlation: float) -> float:
    """Return the test's p-value, on as many images as each side is worth."""
    n, told_n = now.worth(correlation), told.worth(correlation)
    # Neither rounding may make the difference larger than it was.
    correct = math.ceil(now.correct * n / now.n - 1e-9)
    told_correct = math.floor(told.correct * told_n / told.n + 1e-9)
    return float(lower_p_value(correct, n, told_correct, told_n))
