"""How often chance alone does as well: p-values counted over shuffles.

A shuffle costs time, and most comparisons are plainly nothing or plainly something. So counting
ends early where chance has done as well often enough, and goes on where it has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_BATCH = 200
_ALIKE = 1e-12  # equal statistics may differ in their last bits after different sums


def permutation_p_value(
    observed: float,
    shuffled: Callable[[int], NDArray[np.float64]],
    *,
    most: int,
    enough: int | None = None,
) -> float:
    """Return the share of shuffles whose statistic reaches the one observed.

    With B = `most` shuffles of which k reach it, p = (k + 1) / (B + 1). Where `enough` is given
    and the shuffle of number L is the h = `enough`-th to reach it, counting ends and p = h / L.
    Either way the chance of p <= a is at most a when nothing has changed.

    Args:
        observed: The statistic; large values speak against chance.
        shuffled: Given a number, returns the statistics of so many fresh shuffles.
        most: Shuffles at most, at least 1; p cannot fall below 1 / (most + 1).
        enough: h, at least 1; None to count them all.

    Raises:
        StatisticsError: A number of shuffles is below 1.

    References:
        Phipson, Smyth (2010), Permutation P-values Should Never Be Zero.
        Besag, Clifford (1991), Sequential Monte Carlo p-values.
    """
    if most < 1 or (enough is not None and enough < 1):
        raise StatisticsError(f"{most} shuffles, {enough} of them enough: at least 1 is needed")
    done = reached = 0
    while done < most:
        size = min(_BATCH, most - done)
        hits = np.flatnonzero(shuffled(size) >= observed - _ALIKE)
        if enough is not None and reached + hits.size >= enough:
            return enough / (done + int(hits[enough - reached - 1]) + 1)
        done, reached = done + size, reached + hits.size
    return (reached + 1) / (most + 1)
