"""How soon would we notice, at today's labels, and what would it take to notice sooner?

Asked of core.stats.how_soon for labels that are the same every day, and of
core.stats.how_soon_adaptive where they follow the evidence.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UsageError
from core.stats.how_soon import DROPS, LONGEST_DAYS, days_to_notice, labels_for_wish
from core.stats.how_soon_adaptive import days_to_notice_adaptive, labels_for_wish_adaptive

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WISH = re.compile(
    r"\s*(\d{1,3}(?:\.\d+)?)\s*(?:points?|%|percent)\s+(?:with)?in\s+(\d{1,3})\s+days?\s*"
)
# A class that gets less than this share of what every class gets is short of images.
_SHORT_OF_IMAGES = 0.8


@dataclass(frozen=True, slots=True)
class Wish:
    """A drop that is to be noticed soon enough: so many points, within so many days."""

    points: float = 15.0
    days: int = 3

    @property
    def drop(self) -> float:
        """The drop as a share of all images."""
        return self.points / 100

    @classmethod
    def parse(cls, text: str) -> Wish:
        """Return the wish that is written as `15 points in 3 days`.

        Raises:
            UsageError: It is written otherwise, or asks for what cannot be.
        """
        found = _WISH.fullmatch(text.lower())
        if found is None:
            raise UsageError(f"{text!r} is no wish; write it like '15 points in 3 days'")
        points, days = float(found[1]), int(found[2])
        if not 0 < points <= 100 or not 1 <= days <= LONGEST_DAYS:
            raise UsageError(f"{text!r} cannot be wished for: 0 to 100 points, 1 to 365 days")
        return cls(points, days)


@dataclass(frozen=True, slots=True)
class Given:
    """What the days to notice depend on.

    Attributes:
        reference: Accuracies the classes are held to, shape (K,).
        accuracy: What they answer right today, shape (K,).
        labels_a_day: Labelled images of each class and day, shape (K,).
        threshold: Evidence that raises an alarm.
        adaptive: Whether labels follow the evidence.
    """

    reference: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    labels_a_day: NDArray[np.float64]
    threshold: float
    adaptive: bool

    @property
    def follows(self) -> bool:
        """Whether labels can follow anything: there are two classes at least."""
        return self.adaptive and self.reference.size > 1


def days_until_noticed(given: Given) -> NDArray[np.float64]:
    """Return the median days to notice a drop of each of DROPS, (3, K); infinity for never.

    Where labels follow the evidence, all classes share what they get together today. A class
    that is short of images is foretold by what it gets itself.
    """
    null, accuracy, rate = given.reference, given.accuracy, given.labels_a_day
    plain = np.array(
        [days_to_notice(null, accuracy, drop, rate, given.threshold) for drop in DROPS]
    )
    total = round(float(rate.sum()))
    if not given.follows or not total:
        return plain
    shared = days_to_notice_adaptive(null, accuracy, DROPS, total, given.threshold)
    everybody_gets = (total - total // 2) / rate.size
    return np.where(rate < _SHORT_OF_IMAGES * everybody_gets, plain, shared)


def labels_wished(given: Given, wish: Wish) -> NDArray[np.float64]:
    """Return the labels a class and day with which a drop is noticed in time, shape (K,).

    Where labels follow the evidence, it is the average over all classes; otherwise the class's
    own. Infinity where no number is enough.
    """
    ask = labels_for_wish_adaptive if given.follows else labels_for_wish
    return ask(given.reference, given.accuracy, wish.drop, wish.days, given.threshold)


def told(wish: Wish, labels: NDArray[np.float64]) -> dict[str, Any]:
    """Return what a wish costs over all classes, as JSON would hold it.

    `labels_a_day` is what one class in two needs at most, `labels_a_day_at_most` what any needs
    that can; `out_of_reach` counts those that cannot.
    """
    possible = np.sort(labels[np.isfinite(labels)])
    middle = float(possible[(possible.size - 1) // 2]) if possible.size else None
    return {
        "points": wish.points,
        "days": wish.days,
        "labels_a_day": middle,
        "labels_a_day_at_most": float(possible[-1]) if possible.size else None,
        "out_of_reach": int(labels.size - possible.size),
    }


def finite(value: float) -> int | float | None:
    """Return a number as JSON would hold it; None for never."""
    return None if math.isinf(value) else round(float(value), 1)
