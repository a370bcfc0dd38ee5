"""The shadow stream day by day: how often simulated healthy classes raised an alarm.

One row an examined day and version, beside `class_days`; see monitor.judgement.shadow.
"""

from dataclasses import asdict, dataclass, field
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col


class ShadowDayRow(SQLModel, table=True):
    """The shadow's classes on one day."""

    __tablename__ = "shadow_days"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    classes: int
    budget: float
    false_alarms: int
    memory: bytes


@dataclass(frozen=True, slots=True)
class ShadowDay:
    """The shadow's classes on one day.

    Attributes:
        day: The day examined.
        version: The version whose classes they stand for.
        classes: How many there are: as many as the version has.
        budget: False class-alarms accepted per 30 days on that day.
        false_alarms: Alarms they raised, all of them false.
        memory: What the detectors remember of them at its end.
    """

    day: date
    version: str
    classes: int
    budget: float
    false_alarms: int
    memory: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tally:
    """The shadow over some days.

    Attributes:
        days: How many there were.
        first: The first of them; None without any.
        false_alarms: Alarms raised on them.
        allowed: What the budgets of these days add up to.
    """

    days: int
    first: date | None
    false_alarms: int
    allowed: float


_UPSERT = sa.text("""
    INSERT INTO shadow_days (day, version, classes, budget, false_alarms, memory)
    VALUES (:day, :version, :classes, :budget, :false_alarms, :memory)
        ON CONFLICT (version, day) DO UPDATE
       SET classes = excluded.classes, budget = excluded.budget,
           false_alarms = excluded.false_alarms, memory = excluded.memory
""")


def write(connection: Connection, days: list[ShadowDay]) -> None:
    """Store days, in place of what stood there."""
    if days:
        connection.execute(_UPSERT, [asdict(each) for each in days])


def before(connection: Connection, version: str, day: date) -> ShadowDay | None:
    """Return a version's last day of the shadow before `day`; None when there was none."""
    statement = _DAYS.where(col(ShadowDayRow.version) == version, col(ShadowDayRow.day) < day)
    last = statement.order_by(col(ShadowDayRow.day).desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return None if row is None else ShadowDay(*row)


def of_version(connection: Connection, version: str) -> list[ShadowDay]:
    """Return all days of a version's shadow, in order."""
    statement = _DAYS.where(col(ShadowDayRow.version) == version)
    return [
        ShadowDay(*row) for row in connection.execute(statement.order_by(col(ShadowDayRow.day)))
    ]


def tally(connection: Connection, first: date, last: date) -> Tally:
    """Return the shadow from `first` to `last`, over all versions."""
    days = sa.func.count()
    statement = sa.select(
        days,
        sa.func.min(col(ShadowDayRow.day)),
        sa.func.coalesce(sa.func.sum(col(ShadowDayRow.false_alarms)), 0),
        sa.func.coalesce(sa.func.sum(col(ShadowDayRow.budget)) / 30.0, 0.0),
    ).where(col(ShadowDayRow.day).between(first, last))
    return Tally(*connection.execute(statement).one())


_DAYS = sa.select(*[getattr(ShadowDayRow, name) for name in ShadowDay.__dataclass_fields__])
