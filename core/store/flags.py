"""The flags: a judged state of one class that is open until the opposite has been shown.

At most one flag of a kind is open per label, however many days and alarms it lasts.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

CHANGE = "change"

_TIMESTAMP: Any = sa.DateTime(timezone=True)


class FlagRow(SQLModel, table=True):
    """One flag."""

    __tablename__ = "flags"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.Index(
            "flags_one_open",
            "kind",
            "label",
            unique=True,
            postgresql_where=sa.text("closed_on IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    kind: str
    label: str
    version: str
    since: date
    raised_on: date
    raised_at: datetime = Field(sa_type=_TIMESTAMP)
    closed_on: date | None = None
    closed_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    evidence: float
    threshold: float


@dataclass(frozen=True, slots=True)
class NewFlag:
    """A flag about to be opened; its fields are those of `Flag`."""

    kind: str
    label: str
    version: str
    since: date
    raised_on: date
    raised_at: datetime
    evidence: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Flag:
    """A judged state of one class.

    Attributes:
        id: Its number.
        kind: `change`: the class has sunk below its own reference level.
        label: The class.
        version: The version it was raised against.
        since: The day on which it most likely began.
        raised_on: The examined day whose alarm raised it.
        raised_at: When that was found.
        closed_on: The examined day that showed recovery; None while open.
        closed_at: When that was found.
        evidence: Evidence when raised.
        threshold: Evidence that was needed.
    """

    id: int
    kind: str
    label: str
    version: str
    since: date
    raised_on: date
    raised_at: datetime
    closed_on: date | None
    closed_at: datetime | None
    evidence: float
    threshold: float


_OPEN = sa.text("""
    INSERT INTO flags (kind, label, version, since, raised_on, raised_at, evidence, threshold)
    VALUES (:kind, :label, :version, :since, :raised_on, :raised_at, :evidence, :threshold)
        ON CONFLICT (kind, label) WHERE closed_on IS NULL DO NOTHING
 RETURNING id, kind, label, version, since, raised_on, raised_at, closed_on, closed_at,
           evidence, threshold
""")


def open_flag(connection: Connection, flag: NewFlag) -> Flag | None:
    """Open a flag and return it; None when one of its kind and label is open already."""
    row = connection.execute(_OPEN, asdict(flag)).one_or_none()
    return None if row is None else Flag(*row)


def close(connection: Connection, flag: Flag, *, on: date, now: datetime) -> bool:
    """Close a flag, and say whether it was still open."""
    statement = (
        sa.update(FlagRow)
        .where(col(FlagRow.id) == flag.id, col(FlagRow.closed_on).is_(None))
        .values(closed_on=on, closed_at=now)
    )
    return connection.execute(statement).rowcount > 0


def get(connection: Connection, flag: int) -> Flag | None:
    """Return one flag by its number; None when there is none."""
    row = connection.execute(_FLAGS.where(col(FlagRow.id) == flag)).one_or_none()
    return None if row is None else Flag(*row)


def some(connection: Connection, numbers: Collection[int]) -> list[Flag]:
    """Return the flags of some numbers, the oldest first; about a thousand at most."""
    statement = _FLAGS.where(col(FlagRow.id).in_(numbers))
    return [Flag(*row) for row in connection.execute(statement.order_by(col(FlagRow.id)))]


def open_flags(connection: Connection, kind: str = CHANGE) -> list[Flag]:
    """Return the flags that are open now, the oldest first."""
    statement = _FLAGS.where(col(FlagRow.kind) == kind, col(FlagRow.closed_on).is_(None))
    return [Flag(*row) for row in connection.execute(statement.order_by(col(FlagRow.id)))]


def overlapping(
    connection: Connection, first: date, last: date, label: str | None = None
) -> list[Flag]:
    """Return the flags open on some day from `first` to `last`, the oldest first.

    Args:
        connection: Where to ask.
        first: First day; a flag closed on this very day counts as open on it.
        last: Last day.
        label: Only this class; None for all.
    """
    statement = _FLAGS.where(
        col(FlagRow.raised_on) <= last,
        sa.or_(col(FlagRow.closed_on).is_(None), col(FlagRow.closed_on) >= first),
    )
    if label is not None:
        statement = statement.where(col(FlagRow.label) == label)
    return [Flag(*row) for row in connection.execute(statement.order_by(col(FlagRow.id)))]


def latest(connection: Connection, limit: int = 100, label: str | None = None) -> list[Flag]:
    """Return the flags raised last, the newest first; only those of `label` when given."""
    statement = _FLAGS.order_by(col(FlagRow.id).desc()).limit(limit)
    if label is not None:
        statement = statement.where(col(FlagRow.label) == label)
    return [Flag(*row) for row in connection.execute(statement)]


_FLAGS = sa.select(*[getattr(FlagRow, name) for name in Flag.__dataclass_fields__])
