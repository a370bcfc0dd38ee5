"""The health of each judged day as one document, so that programs read it without judging.

The monitor writes it in the transaction that judged the day; monitor.health says what it holds.
With 2,500 classes a document is some 2 MB of JSON, and a tenth of that on disk.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class HealthDayRow(SQLModel, table=True):
    """One judged day of one version."""

    __tablename__ = "health_days"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True, foreign_key="versions.version")
    judged_at: datetime = Field(sa_type=_TIMESTAMP)
    document: dict[str, Any] = Field(sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class HealthDay:
    """The health of one judged day.

    Attributes:
        day: The day.
        version: The version that was examined.
        judged_at: When it was judged, or last judged anew.
        document: What monitor.health.health said then.
    """

    day: date
    version: str
    judged_at: datetime
    document: dict[str, Any]


_WRITE = sa.text("""
    INSERT INTO health_days (day, version, judged_at, document)
    VALUES (:day, :version, :judged_at, :document)
        ON CONFLICT (day, version) DO UPDATE
       SET judged_at = excluded.judged_at, document = excluded.document
""").bindparams(sa.bindparam("document", type_=JSONB))


def write(connection: Connection, found: HealthDay) -> None:
    """Store a day's health, in place of what stood there."""
    values = {
        "day": found.day,
        "version": found.version,
        "judged_at": found.judged_at,
        "document": found.document,
    }
    connection.execute(_WRITE, values)


def last_judged(connection: Connection) -> datetime | None:
    """Return when a day was judged last, anew or for the first time; None before the first."""
    return connection.execute(sa.select(sa.func.max(col(HealthDayRow.judged_at)))).scalar_one()


# Of the document, some 2 MB with 2,500 classes, only what is asked for goes over the wire.
_NOTICED = sa.text("""
    SELECT each ->> 'label' AS label, each -> 'days_to_notice' AS days
      FROM health_days, jsonb_array_elements(document -> 'classes') AS each
     WHERE day = :day AND version = :version
""")


def days_to_notice(
    connection: Connection, day: date, version: str
) -> dict[str, dict[str, float | None]]:
    """Return, by class, in how many days a drop of each size would be noticed; None for never.

    Empty for a day whose health was not written down.
    """
    rows = connection.execute(_NOTICED, {"day": day, "version": version})
    return {row.label: row.days or {} for row in rows}


def get(connection: Connection, day: date | None = None) -> HealthDay | None:
    """Return a day's health, or the latest; None when there is none.

    A day that was examined for two versions is that of the one judged last.
    """
    statement = _ROWS.order_by(col(HealthDayRow.day).desc(), col(HealthDayRow.judged_at).desc())
    if day is not None:
        statement = statement.where(col(HealthDayRow.day) == day)
    row = connection.execute(statement.limit(1)).one_or_none()
    return None if row is None else HealthDay(*row)


_ROWS = sa.select(*[getattr(HealthDayRow, name) for name in HealthDay.__dataclass_fields__])
