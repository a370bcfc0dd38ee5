"""How each class of the examined version did on each day: the counts all judgement rests on.

Every label of the version has a row on every examined day, also one with n = 0: a class that
could not be examined is shown as such, never left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

_JSON: Any = JSONB


class ClassDayRow(SQLModel, table=True):
    """One class on one day."""

    __tablename__ = "class_days"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    label: str = Field(primary_key=True)
    n: int
    correct: int
    confused: dict[str, int] = Field(sa_type=_JSON)
    low: float
    high: float
    shared: list[list[int]] = Field(sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class ClassDay:
    """One class on one day.

    Attributes:
        day: The day examined.
        version: The version examined.
        label: The class.
        n: Images judged; 0 when there were no fresh labels.
        correct: How many were answered right.
        confused: The wrong answers: `{predicted label: images}`.
        low: Lower end of the 95 % Jeffreys interval.
        high: Upper end.
        shared: Images that belong together, a session or near-duplicates: `[images, right]` of
            each group of two or more. All others stand alone.
    """

    day: date
    version: str
    label: str
    n: int
    correct: int
    confused: dict[str, int]
    low: float
    high: float
    shared: list[list[int]] = dataclass_field(default_factory=list[list[int]])


@dataclass(frozen=True, slots=True)
class Tally:
    """How a class was answered over some days, `first` being the first that was examined."""

    label: str
    n: int
    correct: int
    first: date


@dataclass(frozen=True, slots=True)
class DayCounts:
    """A version's classes on one day, in no order that matters.

    Attributes:
        day: The day.
        labels: The classes.
        correct: Right answers of each.
        total: Images of each.
        shared: Groups of images that belong together, `[images, right]`, of the classes that have
            any.
    """

    day: date
    labels: list[str]
    correct: list[int]
    total: list[int]
    shared: dict[str, list[list[int]]]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often images of a class were taken for another, or for itself."""

    label: str
    predicted: str
    n: int


# The serving version changes at most on the stroke of a day, so a day has one examined version;
# should a day have been examined for two, the later exam is the one that counts.
_MATRIX = sa.text("""
    SELECT DISTINCT ON (d.day, d.label)
           d.day, d.version, d.label, d.n, d.correct, d.confused, d.low, d.high,
           d.shared
      FROM class_days d
      JOIN validations v ON v.day = d.day AND v.version = d.version
     WHERE d.day BETWEEN :first AND :last
     ORDER BY d.day, d.label, v.id DESC
""")

# Some classes are looked up day by day, by the primary key, instead of read past all others:
# OFFSET 0 keeps the planner from that, whose estimate of a join by two columns is far too low.
_MATRIX_OF = sa.text("""
    SELECT DISTINCT ON (d.day, d.label)
           d.day, d.version, d.label, d.n, d.correct, d.confused, d.low, d.high,
           d.shared
      FROM validations v
     CROSS JOIN LATERAL (SELECT *
                           FROM class_days
                          WHERE version = v.version AND day = v.day
                            AND label = ANY(CAST(:labels AS text[]))
                         OFFSET 0) AS d
     WHERE v.day BETWEEN :first AND :last
     ORDER BY d.day, d.label, v.id DESC
""")

# Exams are few, so the classes are found through them, by their primary key.
_CONFUSION = sa.text("""
    WITH counted AS (
        SELECT d.label, d.correct, d.confused
          FROM validations v
          JOIN class_days d ON d.version = v.version AND d.day = v.day
         WHERE v.day BETWEEN :first AND :last
           AND (CAST(:version AS text) IS NULL OR v.version = :version))
    SELECT label, predicted, sum(n)::bigint AS n
      FROM (SELECT label, c.key AS predicted, c.value::bigint AS n
              FROM counted, jsonb_each_text(confused) AS c
             UNION ALL
            SELECT label, label, correct
              FROM counted) AS pairs
     WHERE n > 0
     GROUP BY label, predicted
     ORDER BY label, predicted
""")

# Each class may be counted from another day on; the pairs go over the wire as two arrays.
_TALLY = sa.text("""
    SELECT d.label, sum(d.n)::bigint AS n, sum(d.correct)::bigint AS correct, min(d.day) AS first
      FROM class_days d
      JOIN unnest(CAST(:labels AS text[]), CAST(:firsts AS date[])) AS wanted (label, first)
        ON wanted.label = d.label AND wanted.first <= d.day
     WHERE d.version = :version
       AND d.day BETWEEN :earliest AND :last
     GROUP BY d.label
""")

# One row a day: an epoch of 2,500 classes is 75,000 pairs of numbers, and what belongs together.
_COUNTS = sa.text("""
    SELECT day, array_agg(label) AS labels, array_agg(correct) AS correct, array_agg(n) AS total,
           jsonb_object_agg(label, shared) FILTER (WHERE shared <> '[]') AS shared
      FROM class_days
     WHERE version = :version AND day BETWEEN :first AND :last
     GROUP BY day
     ORDER BY day
""")

