"""Is the model as a whole worse than it was? All classes together, in one detector.

Two points less everywhere is invisible in any one class and plain in all of them. The pooled
detector is the bet of core.stats.evidence on the sum of a day's counts, with alternatives
that lie closer to the reference, since there are more images. Its reference is the mix of
the classes' own by the day's images. A sum of unequal classes is no binomial, but the bet on
it as if it were is only more careful: the geometric mean of the factors' expectations stays
below the arithmetic one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.counts import checked_counts
from core.stats.proportions import (
    HIGHEST_REFERENCE,
    LOWEST_REFERENCE,
    REFERENCE_QUANTILE,
    class_prior,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# The pooled detector's share of the alarm budget; the classes have the rest between them.
POOLED_SHARE = 0.2
POOLED_RATIOS = (0.995, 0.99, 0.98, 0.965, 0.94, 0.89, 0.80, 0.60)
# What the mix may lie below what the reference images said before it counts as a drop.
POOLED_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class Budget:
    """The owner's false alarms per 30 days, split between the classes and the pool."""

    classes: float
    pooled: float


def split_budget(budget: float, classes: int) -> Budget:
    """Return 80 % of the budget for all classes together, and 20 % for the pool.

    A single class is its own pool and keeps the whole budget.

    Args:
        budget: False alarms b that the owner accepts per 30 days.
        classes: Number of classes K.

    Raises:
        StatisticsError: There is no class, or no budget.
    """
    if classes < 1 or not budget > 0:
        raise StatisticsError(f"no budget of {budget} can be split over {classes} classes")
    if classes == 1:
        return Budget(budget, 0.0)
    return Budget((1 - POOLED_SHARE) * budget, POOLED_SHARE * budget)


@dataclass(frozen=True, slots=True)
class PooledReference:
    """What the reference images say of each class, as mean and variance, shape (K,) each."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    def level(self, total: ArrayLike) -> NDArray[np.float64]:
        """Return the accuracy a day's images are held to, given how many each class has.

        With w_c the classes' shares: sum w_c m_c - 1.28 sqrt(sum w_c^2 v_c) - 0.01, the same
        0.10 quantile as for a class, within [0.005, 0.995].

        Args:
            total: Images n_c, shape (..., K). Days without any get the plain mean's level.

        Returns:
            One level a day, shape (...).
        """
        images = np.asarray(total, dtype=np.float64)
        whole = images.sum(axis=-1, keepdims=True)
        share = np.where(whole > 0, images / np.maximum(whole, 1), 1 / self.mean.size)
        spread = np.sqrt(share**2 @ self.variance)
        careful = share @ self.mean + float(special.ndtri(REFERENCE_QUANTILE)) * spread
        return np.clip(careful - POOLED_SLACK, LOWEST_REFERENCE, HIGHEST_REFERENCE)


def pooled_reference(correct: ArrayLike, total: ArrayLike) -> PooledReference:
    """Return what the reference images say of all classes: the posteriors' moments.

    Beta(a + k, b + n - k) with the prior of core.stats.proportions.class_prior.

    Args:
        correct: Right answers on the reference images, shape (K,).
        total: Reference images, shape (K,).

    Raises:
        StatisticsError: As `class_prior`.
    """
    k, n = checked_counts(correct, total)
    prior = class_prior(k, n)
    a, b = prior.a + k, prior.b + n - k
    mean = a / (a + b)
    return PooledReference(mean, mean * (1 - mean) / (a + b + 1))
