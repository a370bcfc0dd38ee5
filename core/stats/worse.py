"""Whether a share is lower than it was when somebody was last told, looked at every day.

A weak class is told of once, and again only when it is shown to have become worse than was said.
Each look compares the images since with those that were told of, by Fisher's exact test against
one side: over all ways to share out the right answers between the two, how many leave the images
since with so few. It is exact whatever the numbers, and holds for a told sample of any size, so an
uncertain "6 of 20" is not taken for 30 %.

Looking every day is many tests. A day has two, over all days since and over the last seven with
images (a class that falls after a long quiet time is not hidden by it), each at DAILY_LEVEL / 2. By
the union bound, thirty days of looks are wrong with a probability of 30 * DAILY_LEVEL = 0.03 at
most, for a class that stays where it was told to be. Images of a day that share a fault are taken
for independent, as everywhere in the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

DAILY_LEVEL = 0.001
RECENT_DAYS = 7


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


def find_worse(days: Sequence[tuple[int, int]], told: tuple[int, int]) -> Worse | None:
    """Return the days that show a share to be lower than told; None when none do.

    Args:
        days: Right answers and images of each day since, in order.
        told: Right answers and images that were told of.
    """
    seen = [i for i, (_, n) in enumerate(days) if n]
    if not seen or not told[1]:
        return None
    firsts = sorted({seen[0], seen[-RECENT_DAYS:][0]})
    counts = np.array([np.sum(days[first:], axis=0) for first in firsts])
    p_values = lower_p_value(counts[:, 0], counts[:, 1], told[0], told[1])
    best = int(np.argmin(p_values))
    if p_values[best] > DAILY_LEVEL / 2:
        return None
    correct, n = (int(each) for each in counts[best])
    return Worse(firsts[best], correct, n, float(p_values[best]))
