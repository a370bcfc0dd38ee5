"""The drift verdicts: which columns of a day's predictions moved away from the reference.

What was found over all predictions lies in `drift_checks`, what was found among those of one
predicted class in `class_drift_checks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlmodel import Field, SQLModel, col

PROFILE = "profile"  # the reference that lies in the bundle

_TIMESTAMP: Any = sa.DateTime(timezone=True)

Verdict = Literal["drift", "no drift", "not enough data"]


class _Columns(SQLModel):
    """What both tables hold."""

    method: str
    n: int
    reference_n: int
    statistic: float | None = None
    p_value: float | None = None
    adjusted_p: float | None = None
    effect: float | None = None
    effect_floor: float
    level: float
    verdict: str


class DriftCheckRow(_Columns, table=True):
    """One column of one day."""

    __tablename__ = "drift_checks"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    column: str = Field(primary_key=True)
    report: str | None = None
    window_start: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    window_end: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    reference: str
    profile_effect: float | None = None
    detail: str


class ClassDriftCheckRow(_Columns, table=True):
    """One column of one day, among the predictions of one class."""

    __tablename__ = "class_drift_checks"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    label: str = Field(primary_key=True)
    column: str = Field(primary_key=True)
    window_start: datetime = Field(sa_type=_TIMESTAMP)
    window_end: datetime = Field(sa_type=_TIMESTAMP)
    reference: str


@dataclass(frozen=True, slots=True)
class DriftCheck:
    """One column of one day.

    Attributes:
        day: The day whose predictions were compared.
        version: The version that made them.
        column: What was compared: a descriptor, `confidence`, `predicted label`, `embedding` ...
        method: By which test.
        n: Predictions compared.
        reference_n: Reference rows they were compared with.
        statistic: The test's statistic; None without enough data.
        p_value: Its p-value.
        adjusted_p: The p-value corrected for the family of the day's columns (BH).
        effect: How far the column moved, in the method's own measure.
        effect_floor: Below this a difference is too small to matter, however sure.
        level: Share of false verdicts accepted within the family.
        verdict: `drift` needs both an adjusted p at the level and an effect at the floor.
        report: Evidently's report, relative to the folder of reports; None without one, or once
            it has been dropped.
        label: The predicted class whose rows were compared; None for all of them.
        window_start: The first moment of the window; None in rows of older releases.
        window_end: The moment at which it ended.
        reference: What was compared with: `profile`, or the days.
        profile_effect: Where other days were the reference: the distance from the profile.
        detail: What else a reader should know; empty for nothing.
    """

    day: date
    version: str
    column: str
    method: str
    n: int
    reference_n: int
    statistic: float | None
    p_value: float | None
    adjusted_p: float | None
    effect: float | None
    effect_floor: float
    level: float
    verdict: Verdict
    report: str | None = None
    label: str | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    reference: str = PROFILE
    profile_effect: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """What became of one column of one day: a `DriftCheck` without how it was found.

    A year of them is read at every look at the drift page.
    """

    day: date
    version: str
    column: str
    n: int
    reference_n: int
    adjusted_p: float | None
    effect: float | None
    effect_floor: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """Which checks are asked for.

    Attributes:
        first: The first day.
        last: The last day.
        within_classes: Those among the predictions of each class, instead of those over all.
        version: Only those of this version; None for all.
        label: Only those of this predicted class, where they are within classes; None for all.
        column: Only those of this column; None for all.
        verdict: Only those that came out so; None for all.
    """

    first: date
    last: date
    within_classes: bool = False
    version: str | None = None
    label: str | None = None
    column: str | None = None
    verdict: Verdict | None = None


_COMMON = (
    "method",
    "n",
    "reference_n",
    "statistic",
    "p_value",
    "adjusted_p",
    "effect",
    "effect_floor",
    "level",
    "verdict",
    "window_start",
    "window_end",
    "reference",
)
_OVERALL = ("day", "version", "column", *_COMMON, "report", "profile_effect", "detail")
_OF_CLASS = ("day", "version", "label", "column", *_COMMON)


def write(connection: Connection, day: date, version: str, checks: Sequence[DriftCheck]) -> None:
    """Store a day's checks, in place of whatever stood there."""
    for table, names in ((DriftCheckRow, _OVERALL), (ClassDriftCheckRow, _OF_CLASS)):
        old = sa.delete(table).where(col(table.day) == day, col(table.version) == version)
        connection.execute(old)
        of_table = [each for each in checks if (each.label is None) == (table is DriftCheckRow)]
        if of_table:
            rows = [{name: getattr(each, name) for name in names} for each in of_table]
            # Somebody who looks at the same day at the same moment writes the same rows.
            connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)


