"""How soon would we notice? Days to an alarm, foretold before anything has happened.

A class that is held to r and answers p right drops by so many points: after how many days,
in the median, does its evidence reach the threshold at n labels a day? The evidence is read
as a function of the mistakes so far, its days as if they had all gone alike, with what a
healthy class has typically gathered before. So an alarm is the first day on which the
mistakes reach a boundary, and its distribution is counted out day by day, exactly.
It holds for the bet on single images of core.stats.evidence, and for steady labelling.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.evidence import RATIOS, checked_levels, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

# Drops that an owner is told about, in shares of all images.
DROPS = (0.05, 0.15, 0.35)
# Past this nobody waits; the answer is infinity.
LONGEST_DAYS = 365
MOST_LABELS = 10_000
# Past this many images a day chance hardly matters, and the median day is taken as it comes.
_COUNTED_OUT = 64
# A class keeps at most this accuracy to lose, and never goes below it.
LOWEST_ACCURACY = 0.01
_OLDEST_START = 60
# The recursion keeps the luckiest of its starts, so days that went unevenly weigh more. Half
# of the variance would be the mean of that; half of this again is the typical case.
_LUCK = 0.25
_LARGEST_LOG = 600.0
_LEAST_RATE = 1e-6


def days_to_notice(
    reference: ArrayLike,
    accuracy: ArrayLike,
    drop: float,
    labels_per_day: ArrayLike,
    threshold: float,
    ratios: Sequence[float] = RATIOS,
) -> NDArray[np.float64]:
    """Return the median number of days until a drop raises an alarm, shape (K,).

    Args:
        reference: Accuracies r the classes are held to, shape (K,), inside (0, 1).
        accuracy: What they answer right today, shape (K,).
        drop: What they lose, from 0 to 1; 0.15 for 15 points.
        labels_per_day: Labelled images a day on average, shape (K,); with less than one a
            day the days in between count as well. 0 gives infinity.
        threshold: Evidence that raises an alarm.
        ratios: The detector's alternatives.

    Returns:
        Days, at least 1; infinity where it would take more than a year, as it does for a
        drop that ends above the reference.

    Raises:
        StatisticsError: A level is out of range, or the shapes differ.
    """
    null = checked_levels(reference)
    before = np.asarray(accuracy, dtype=np.float64)
    rate = np.asarray(labels_per_day, dtype=np.float64)
    if not null.shape == before.shape == rate.shape:
        raise StatisticsError(
            f"levels {null.shape}, accuracies {before.shape} and labels {rate.shape} differ"
        )
    sound = np.all((before >= 0) & (before <= 1)) and np.all((rate >= 0) & (rate < math.inf))
    if not (sound and 0 <= drop <= 1 and 0 < threshold < math.inf):
        raise StatisticsError(f"no answer for a drop of {drop} at a threshold of {threshold}")
    images = np.maximum(np.rint(rate), 1)
    # Classes that differ by less than a tenth of a point are foretold together.
    cases = np.column_stack([null.round(3), before.round(3), images])
    cases[:, 0] = np.clip(cases[:, 0], 0.001, 0.999)
    distinct, which = np.unique(cases, axis=0, return_inverse=True)
    alternatives = tuple(ratios)
    days = np.array(
        [
            _median_days((r, p, drop), int(n), threshold, alternatives)
            for r, p, n in distinct.tolist()
        ]
    )
    # A rate this small is none: nobody waits for the first image.
    waiting = np.where(rate > _LEAST_RATE, images / np.maximum(rate, _LEAST_RATE), math.inf)
    stretched = days[which.ravel()] * waiting
    return np.where(stretched <= LONGEST_DAYS, np.maximum(stretched, 1), math.inf)


def labels_for_wish(
    reference: ArrayLike,
    accuracy: ArrayLike,
    drop: float,
    within_days: float,
    threshold: float,
) -> NDArray[np.float64]:
    """Return the labels a day with which a drop would be noticed soon enough, shape (K,).

    The smallest whole number for which `days_to_notice` is at most `within_days`; infinity
    where 10,000 a day are not enough. Levels and accuracies are taken to half a point.
    Arguments and errors are those of `days_to_notice`.
    """
    # A wish needs no finer answer, and thousands of classes become some dozens of cases.
    null = np.clip(_to_half_points(checked_levels(reference)), 0.005, 0.995)
    before = _to_half_points(np.asarray(accuracy, dtype=np.float64))
    low, high = np.zeros(null.shape), np.full(null.shape, float(MOST_LABELS))
    days = days_to_notice(null, before, drop, high, threshold)
    possible = days <= within_days
    while np.any(high - low > 1):
        middle = np.maximum(np.floor((low + high) / 2), 1)
        soon = days_to_notice(null, before, drop, middle, threshold) <= within_days
        low, high = np.where(soon, low, middle), np.where(soon, middle, high)
    return np.where(possible, high, math.inf)


def _to_half_points(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(200 * shares) / 200


@lru_cache(maxsize=10_000)
def _median_days(
    case: tuple[float, float, float], n: int, threshold: float, ratios: tuple[float, ...]
) -> float:
    """Return the median days for one (reference, accuracy, drop) at n whole images a day."""
    null, before, drop = case
    after = max(before - drop, LOWEST_ACCURACY)
    boundary = _Boundary(null, before, n, threshold, ratios)
    if not boundary.in_reach(after):
        return math.inf
    if n > _COUNTED_OUT:
        return boundary.median_at_once(after)
    return _counted_out(boundary, after, n)


class _Boundary:
    """The number of mistakes with which a class raises an alarm, t days after its drop."""

    def __init__(
        self, null: float, before: float, n: int, threshold: float, ratios: Sequence[float]
    ) -> None:
        grid = np.array(ratios)
        self._n = n
        self._right = np.log(grid)
        self._wrong = np.log1p(-null * grid) - math.log1p(-null)
        self._threshold = threshold
        self._weights = weights_of(ratios)
        # A healthy class has M_g = sum_j exp(j d) in the main, d being a day's typical gain.
        self._swing = _LUCK * (self._right - self._wrong) ** 2
        gain = n * (before * self._right + (1 - before) * self._wrong)
        gain = gain + n * before * (1 - before) * self._swing
        starts = np.arange(1, _OLDEST_START + 1)[:, None] * gain
        self._log_before = np.logaddexp.reduce(np.vstack([0.0 * gain, starts]))
        self._least = 0

    def in_reach(self, after: float) -> bool:
        """Say whether some alternative gathers the threshold in twice the longest time."""
        gain = self._n * (after * self._right + (1 - after) * self._wrong)
        return 2 * LONGEST_DAYS * float(gain.max()) >= math.log(self._threshold)

    def at(self, day: int) -> int:
        """Return the least number of mistakes that raises an alarm, n * day + 1 for none."""
        low, most, stride = self._least, self._n * day + 1, 1
        high = min(low + stride, most)
        # From one day to the next the boundary moves a little, so it is sought nearby.
        while high < most and self._evidence(high, day) < self._threshold:
            low, stride = high + 1, 2 * stride
            high = min(high + stride, most)
        while low < high:
            middle = (low + high) // 2
            if self._evidence(middle, day) >= self._threshold:
                high = middle
            else:
                low = middle + 1
        self._least = low
        return low

    def median_at_once(self, after: float) -> float:
        """Return the first day whose median number of mistakes reaches the boundary."""
        for day in range(1, LONGEST_DAYS + 1):
            # The median of a binomial is its mean, to within one.
            if round(self._n * day * (1 - after)) >= self.at(day):
                return float(day)
        return math.inf

    def _evidence(self, mistakes: int, day: int) -> float:
        whole = (self._n * day - mistakes) * self._right + mistakes * self._wrong
        # Later starts of the recursion: the last j days, as if all had gone alike.
        last = np.arange(1, day)[:, None]
        spread = mistakes * (self._n * day - mistakes) / (self._n * day**2)
        later = last * (whole / day) + spread * self._swing * last * (day - last) / day
        terms = np.exp(np.minimum(np.vstack([whole + self._log_before, later]), _LARGEST_LOG))
        return float(terms.sum(axis=0) @ self._weights)


def _counted_out(boundary: _Boundary, after: float, n: int) -> float:
    """Return the median of the first day on which the mistakes reach the boundary."""
    one_day = np.asarray(cast("Any", stats).binom.pmf(np.arange(n + 1), n, 1 - after))
    waiting = np.ones(1)
    for day in range(1, LONGEST_DAYS + 1):
        waiting = np.convolve(waiting, one_day)[: boundary.at(day)]
        if float(waiting.sum()) <= 0.5:
            return float(day)
    return math.inf
