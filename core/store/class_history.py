"""What became of each class over a stretch of days, summed up where the rows lie.

A day shows the version that was examined last on it, as everywhere. Nothing here is written: the
rows are those of `class_days`, `validations` and `validation_results`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Traced:
    """One examined day of all classes, a character each.

    Attributes:
        day: The day.
        version: The version examined.
        shares: In the order of its labels sorted by their characters: `.` where no image was
            judged, else the character that `share_of` reads.
    """

    day: date
    version: str
    shares: str


@dataclass(frozen=True, slots=True)
class Called:
    """One labelled image that was called by a class's name.

    Attributes:
        day: The day whose exam it was drawn for.
        confidence: How sure the version was.
        right: Whether that is what it is.
    """

    day: date
    confidence: float
    right: bool


# A day that was examined for two versions is that of the later exam.
_EXAMS = """
    exams AS (
        SELECT DISTINCT ON (day) id, day, version
          FROM validations
         WHERE day BETWEEN :first AND :last AND status = 'done'
         ORDER BY day, id DESC)
"""

# A character a class and day: 2,500 classes are one string a day, and no row each.
_TRACED = sa.text(f"""
    WITH {_EXAMS}
    SELECT e.day, e.version,
           string_agg(CASE WHEN d.n = 0 THEN '.'
                           ELSE chr(48 + round(63.0 * d.correct / d.n)::int) END,
                      '' ORDER BY d.label COLLATE "C") AS shares
      FROM exams e
      JOIN class_days d ON d.version = e.version AND d.day = e.day
     GROUP BY e.day, e.version
     ORDER BY e.day
""")  # noqa: S608 - put together from constants

_TOTAL = sa.text(f"""
    WITH {_EXAMS}
    SELECT coalesce(sum(d.n), 0)::bigint AS n, coalesce(sum(d.correct), 0)::bigint AS correct
      FROM class_days d
      JOIN exams e ON e.day = d.day AND e.version = d.version
     WHERE d.day BETWEEN :first AND :last
""")  # noqa: S608 - put together from constants

# Which classes were ever called so on which day stands in `class_days`; so only their results are
# read, by the index on (validation, label), and not those of all classes.
_CALLED = sa.text(f"""
    WITH {_EXAMS},
    sources AS MATERIALIZED (
        SELECT e.id, e.day, d.label
          FROM class_days d
          JOIN exams e ON e.day = d.day AND e.version = d.version
         WHERE d.day BETWEEN :first AND :last
           AND (d.label = :label OR d.confused ? :label))
    SELECT s.day, r.confidence, r.label = :label AS was_right
      FROM sources s
      JOIN validation_results r ON r.validation = s.id AND r.label = s.label
     WHERE r.predicted = :label
     ORDER BY s.day, r.image
""")  # noqa: S608 - put together from constants


def traced(connection: Connection, first: date, last: date) -> list[Traced]:
    """Return the examined days from `first` to `last`, in order."""
    rows = connection.execute(_TRACED, {"first": first, "last": last})
    return [Traced(*row) for row in rows]


def share_of(character: str) -> float | None:
    """Return the share of right answers that a character stands for, to 1/63; None without images.

    Example:
        >>> share_of("o"), share_of("0"), share_of(".")
        (1.0, 0.0, None)
    """
    return None if character == "." else (ord(character) - 48) / 63


def total(connection: Connection, first: date, last: date) -> tuple[int, int]:
    """Return how many images of all classes were judged in some days, and answered right."""
    row = connection.execute(_TOTAL, {"first": first, "last": last}).one()
    return row.n, row.correct


def called(connection: Connection, label: str, first: date, last: date) -> list[Called]:
    """Return the labelled images that were called by a class's name, in the order of the days."""
    rows = connection.execute(_CALLED, {"label": label, "first": first, "last": last})
    return [Called(*row) for row in rows]
