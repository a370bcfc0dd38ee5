"""What the detectors remember of each class at the end of each examined day.

A row is computed from the row before it and that day's counts, so any stretch can be computed
again from `class_days`; see core.judging.rules. Detectors are those of core.stats.evidence.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col


class ClassStateRow(SQLModel, table=True):
    """The memory of one class at the end of one day."""

    __tablename__ = "class_state"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    label: str = Field(primary_key=True)
    reference: float
    threshold: float
    evidence: float
    log_m: list[float] = Field(sa_type=sa.ARRAY(sa.Double))  # pyright: ignore[reportArgumentType]
    days: int
    alarm: bool
    recovery_evidence: float
    recovery_log_m: list[float] = Field(
        sa_type=sa.ARRAY(sa.Double)  # pyright: ignore[reportArgumentType]
    )
    recovered: bool
    days_without_labels: int


@dataclass(frozen=True, slots=True)
class ClassState:
    """The memory of one class at the end of one day.

    Attributes:
        day: The day examined.
        version: The version examined.
        label: The class.
        reference: Accuracy the class is held to.
        threshold: Evidence at which it raises an alarm.
        evidence: Evidence of its last day with images, before any reset.
        log_m: Logarithms of M_g, one per alternative, after any reset.
        days: Days with images that have been counted in this version's epoch.
        alarm: Whether this day raised an alarm.
        recovery_evidence: Evidence that the class is above its recovery level; 0 when nothing
            has to recover.
        recovery_log_m: The same detector's memory; empty when nothing has to recover.
        recovered: Whether this day showed recovery.
        days_without_labels: Days since the last one with images; 0 on a day that has some.
    """

    day: date
    version: str
    label: str
    reference: float
    threshold: float
    evidence: float
    log_m: list[float]
    days: int
    alarm: bool
    recovery_evidence: float
    recovery_log_m: list[float]
    recovered: bool
    days_without_labels: int


_UPSERT = sa.text("""
    INSERT INTO class_state (day, version, label, reference, threshold, evidence, log_m, days,
                             alarm, recovery_evidence, recovery_log_m, recovered,
                             days_without_labels)
    VALUES (:day, :version, :label, :reference, :threshold, :evidence,
            CAST(:log_m AS double precision[]), :days, :alarm, :recovery_evidence,
            CAST(:recovery_log_m AS double precision[]), :recovered, :days_without_labels)
        ON CONFLICT (version, day, label) DO UPDATE
       SET reference = excluded.reference, threshold = excluded.threshold,
           evidence = excluded.evidence, log_m = excluded.log_m, days = excluded.days,
           alarm = excluded.alarm, recovery_evidence = excluded.recovery_evidence,
           recovery_log_m = excluded.recovery_log_m, recovered = excluded.recovered,
           days_without_labels = excluded.days_without_labels
""")

# A class may be served by several versions in a range: each day shows the version examined then.
_SERIES = sa.text("""
    SELECT DISTINCT ON (s.day)
           s.day, s.version, s.label, s.reference, s.threshold, s.evidence, s.log_m, s.days,
           s.alarm, s.recovery_evidence, s.recovery_log_m, s.recovered, s.days_without_labels
      FROM validations v
      JOIN class_state s ON s.version = v.version AND s.day = v.day
     WHERE s.label = :label
       AND v.day BETWEEN :first AND :last
     ORDER BY s.day, v.id DESC
""")


# As for the series, by the exams of these days, which lead to the states by their primary key.
_SILENT = sa.text("""
    SELECT s.version, s.day, s.label, s.days_without_labels
      FROM validations v
      JOIN class_state s ON s.version = v.version AND s.day = v.day
     WHERE v.day BETWEEN :first AND :last
       AND s.label = ANY(:labels)
       AND s.days_without_labels > 0
""")


# What a version has to recover from is what the version examined before it left unrecovered.
_LEFT_BY_OTHERS = sa.text("""
    SELECT s.label
      FROM (SELECT version, day
              FROM validations
             WHERE version <> :version
               AND status = 'done'
               AND day < :day
               AND (CAST(:after AS date) IS NULL OR day >= :after)
             ORDER BY day DESC, id DESC
             LIMIT 1) AS before
      JOIN class_state s ON s.version = before.version AND s.day = before.day
     WHERE cardinality(s.recovery_log_m) > 0
