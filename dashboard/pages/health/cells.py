"""The cells of the matrix: what is shown of a class on one day, or over seven days."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from core.stats.proportions import jeffreys
from dashboard.parts.drawing import cell_hover, counts_hover, escaped
from dashboard.parts.wording import day_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from core.store.class_history import ClassWeek
    from dashboard.pages.health.facts import ClassReading, Overview

# Fewer images than this say next to nothing: 95 % of what four right answers may mean is a span
# of more than 40 points.
FEWEST_COLOURED = 5

_WEEK, _TO_MIDDLE, _TO_END = timedelta(days=7), timedelta(days=3), timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Cells:
    """What the cells show, row by row.

    Attributes:
        x: Where each column stands on the axis of days.
        accuracy: Of each class in each column; None where it is not coloured.
        shown: What stands in a coloured cell.
        hover: What it says when it is pointed at.
        sparse: Cells of too few images to colour: x, row, what it says, and its number of images.
    """

    x: list[str]
    accuracy: list[list[float | None]]
    shown: list[list[str]]
    hover: list[list[str]]
    sparse: list[tuple[str, int, str, str]] = field(default_factory=list[tuple[str, int, str, str]])

    @classmethod
    def empty(cls, x: list[str], rows: int) -> Cells:
        """Return cells in which nothing stands yet."""
        return cls(
            x,
            [[None] * len(x) for _ in range(rows)],
            [[""] * len(x) for _ in range(rows)],
            [[""] * len(x) for _ in range(rows)],
        )

    def put(self, row: int, column: int, counts: tuple[int, int], text: str) -> None:
        """Let a cell show so many right answers of so many images."""
        correct, n = counts
        if n < FEWEST_COLOURED:
            self.sparse.append((self.x[column], row, text, f"n {n}" if n else ""))
            return
        self.accuracy[row][column] = correct / n
        self.shown[row][column] = f"{100 * correct / n:.0f}"
        self.hover[row][column] = text


def is_by_week(classes: Sequence[ClassReading]) -> bool:
    """Say whether a column is seven days."""
    return any(each.weeks for each in classes)


def cells(facts: Overview, classes: Sequence[ClassReading]) -> Cells:
    """Return the cells of some classes, a row each: by week where they have weeks."""
    return _by_week(facts, classes) if is_by_week(classes) else _by_day(facts, classes)


def _by_day(facts: Overview, classes: Sequence[ClassReading]) -> Cells:
    days, today = facts.range.days, facts.now.date()
    place = {day: i for i, day in enumerate(days)}
    found = Cells.empty([day.isoformat() for day in days], len(classes))
    for row, reading in enumerate(classes):
        for day in reading.days:
            column = place.get(day.day)
            if column is not None:
                text = cell_hover(day, today, reading.silent.get(day.day, 0))
                found.put(row, column, (day.correct, day.n), text)
    return found


def _by_week(facts: Overview, classes: Sequence[ClassReading]) -> Cells:
    weeks = [(row, week) for row, reading in enumerate(classes) for week in reading.weeks]
    first, last = (end(week.start for _, week in weeks) for end in (min, max))
    starts = [first + i * _WEEK for i in range((last - first) // _WEEK + 1)]
    place = {start: i for i, start in enumerate(starts)}
    found = Cells.empty([(start + _TO_MIDDLE).isoformat() for start in starts], len(classes))
    low, high = jeffreys([week.correct for _, week in weeks], [week.n for _, week in weeks])
    for (row, week), ends in zip(weeks, zip(low.tolist(), high.tolist(), strict=True), strict=True):
        text = _hover(week, ends, facts.now.date())
        found.put(row, place[week.start], (week.correct, week.n), text)
    return found


def _hover(week: ClassWeek, interval: tuple[float, float], today: date) -> str:
    """Return what is told of a class's week when it is pointed at."""
    first, last = (day_text(day, today=today) for day in (week.start, week.start + _TO_END))
    versions = ", ".join(map(escaped, week.versions))
    head = f"<b>{escaped(week.label)}</b><br>{first} to {last}, {versions}"
    if week.n == 0:
        return f"{head}<br>no fresh labels"
    return f"{head}<br>{counts_hover(week.correct, week.n, interval, week.confused)}"
