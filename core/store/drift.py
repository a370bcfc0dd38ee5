"""The drift verdicts: which columns of a day's predictions moved away from the reference."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

Verdict = Literal["drift", "no drift", "not enough data"]


class DriftCheckRow(SQLModel, table=True):
    """One column of one day."""

    __tablename__ = "drift_checks"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    column: str = Field(primary_key=True)
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
    report: str | None = None


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
        report: Evidently's report, relative to the folder of reports; None without one.
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
    report: str | None


_UPSERT = sa.text("""
    INSERT INTO drift_checks (day, version, "column", method, n, reference_n, statistic, p_value,
                              adjusted_p, effect, effect_floor, level, verdict, report)
    VALUES (:day, :version, :column, :method, :n, :reference_n, :statistic, :p_value,
            :adjusted_p, :effect, :effect_floor, :level, :verdict, :report)
        ON CONFLICT (version, day, "column") DO UPDATE
       SET method = excluded.method, n = excluded.n, reference_n = excluded.reference_n,
           statistic = excluded.statistic, p_value = excluded.p_value,
           adjusted_p = excluded.adjusted_p, effect = excluded.effect,
           effect_floor = excluded.effect_floor, level = excluded.level,
           verdict = excluded.verdict, report = excluded.report
""")


def write(connection: Connection, checks: Sequence[DriftCheck]) -> None:
    """Store a day's checks, in place of what stood there."""
    if checks:
        connection.execute(_UPSERT, [asdict(check) for check in checks])


def of_day(connection: Connection, day: date, version: str | None = None) -> list[DriftCheck]:
    """Return the checks of one day (of one version, or of all), by version and column."""
    statement = _CHECKS.where(col(DriftCheckRow.day) == day)
    if version is not None:
        statement = statement.where(col(DriftCheckRow.version) == version)
    statement = statement.order_by(col(DriftCheckRow.version), col(DriftCheckRow.column))
    return [DriftCheck(*row) for row in connection.execute(statement)]


def matrix(connection: Connection, first: date, last: date) -> list[DriftCheck]:
    """Return every check from `first` to `last`, by day, version and column."""
    statement = _CHECKS.where(col(DriftCheckRow.day).between(first, last)).order_by(
        col(DriftCheckRow.day), col(DriftCheckRow.version), col(DriftCheckRow.column)
    )
    return [DriftCheck(*row) for row in connection.execute(statement)]


_CHECKS = sa.select(*[getattr(DriftCheckRow, name) for name in DriftCheck.__dataclass_fields__])
