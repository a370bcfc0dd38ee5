"""What became of each class over a stretch of days, summed up where the rows lie.

A day shows the version that was examined last on it, as everywhere. Nothing here is written: the
rows are those of `class_days`, `validations` and `validation_results`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import sqlalchemy as sa

from core.store.class_days import ClassDay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class ClassWeek:
    """One class over seven days, as the versions examined on them did it.

    Attributes:
        label: The class.
        start: The first of the seven days; not all of them need have been examined.
        versions: The versions examined.
        n: Images judged.
        correct: How many were answered right.
        confused: The wrong answers: `{predicted label: images}`.
    """

    label: str
    start: date
    versions: list[str]
    n: int
    correct: int
    confused: dict[str, int]


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
    SELECT e.day, e.version, d.shares
      FROM exams e
     CROSS JOIN LATERAL (SELECT string_agg(CASE WHEN n = 0 THEN '.'
                                                ELSE chr(48 + round(63.0 * correct / n)::int) END,
                                           '' ORDER BY label COLLATE "C") AS shares
                           FROM class_days
                          WHERE version = e.version AND day = e.day) AS d
     WHERE d.shares IS NOT NULL
     ORDER BY e.day
""")  # noqa: S608 - put together from constants

_TOTAL = sa.text(f"""
    WITH {_EXAMS}
    SELECT coalesce(sum(d.n), 0)::bigint AS n, coalesce(sum(d.correct), 0)::bigint AS correct
      FROM class_days d
      JOIN exams e ON e.day = d.day AND e.version = d.version
     WHERE d.day BETWEEN :first AND :last
""")  # noqa: S608 - put together from constants

# Weeks are counted back from the last day, so that the latest is whole. Classes are looked up day
# by day, by the primary key, instead of read past all others; see core.store.class_days.
_BY_WEEK = sa.text(f"""
    WITH {_EXAMS}
    SELECT d.label, CAST(:last AS date) - 6 - 7 * ((CAST(:last AS date) - e.day) / 7) AS start,
           array_agg(e.version) AS versions, sum(d.n)::bigint AS n,
           sum(d.correct)::bigint AS correct,
           jsonb_agg(d.confused) FILTER (WHERE d.confused <> '{{}}') AS confused
      FROM exams e
     CROSS JOIN LATERAL (SELECT *
                           FROM class_days
                          WHERE version = e.version AND day = e.day
                            AND label = ANY(CAST(:labels AS text[]))
                         OFFSET 0) AS d
     GROUP BY d.label, start
""")  # noqa: S608 - put together from constants

_FIRST_DAY = sa.text("""
    SELECT min(day) FROM validations WHERE day BETWEEN :first AND :last AND status = 'done'
""")

# Which classes were ever called so on which day stands in `class_days`; so only their results are
# read, by the index on (validation, label), and not those of all classes.
_CALLED = sa.text(f"""
    WITH {_EXAMS},
    sources AS MATERIALIZED (
        SELECT e.id, e.day, d.label
          FROM exams e
         CROSS JOIN LATERAL (SELECT label
                               FROM class_days
                              WHERE version = e.version AND day = e.day
                                AND (label = :label OR confused ? :label)
                             OFFSET 0) AS d)
    SELECT s.day, r.confidence, r.label = :label AS was_right
      FROM sources s
      JOIN validation_results r ON r.validation = s.id AND r.label = s.label
     WHERE r.predicted = :label
     ORDER BY s.day, r.image
""")  # noqa: S608 - put together from constants


# Day by day through the primary key, so that a page costs what it shows, however long the range. Of
# a day that was examined for two versions each class is that of the later exam, as in the matrix.
_PAGE = sa.text("""
    SELECT found.day, found.version, found.label, found.n, found.correct, found.confused,
           found.low, found.high
      FROM (SELECT DISTINCT day
              FROM validations
             WHERE day BETWEEN :first AND :last
               AND day >= :after_day) AS exam
     CROSS JOIN LATERAL (
           SELECT DISTINCT ON (d.label)
                  d.day, d.version, d.label, d.n, d.correct, d.confused, d.low, d.high
             FROM validations v
             JOIN class_days d ON d.version = v.version AND d.day = v.day
            WHERE v.day = exam.day
              AND (CAST(:label AS text) IS NULL OR d.label = :label)
              AND (v.day > :after_day OR d.label > :after_label)
            ORDER BY d.label, v.id DESC) AS found
     ORDER BY exam.day, found.label
     LIMIT :most
""")


def page(
    connection: Connection,
    first: date,
    last: date,
    *,
    label: str | None = None,
    after: tuple[date, str] | None = None,
    most: int,
) -> list[ClassDay]:
    """Return classes on their examined days, in the order of days and labels.

    Args:
        connection: Where to ask.
        first: The first day.
        last: The last day.
        label: Only this class; None for all.
        after: Only what follows this day and label; None to begin with the first.
        most: At most so many.

    Returns:
        The days without what their images have in common: `shared` is empty.
    """
    after_day, after_label = after or (first, "")
    values = {
        "first": first,
        "last": last,
        "label": label,
        "after_day": after_day,
        "after_label": after_label,
        "most": most,
    }
    return [ClassDay(*row) for row in connection.execute(_PAGE, values)]


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


def by_week(
    connection: Connection, labels: Sequence[str], first: date, last: date
) -> list[ClassWeek]:
    """Return the weeks of some classes, counted back from `last`, by class and in order.

    Args:
        connection: Where to ask.
        labels: The classes.
        first: First day that counts, so that the first week may be a part of one.
        last: Last day of the last week.
    """
    values = {"first": first, "last": last, "labels": sorted(set(labels))}
    found = [
        ClassWeek(
            row.label, row.start, sorted(set(row.versions)), row.n, row.correct, _sum(row.confused)
        )
        for row in connection.execute(_BY_WEEK, values)
    ]
    return sorted(found, key=lambda week: (week.label, week.start))


def _sum(confused: Sequence[Mapping[str, int]] | None) -> dict[str, int]:
    summed: dict[str, int] = {}
    for day in confused or []:
        for label, n in day.items():
            summed[label] = summed.get(label, 0) + n
    return summed


def first_day(connection: Connection, first: date, last: date) -> date | None:
    """Return the first examined day from `first` to `last`; None when none was."""
    return connection.execute(_FIRST_DAY, {"first": first, "last": last}).scalar_one()


def called(connection: Connection, label: str, first: date, last: date) -> list[Called]:
    """Return the labelled images that were called by a class's name, in the order of the days."""
    rows = connection.execute(_CALLED, {"label": label, "first": first, "last": last})
    return [Called(*row) for row in rows]