def forget_reports(connection: Connection, before: date) -> None:
    """Let the checks of days before `before` name no report: it has been dropped."""
    row = DriftCheckRow
    old = sa.update(row).where(col(row.day) < before, col(row.report).is_not(None))
    connection.execute(old.values(report=None))


def of_day(connection: Connection, day: date, version: str | None = None) -> list[DriftCheck]:
    """Return the checks of one day (of one version, or of all), by version and column."""
    statement = _CHECKS.where(col(DriftCheckRow.day) == day)
    if version is not None:
        statement = statement.where(col(DriftCheckRow.version) == version)
    statement = statement.order_by(col(DriftCheckRow.version), col(DriftCheckRow.column))
    return [DriftCheck(**row) for row in connection.execute(statement).mappings()]


def of_classes(connection: Connection, day: date, version: str) -> list[DriftCheck]:
    """Return the checks of one day and version within the predicted classes, by class."""
    row = ClassDriftCheckRow
    statement = _OF_CLASSES.where(col(row.day) == day, col(row.version) == version)
    statement = statement.order_by(col(row.label), col(row.column))
    return [DriftCheck(**found) for found in connection.execute(statement).mappings()]


def of_class(connection: Connection, day: date, version: str, label: str) -> list[DriftCheck]:
    """Return the checks of one day and version within one predicted class, by column."""
    row = ClassDriftCheckRow
    statement = _OF_CLASSES.where(
        col(row.day) == day, col(row.version) == version, col(row.label) == label
    )
    found = connection.execute(statement.order_by(col(row.column))).mappings()
    return [DriftCheck(**each) for each in found]


def worst_of_classes(
    connection: Connection, day: date, version: str, *, limit: int
) -> list[DriftCheck]:
    """Return the checks within predicted classes that came nearest to drift, those first."""
    row = ClassDriftCheckRow
    statement = _OF_CLASSES.where(col(row.day) == day, col(row.version) == version).order_by(
        (col(row.verdict) == "drift").desc(),
        col(row.adjusted_p).asc().nulls_last(),
        col(row.effect).desc().nulls_last(),
        col(row.label),
        col(row.column),
    )
    return [DriftCheck(**found) for found in connection.execute(statement.limit(limit)).mappings()]


def count_classes(connection: Connection, day: date, version: str) -> tuple[int, int]:
    """Return how many classes were checked by themselves, and in how many a column drifted."""
    row = ClassDriftCheckRow
    label = col(row.label)
    statement = sa.select(
        sa.func.count(label.distinct()),
        sa.func.count(label.distinct()).filter(col(row.verdict) == "drift"),
    ).where(col(row.day) == day, col(row.version) == version)
    checked, found = connection.execute(statement).one()
    return int(checked), int(found)


def last_day(connection: Connection) -> date | None:
    """Return the last day that was checked; None before the first."""
    return connection.execute(sa.select(sa.func.max(col(DriftCheckRow.day)))).scalar_one()


