"""The model as a whole at the end of each examined day: all classes together, in one detector.

A row is computed from the row before it and the day's counts, as those of `class_state` are; see
core.judging.pool. It also says whether images that belong together were one bet on that day.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col


class ModelDayRow(SQLModel, table=True):
    """A version at the end of one day."""

    __tablename__ = "model_days"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True, foreign_key="versions.version")
    n: int
    correct: int
    correlation: float
    grouped: bool
    reference: float | None = None
    threshold: float | None = None
    evidence: float
    log_m: list[float] = Field(sa_type=sa.ARRAY(sa.Double))  # pyright: ignore[reportArgumentType]
    alarm: bool
    recovery_evidence: float
    recovery_log_m: list[float] = Field(
        sa_type=sa.ARRAY(sa.Double)  # pyright: ignore[reportArgumentType]
    )
    recovered: bool


@dataclass(frozen=True, slots=True)
class ModelDay:
    """A version at the end of one day.

    Attributes:
        day: The day examined.
        version: The version examined.
        n: Labelled images of the classes that count: watched, and without an alarm of their own.
        correct: How many were answered right.
        correlation: How alike images that belong together were in the thirty days before, 0 to 1.
        grouped: Whether such images were one bet on this day.
        reference: Accuracy that the day's mix of classes is held to; None where nothing is known,
            or there is but one class.
        threshold: Evidence at which all classes together raise an alarm; None as above.
        evidence: Evidence of the last day with images, before any reset.
        log_m: Logarithms of M_g, one per alternative, after any reset.
        alarm: Whether this day raised an alarm.
        recovery_evidence: Evidence that the whole is above its recovery level.
        recovery_log_m: The same detector's memory; empty when nothing has to recover.
        recovered: Whether this day showed recovery.
    """

    day: date
    version: str
    n: int
    correct: int
    correlation: float
    grouped: bool
    reference: float | None
    threshold: float | None
    evidence: float
    log_m: list[float]
    alarm: bool
    recovery_evidence: float
    recovery_log_m: list[float]
    recovered: bool


_UPSERT = sa.text("""
    INSERT INTO model_days (day, version, n, correct, correlation, grouped, reference, threshold,
                            evidence, log_m, alarm, recovery_evidence, recovery_log_m, recovered)
    VALUES (:day, :version, :n, :correct, :correlation, :grouped, :reference, :threshold,
            :evidence, CAST(:log_m AS double precision[]), :alarm, :recovery_evidence,
            CAST(:recovery_log_m AS double precision[]), :recovered)
        ON CONFLICT (version, day) DO UPDATE
       SET n = excluded.n, correct = excluded.correct, correlation = excluded.correlation,
           grouped = excluded.grouped, reference = excluded.reference,
           threshold = excluded.threshold, evidence = excluded.evidence, log_m = excluded.log_m,
           alarm = excluded.alarm, recovery_evidence = excluded.recovery_evidence,
           recovery_log_m = excluded.recovery_log_m, recovered = excluded.recovered
""")

# The last exam of another version since this one was examined last, as for classes.
_LEFT_BY_OTHERS = sa.text("""
    SELECT cardinality(recovery_log_m) > 0
      FROM model_days
     WHERE version <> :version
       AND day < :day
       AND (CAST(:after AS date) IS NULL OR day >= :after)
     ORDER BY day DESC
     LIMIT 1
""")

_CORRELATIONS = sa.text("""
    SELECT DISTINCT ON (version) version, correlation
      FROM model_days
     WHERE version = ANY(:versions)
     ORDER BY version, day DESC
""")


def write(connection: Connection, rows: Sequence[ModelDay]) -> None:
    """Store days, in place of what stood there."""
    if rows:
        connection.execute(_UPSERT, [asdict(row) for row in rows])


def at(connection: Connection, version: str, day: date) -> ModelDay | None:
    """Return a version's last examined day up to and including `day`; None without any."""
    return _one(connection, version, col(ModelDayRow.day) <= day)


def before(connection: Connection, version: str, day: date) -> ModelDay | None:
    """Return a version's last examined day before `day`; None without any."""
    return _one(connection, version, col(ModelDayRow.day) < day)


def from_day(connection: Connection, version: str, first: date) -> list[ModelDay]:
    """Return a version's days from `first` on, in order."""
    statement = _MODEL_DAYS.where(
        col(ModelDayRow.version) == version, col(ModelDayRow.day) >= first
    ).order_by(col(ModelDayRow.day))
    return [ModelDay(*row) for row in connection.execute(statement)]


def correlations(connection: Connection, versions: Collection[str]) -> dict[str, float]:
    """Return how alike images that belong together were by each version's last examined day."""
    rows = connection.execute(_CORRELATIONS, {"versions": list(versions)})
    return {row.version: row.correlation for row in rows}


def forget(connection: Connection, version: str, first: date) -> None:
    """Remove a version's days from `first` on, to be computed anew."""
    connection.execute(
        sa.delete(ModelDayRow).where(
            col(ModelDayRow.version) == version, col(ModelDayRow.day) >= first
        )
    )


def left_by_others(connection: Connection, version: str, *, after: date | None, day: date) -> bool:
    """Say whether the whole had something to recover from when another version was examined.

    Args:
        connection: Where to ask.
        version: The version examined on `day`.
        after: The day it was examined on before; None when `day` is its first.
        day: Only exams of other versions between the two are looked at, and of them the last.
    """
    values = {"version": version, "after": after, "day": day}
    return bool(connection.execute(_LEFT_BY_OTHERS, values).scalar())


def _one(connection: Connection, version: str, within: sa.ColumnElement[bool]) -> ModelDay | None:
    statement = (
        _MODEL_DAYS.where(col(ModelDayRow.version) == version, within)
        .order_by(col(ModelDayRow.day).desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else ModelDay(*row)


_MODEL_DAYS = sa.select(*[getattr(ModelDayRow, name) for name in ModelDay.__dataclass_fields__])
