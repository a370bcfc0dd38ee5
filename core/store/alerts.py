"""The alerts: what people are told about a flag, in words, with the images that show it.

Delivery to channels is not here; an alert is a row, and a flag has one at most.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.store.flags import FlagRow

State = Literal["open", "acknowledged", "snoozed", "resolved"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class AlertRow(SQLModel, table=True):
    """One alert."""

    __tablename__ = "alerts"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.UniqueConstraint("flag", name="alerts_one_per_flag"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    flag: int = Field(foreign_key="flags.id", sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=_TIMESTAMP)
    state: str
    title: str
    body: str
    confused_with: str | None = None
    images: list[int] = Field(sa_type=_JSON)
    resolved_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert about to be stored; its fields are those of `Alert`."""

    flag: int
    at: datetime
    title: str
    body: str
    confused_with: str | None
    images: list[int]


@dataclass(frozen=True, slots=True)
class Alert:
    """What people are told about a flag.

    Attributes:
        id: Its number.
        flag: The flag it tells of.
        label: The flag's class.
        version: The version the flag was raised against.
        since: The day on which it most likely began.
        at: When it was raised.
        state: `open`, `acknowledged`, `snoozed` or `resolved`.
        title: One line.
        body: Plain text of a few lines.
        confused_with: The class it is mostly mistaken for; None when it never was.
        images: Numbers of up to five images that show it, the worst first.
        resolved_at: When the flag closed.
    """

    id: int
    flag: int
    label: str
    version: str
    since: date
    at: datetime
    state: State
    title: str
    body: str
    confused_with: str | None
    images: list[int]
    resolved_at: datetime | None


_RAISE = sa.text("""
    INSERT INTO alerts (flag, at, state, title, body, confused_with, images)
    VALUES (:flag, :at, 'open', :title, :body, :confused_with, :images)
        ON CONFLICT ON CONSTRAINT alerts_one_per_flag DO NOTHING
""").bindparams(sa.bindparam("images", type_=JSONB))


def raise_alert(connection: Connection, alert: NewAlert) -> bool:
    """Store an alert, and say whether it is new: a flag is told of once."""
    return connection.execute(_RAISE, asdict(alert)).rowcount > 0


def resolve(connection: Connection, flag: int, *, now: datetime) -> bool:
    """Resolve a flag's alert, and say whether there was one to resolve."""
    statement = (
        sa.update(AlertRow)
        .where(col(AlertRow.flag) == flag, col(AlertRow.state) != "resolved")
        .values(state="resolved", resolved_at=now)
    )
    return connection.execute(statement).rowcount > 0


def get(connection: Connection, alert: int) -> Alert | None:
    """Return one alert by its number; None when there is none."""
    row = connection.execute(_ALERTS.where(col(AlertRow.id) == alert)).one_or_none()
    return None if row is None else Alert(*row)


def latest(
    connection: Connection,
    limit: int = 100,
    *,
    label: str | None = None,
    state: State | None = None,
) -> list[Alert]:
    """Return the alerts raised last, the newest first.

    Args:
        connection: Where to ask.
        limit: At most so many.
        label: Only those of this class; None for all.
        state: Only those in this state; None for all.
    """
    statement = _ALERTS.order_by(col(AlertRow.id).desc()).limit(limit)
    if label is not None:
        statement = statement.where(col(FlagRow.label) == label)
    if state is not None:
        statement = statement.where(col(AlertRow.state) == state)
    return [Alert(*row) for row in connection.execute(statement)]


_ALERTS = sa.select(
    col(AlertRow.id),
    col(AlertRow.flag),
    col(FlagRow.label),
    col(FlagRow.version),
    col(FlagRow.since),
    col(AlertRow.at),
    col(AlertRow.state),
    col(AlertRow.title),
    col(AlertRow.body),
    col(AlertRow.confused_with),
    col(AlertRow.images),
    col(AlertRow.resolved_at),
).join_from(AlertRow, FlagRow, col(AlertRow.flag) == col(FlagRow.id))