_UPSERT = sa.text("""
    INSERT INTO class_days (day, version, label, n, correct, confused, low, high, shared)
    VALUES (:day, :version, :label, :n, :correct, :confused, :low, :high, :shared)
        ON CONFLICT (version, day, label) DO UPDATE
       SET n = excluded.n, correct = excluded.correct, confused = excluded.confused,
           low = excluded.low, high = excluded.high, shared = excluded.shared
""").bindparams(sa.bindparam("confused", type_=JSONB), sa.bindparam("shared", type_=JSONB))


def write(connection: Connection, rows: Sequence[ClassDay]) -> None:
    """Store a day's classes, in place of what stood there."""
    if rows:
        connection.execute(_UPSERT, [asdict(row) for row in rows])


def of_version(connection: Connection, version: str, first: date) -> list[ClassDay]:
    """Return a version's classes from `first` on, in the order of the days."""
    statement = _CLASS_DAYS.where(
        col(ClassDayRow.version) == version, col(ClassDayRow.day) >= first
    ).order_by(col(ClassDayRow.day), col(ClassDayRow.label))
    return [ClassDay(*row) for row in connection.execute(statement)]


def shared(
    connection: Connection, version: str, first: date, before: date
) -> list[tuple[date, str, list[list[int]]]]:
    """Return (day, label, groups) of a version's days from `first` to the one before `before`.

    In the order of days and labels; classes without groups of two or more are left out.
    """
    statement = (
        sa.select(col(ClassDayRow.day), col(ClassDayRow.label), col(ClassDayRow.shared))
        .where(
            col(ClassDayRow.version) == version,
            col(ClassDayRow.day) >= first,
            col(ClassDayRow.day) < before,
            col(ClassDayRow.shared) != sa.text("'[]'::jsonb"),
        )
        .order_by(col(ClassDayRow.day), col(ClassDayRow.label))
    )
    return [(day, label, groups) for day, label, groups in connection.execute(statement)]


def counts(connection: Connection, version: str, first: date, last: date) -> list[DayCounts]:
    """Return the counts of each examined day from `first` to `last`, in the order of the days."""
    found = connection.execute(_COUNTS, {"version": version, "first": first, "last": last})
    return [
        DayCounts(row.day, row.labels, row.correct, row.total, row.shared or {}) for row in found
    ]


def of_day(connection: Connection, day: date, version: str) -> list[ClassDay]:
    """Return the classes of one day and version, by label."""
    statement = _CLASS_DAYS.where(
        col(ClassDayRow.version) == version, col(ClassDayRow.day) == day
    ).order_by(col(ClassDayRow.label))
    return [ClassDay(*row) for row in connection.execute(statement)]


def of_label(
    connection: Connection, version: str, label: str, first: date, last: date
) -> list[ClassDay]:
    """Return one class's days in one version from `first` to `last`, in order."""
    statement = _CLASS_DAYS.where(
        col(ClassDayRow.version) == version,
        col(ClassDayRow.label) == label,
        col(ClassDayRow.day).between(first, last),
    ).order_by(col(ClassDayRow.day))
    return [ClassDay(*row) for row in connection.execute(statement)]


def matrix(
    connection: Connection, first: date, last: date, labels: Sequence[str] | None = None
) -> list[ClassDay]:
    """Return every class on every examined day, each as the version examined that day did it.

    Args:
        connection: Where to ask.
        first: First day.
        last: Last day.
        labels: Only these classes; None for all.
    """
    values: dict[str, Any] = {"first": first, "last": last}
    if labels is None:
        return [ClassDay(*row) for row in connection.execute(_MATRIX, values)]
    found = connection.execute(_MATRIX_OF, values | {"labels": sorted(set(labels))})
    return [ClassDay(*row) for row in found]


def tally(
    connection: Connection, version: str, since: Mapping[str, date], last: date
) -> dict[str, Tally]:
    """Return how classes were answered by a version, each from its own day on to `last`.

    Args:
        connection: Where to ask.
        version: The version.
        since: For each class the first day that counts.
        last: The last day that counts, for all.

    Returns:
        One tally a class; a class that was not examined on any of its days is absent.
    """
    values = {
        "version": version,
        "labels": list(since),
        "firsts": list(since.values()),
        "earliest": min(since.values(), default=last),
        "last": last,
    }
    return {row.label: Tally(*row) for row in connection.execute(_TALLY, values)}


def confusion(
    connection: Connection, first: date, last: date, version: str | None = None
) -> list[Confusion]:
    """Return how often each class was taken for each, right answers included.

    Args:
        connection: Where to ask.
        first: First day.
        last: Last day.
        version: Only this version's answers; None for those of every version.
    """
    values = {"first": first, "last": last, "version": version}
    return [Confusion(*row) for row in connection.execute(_CONFUSION, values)]


_CLASS_DAYS = sa.select(*[getattr(ClassDayRow, name) for name in ClassDay.__dataclass_fields__])