def matrix(connection: Connection, first: date, last: date) -> list[DriftCheck]:
    """Return every check over all predictions from `first` to `last`, by day and column."""
    statement = _CHECKS.where(col(DriftCheckRow.day).between(first, last)).order_by(
        col(DriftCheckRow.day), col(DriftCheckRow.version), col(DriftCheckRow.column)
    )
    return [DriftCheck(**row) for row in connection.execute(statement).mappings()]


def verdicts(connection: Connection, first: date, last: date) -> list[DriftVerdict]:
    """Return the verdicts over all predictions from `first` to `last`, by day and column."""
    row = DriftCheckRow
    statement = (
        sa.select(*[getattr(row, each.name) for each in fields(DriftVerdict)])
        .where(col(row.day).between(first, last))
        .order_by(col(row.day), col(row.version), col(row.column))
    )
    return [DriftVerdict(*each) for each in connection.execute(statement)]


def page(
    connection: Connection,
    asked: Asked,
    *,
    after: tuple[date, str, str, str] | None = None,
    most: int,
) -> list[DriftCheck]:
    """Return checks in the order of days, versions, classes and columns.

    Args:
        connection: Where to ask.
        asked: Which checks.
        after: Only what follows this day, version, class (empty for all predictions) and column;
            None to begin with the first.
        most: At most so many.
    """
    day, version, label, column = after or (asked.first, "", "", "")
    values = {
        "first": asked.first,
        "last": asked.last,
        "version": asked.version,
        "label": asked.label,
        "column": asked.column,
        "verdict": asked.verdict,
        "after_day": day,
        "after_version": version,
        "after_label": label,
        "after_column": column,
        "most": most,
    }
    statement = _PAGE_OF_CLASSES if asked.within_classes else _PAGE
    return [DriftCheck(**each) for each in connection.execute(statement, values).mappings()]


_CHECKS: sa.Select[*tuple[Any, ...]] = sa.select(
    *[getattr(DriftCheckRow, name) for name in _OVERALL]
)
_OF_CLASSES: sa.Select[*tuple[Any, ...]] = sa.select(
    *[getattr(ClassDriftCheckRow, name) for name in _OF_CLASS]
)

_WANTED = """
                  (CAST(:version AS text) IS NULL OR c.version = :version)
              AND (CAST(:column AS text) IS NULL OR c."column" = :column)
              AND (CAST(:verdict AS text) IS NULL OR c.verdict = :verdict)
"""
_PAGE = sa.text(f"""
    SELECT {", ".join(f'c."{name}"' for name in _OVERALL)}
      FROM drift_checks c
     WHERE c.day BETWEEN :first AND :last
       AND (c.day, c.version, c."column")
           > (CAST(:after_day AS date), CAST(:after_version AS text), CAST(:after_column AS text))
       AND {_WANTED}
     ORDER BY c.day, c.version, c."column"
     LIMIT :most
""")  # noqa: S608 - put together from constants

# Days of versions are few and stand in `drift_checks`; each leads to its classes by their primary
# key, so that a page costs what it shows, however long the range.
_PAGE_OF_CLASSES = sa.text(f"""
    SELECT {", ".join(f'found."{name}"' for name in _OF_CLASS)}
      FROM (SELECT DISTINCT day, version
              FROM drift_checks
             WHERE day BETWEEN :first AND :last
               AND (day, version) >= (CAST(:after_day AS date), CAST(:after_version AS text)))
           AS looked
     CROSS JOIN LATERAL (
           SELECT c.*
             FROM class_drift_checks c
            WHERE c.version = looked.version
              AND c.day = looked.day
              AND (CAST(:label AS text) IS NULL OR c.label = :label)
              AND (c.day, c.version, c.label, c."column")
                  > (CAST(:after_day AS date), CAST(:after_version AS text),
                     CAST(:after_label AS text), CAST(:after_column AS text))
              AND {_WANTED}
            ORDER BY c.label, c."column") AS found
     ORDER BY looked.day, looked.version, found.label, found."column"
     LIMIT :most
""")  # noqa: S608 - put together from constants
