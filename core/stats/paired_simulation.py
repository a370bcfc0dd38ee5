"""What the comparison with the version before would do: simulated promotions, judged every day.

A promotion here is one new version beside its predecessor for some days: so many labelled images of
each class a day, each spoken for by the new version alone, by the old one alone, or by neither.
Images are independent, and every class gets as many as every other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.paired_bet import capital, log_bets

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

# Promotions simulated at once, so that many classes fit into memory.
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the simulated promotions.

    Attributes:
        share: How many of them were rolled back.
        days: On which day, counted from 1, those were; shape (rolled back,).
    """

    share: float
    days: NDArray[np.int64]

    def day_quantile(self, q: float) -> float:
        """Return the day by which that share of those rolled back were; NaN where none was."""
        return float(np.quantile(self.days, q, method="higher")) if self.days.size else float("nan")


def simulate_promotions(  # noqa: PLR0913 - the simulation's terms, each named by its caller
    rng: Generator,
    *,
    only_new: ArrayLike,
    only_old: ArrayLike,
    images: int,
    days: int,
    alpha: float,
    promotions: int,
) -> Outcome:
    """Return how often and when a version is rolled back.

    Args:
        rng: The source of chance.
        only_new: Share of the images of each class that only the new version names rightly, (K,).
        only_old: Share that only the old one does, (K,).
        images: Labelled images of each class and day.
        days: Days on which it is looked at.
        alpha: As `core.stats.paired_bet.paired_evidence` has it.
        promotions: How many are simulated.

    Raises:
        StatisticsError: The shares are no shares, or differ in shape.
    """
    gained, lost = np.asarray(only_new, np.float64), np.asarray(only_old, np.float64)
    if gained.shape != lost.shape or gained.ndim != 1 or not gained.size:
        raise StatisticsError(f"shares of {gained.shape} and {lost.shape} classes must be (K,)")
    if (np.minimum(gained, lost) < 0).any() or (gained + lost > 1).any():
        raise StatisticsError("the shares of a class must be 0 or more, and 1 together at most")
    at_once = max(1, _CELLS // (days * gained.size))
    first = np.concatenate(
        [
            _first_days(rng, (gained, lost), images, days, alpha, min(at_once, promotions - begun))
            for begun in range(0, promotions, at_once)
        ]
    )
    back = first[first > 0]
    return Outcome(len(back) / promotions, back)


def _first_days(
    rng: Generator,
    shares: tuple[NDArray[np.float64], NDArray[np.float64]],
    images: int,
    days: int,
    alpha: float,
    promotions: int,
) -> NDArray[np.int64]:
    """Return the day on which each promotion was rolled back, 0 for never; shape (promotions,)."""
    gained, lost = shares
    shape = (promotions, days, gained.size)
    new = rng.binomial(images, gained, shape)
    # Of the images that are not the new version's alone.
    old = rng.binomial(images - new, lost / np.maximum(1 - gained, 1e-12), shape)
    bets = log_bets(np.array([1.0, -1.0]))
    worse = np.zeros(shape[:2], dtype=np.bool_)
    won = np.zeros((promotions, gained.size, bets.shape[1]))
    for day in range(days):
        won += new[:, day, :, None] * bets[0] + old[:, day, :, None] * bets[1]
        worse[:, day] = capital(won.sum(axis=1)) >= 2 / alpha
        worse[:, day] |= (capital(won) >= 2 * gained.size / alpha).any(axis=1)
    return np.where(worse.any(axis=1), worse.argmax(axis=1) + 1, 0)