""")


# Held to the end of the transaction, so two days of one version are never replayed at once.
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('class_state/' || :version, 0))")


def lock(connection: Connection, version: str) -> None:
    """Wait until nobody else is computing this version's states, and keep others waiting."""
    connection.execute(_LOCK, {"version": version})


def write(connection: Connection, states: Sequence[ClassState]) -> None:
    """Store states, in place of what stood there."""
    if states:
        connection.execute(_UPSERT, [asdict(state) for state in states])


def before(connection: Connection, version: str, day: date) -> list[ClassState]:
    """Return a version's states of the last examined day before `day`; empty when none was."""
    last = sa.select(sa.func.max(col(ClassStateRow.day))).where(
        col(ClassStateRow.version) == version, col(ClassStateRow.day) < day
    )
    return _read(connection, version, last.scalar_subquery())


def at(connection: Connection, version: str, day: date) -> list[ClassState]:
    """Return a version's states of the last examined day up to and including `day`, by label."""
    last = sa.select(sa.func.max(col(ClassStateRow.day))).where(
        col(ClassStateRow.version) == version, col(ClassStateRow.day) <= day
    )
    return _read(connection, version, last.scalar_subquery())


def series(connection: Connection, label: str, first: date, last: date) -> list[ClassState]:
    """Return one class's states day by day, across versions."""
    values = {"label": label, "first": first, "last": last}
    return [ClassState(*row) for row in connection.execute(_SERIES, values)]


def days_without_labels(
    connection: Connection, labels: Sequence[str], first: date, last: date
) -> dict[tuple[str, date, str], int]:
    """Return for how long classes had had no fresh labels, on each day that had none.

    Args:
        connection: Where to ask.
        labels: The classes.
        first: First day.
        last: Last day.

    Returns:
        Days since the last one with images, by version, day and class.
    """
    values = {"labels": list(labels), "first": first, "last": last}
    rows = connection.execute(_SILENT, values)
    return {(row.version, row.day, row.label): row.days_without_labels for row in rows}


def last_alarm(connection: Connection, version: str, label: str, until: date) -> date | None:
    """Return the last day before `until` on which a class raised an alarm; None when none did."""
    statement = sa.select(sa.func.max(col(ClassStateRow.day))).where(
        col(ClassStateRow.version) == version,
        col(ClassStateRow.label) == label,
        col(ClassStateRow.alarm),
        col(ClassStateRow.day) < until,
    )
    return connection.execute(statement).scalar_one()


def left_by_others(
    connection: Connection, version: str, *, after: date | None, day: date
) -> set[str]:
    """Return the classes that had something to recover from when another version was examined.

    Args:
        connection: Where to ask.
        version: The version examined on `day`.
        after: The day it was examined on before; None when `day` is its first.
        day: Only exams of other versions between the two are looked at, and of them the last.
    """
    values = {"version": version, "after": after, "day": day}
    return set(connection.execute(_LEFT_BY_OTHERS, values).scalars())


def from_day(connection: Connection, version: str, first: date) -> list[ClassState]:
    """Return a version's states from `first` on, in the order of the days."""
    statement = _STATES.where(
        col(ClassStateRow.version) == version, col(ClassStateRow.day) >= first
    ).order_by(col(ClassStateRow.day), col(ClassStateRow.label))
    return [ClassState(*row) for row in connection.execute(statement)]


def forget(connection: Connection, version: str, first: date) -> None:
    """Remove a version's states from `first` on, to be computed anew."""
    connection.execute(
        sa.delete(ClassStateRow).where(
            col(ClassStateRow.version) == version, col(ClassStateRow.day) >= first
        )
    )


def ever_alarmed(connection: Connection, version: str, day: date) -> set[str]:
    """Return the classes that have raised an alarm in this version, up to and including `day`."""
    statement = sa.select(col(ClassStateRow.label)).where(
        col(ClassStateRow.version) == version,
        col(ClassStateRow.alarm),
        col(ClassStateRow.day) <= day,
    )
    return set(connection.execute(statement.distinct()).scalars())


def _read(connection: Connection, version: str, day: sa.ScalarSelect[date]) -> list[ClassState]:
    statement = _STATES.where(
        col(ClassStateRow.version) == version, col(ClassStateRow.day) == day
    ).order_by(col(ClassStateRow.label))
    return [ClassState(*row) for row in connection.execute(statement)]


_STATES = sa.select(*[getattr(ClassStateRow, name) for name in ClassState.__dataclass_fields__])
