"""How many gate images an exam takes before it can be passed.

Asked when the gate's verdict is "more images". The answers are plans made from the disagreement
measured so far, not promises: more images bring a better estimate of it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from core.stats.proportions import exact_lower_tail, mcnemar_exact

Z = 1.645  # the one-sided 95 % point, as the statement of the gate has it
ALPHA = 0.05
# How surely a challenger as good as the champion shall pass, all classes together.
POWER = 0.95
# A repair worth the name gains three of four images on which the two disagree ...
REPAIR_SHARE = 0.75
# ... and with so many of those it is shown with this probability.
REPAIR_POWER = 0.8
_MOST_PAIRS = 400


def images_to_show_well(disagreement: float, margin: float, classes: int = 1) -> int:
    """Return the images of a class that let an equally good challenger pass.

    With q the share of images on which only one of the two is right, the bound d - 1.645 se
    has se = sqrt(q / n), so that n = q ((1.645 + z) / margin)^2 lets it lie above -margin with
    probability P(Z < z). z is taken so that all classes together pass with 95 %. Never fewer than
    the 1.645 / margin that even a class without any disagreement takes.

    Args:
        disagreement: q, inside (0, 1].
        margin: The drop to be ruled out, as a share.
        classes: How many classes have to pass, at least 1.
    """
    z = NormalDist().inv_cdf(POWER ** (1 / classes))
    return max(
        math.ceil(disagreement * ((Z + z) / margin) ** 2),
        math.floor(Z / margin) + 1,
    )


@lru_cache
def pairs_to_show_repair(flagged: int = 1) -> int:
    """Return the disagreeing images from which a repair would be seen.

    The smallest m for which a challenger that gains three of four of them is shown to be better
    by the exact one-sided McNemar test at 0.05 / flagged with a probability of 0.8.

    Args:
        flagged: How many classes Holm's correction is over, at least 1.
    """
    for pairs in range(1, _MOST_PAIRS):
        gained = np.arange(pairs + 1)
        shown = gained[mcnemar_exact(gained, pairs - gained) <= ALPHA / flagged]
        # P(Bin(m, share) >= c) = P(Bin(m, 1 - share) <= m - c).
        if shown.size and (
            exact_lower_tail(pairs - shown[0], pairs, 1 - REPAIR_SHARE) >= REPAIR_POWER
        ):
            return pairs
    return _MOST_PAIRS
