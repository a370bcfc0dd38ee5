"""Precision, recall, confidence and calibration of one class, week by week.

A day has some ten or twenty labelled images of a class: too few for any of these, so they are
taken together by weeks, counted back from the last day of the range.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.stats.calibration import calibration_error, error_by_chance
from core.store import class_history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

    from core.store.class_days import ClassDay
    from core.store.class_history import Called

WEEK = timedelta(days=7)
# Further back nobody compares weeks, and a year of all classes would have to be read.
LONGEST_DAYS = 91
# A calibration error of fewer answers is chance.
FEWEST_CALLED = 10


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days of one class.

    Attributes:
        first: The first of them.
        last: The last.
        n: Labelled images of the class.
        recalled: How many of them were called so.
        called: Labelled images, of whatever class, that were called so.
        right: How many of those are.
        confidence: Their mean confidence; None where there is none.
        error: Their expected calibration error; None where they are too few.
        by_chance: What a calibrated model would exceed in one week of twenty, with as many images.
    """

    first: date
    last: date
    n: int
    recalled: int
    called: int
    right: int
    confidence: float | None
    error: float | None
    by_chance: float | None

    @property
    def recall(self) -> float | None:
        """Share of the class's images that were called so."""
        return self.recalled / self.n if self.n else None

    @property
    def precision(self) -> float | None:
        """Share of the images called so that are of the class."""
        return self.right / self.called if self.called else None


def of_class(
    connection: Connection, label: str, days: Sequence[ClassDay], first: date, last: date
) -> list[Week]:
    """Return the weeks of a class up to `last`, the oldest first; of `LONGEST_DAYS` at most.

    Args:
        connection: Where the images that were called so are asked for.
        label: The class.
        days: Its examined days.
        first: The first day that counts.
        last: The last day that counts.
    """
    first = max(first, last - timedelta(days=LONGEST_DAYS - 1))
    return weeks(days, class_history.called(connection, label, first, last), first, last)


def weeks(
    days: Sequence[ClassDay], called: Sequence[Called], first: date, last: date
) -> list[Week]:
    """Return the whole or begun weeks from `first` to `last`, the oldest first."""
    found: list[Week] = []
    end = last
    while end >= first:
        begin = max(end - WEEK + timedelta(days=1), first)
        found.append(_week(days, called, begin, end))
        end = begin - timedelta(days=1)
    return found[::-1]


def _week(days: Sequence[ClassDay], called: Sequence[Called], first: date, last: date) -> Week:
    own = [each for each in days if first <= each.day <= last]
    named = [each for each in called if first <= each.day <= last]
    sure = [each.confidence for each in named]
    enough = len(named) >= FEWEST_CALLED
    return Week(
        first=first,
        last=last,
        n=sum(each.n for each in own),
        recalled=sum(each.correct for each in own),
        called=len(named),
        right=sum(each.right for each in named),
        confidence=sum(sure) / len(sure) if sure else None,
        error=calibration_error(sure, [each.right for each in named]) if enough else None,
        by_chance=error_by_chance(sure) if enough else None,
    )
