"""How many gate images an exam takes before it can be passed, and what each look may err.

Asked when the gate's verdict is "more images". The answers are plans made from the disagreement
measured so far, not promises: more images bring a better estimate of it.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from core.stats.proportions import exact_lower_tail, mcnemar_exact

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# One exam errs in 5 %; whoever comes again shares 1 % with all the times it comes again.
FIRST_ALPHA = 0.05
LATER_ALPHA = 0.01
# How surely a challenger as good as the champion shall pass, all classes together.
POWER = 0.95
# A repair worth the name gains three of four images on which the two disagree ...
REPAIR_SHARE = 0.75
# ... and with so many of those it is shown with this probability.
REPAIR_POWER = 0.8
_MOST_PAIRS = 400


def alpha_of(look: int) -> float:
    """Return what the exam may err at its n-th look: 0.05, then 0.005, 0.0025, 0.00125 ...

    All looks together err in 6 % at most, however often there is one (union bound).

    Args:
        look: From 1.
    """
    return FIRST_ALPHA if look == 1 else LATER_ALPHA * 0.5 ** (look - 1)


def images_to_show_well(
    disagreement: ArrayLike, margin: float, classes: int = 1, alpha: float = FIRST_ALPHA
) -> NDArray[np.int64]:
    """Return the images of a class that let an equally good challenger be shown well.

    By the score test (Tango 1998). With q the share of images on which only one of the two is
    right, its z is about (n m - z se_1) / se_0, se_1^2 = n q for an equally good challenger and
    se_0^2 = n v if the drop were m, so that n = ((z_a sqrt(v) + z sqrt(q)) / m)^2 images show it
    with probability P(Z < z). z is taken so that all classes together pass with 95 %.

    Args:
        disagreement: q, inside (0, 1], any shape.
        margin: The drop m to be ruled out, as a share.
        classes: How many classes have to pass, at least 1.
        alpha: The error of the look that they are for.
    """
    q = np.asarray(disagreement, dtype=np.float64)
    z = NormalDist().inv_cdf(POWER ** (1 / classes))
    z_alpha = NormalDist().inv_cdf(1 - alpha)
    linear = q + 2 * margin
    lost = (linear + np.sqrt(linear**2 - 4 * q * margin * (1 + margin))) / 4
    variance = 2 * lost - margin * (1 + margin)
    images = ((z_alpha * np.sqrt(variance) + z * np.sqrt(q)) / margin) ** 2
    return np.ceil(images).astype(np.int64)


@lru_cache
def pairs_to_show_repair(flagged: int = 1, alpha: float = FIRST_ALPHA) -> int:
    """Return the disagreeing images from which a repair would be seen.

    The smallest m for which a challenger that gains three of four of them is shown to be better
    by the exact one-sided McNemar test at alpha / flagged with a probability of 0.8.

    Args:
        flagged: How many classes Holm's correction is over, at least 1.
        alpha: The error of the look that they are for.
    """
    for pairs in range(1, _MOST_PAIRS):
        gained = np.arange(pairs + 1)
        shown = gained[mcnemar_exact(gained, pairs - gained) <= alpha / flagged]
        # P(Bin(m, share) >= c) = P(Bin(m, 1 - share) <= m - c).
        if shown.size and (
            exact_lower_tail(pairs - shown[0], pairs, 1 - REPAIR_SHARE) >= REPAIR_POWER
        ):
            return pairs
    return _MOST_PAIRS
