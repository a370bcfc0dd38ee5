"""Who did what, and when: promotions, rollbacks, labels, alerts handled by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class AuditRow(SQLModel, table=True):
    """One deed."""

    __tablename__ = "audit"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.Index("audit_by_subject", "subject", "id"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    at: datetime = Field(sa_type=_TIMESTAMP)
    by: str
    action: str
    subject: str
    detail: dict[str, Any] = Field(sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class Deed:
    """One entry of the audit trail."""

    at: datetime
    by: str
    action: str
    subject: str
    detail: dict[str, Any]


def record(
    connection: Connection,
    *,
    now: datetime,
    by: str,
    action: str,
    subject: str,
    detail: dict[str, Any],
) -> None:
    """Write one deed down, in the transaction that does it."""
    values = {"at": now, "by": by, "action": action, "subject": subject, "detail": detail}
    connection.execute(sa.insert(AuditRow), values)


def find(connection: Connection, action: str, detail: dict[str, Any]) -> Deed | None:
    """Return the last deed of a kind whose detail has all that is given; None without one."""
    statement = _DEEDS.where(col(AuditRow.action) == action, col(AuditRow.detail).contains(detail))
    row = connection.execute(statement.order_by(col(AuditRow.id).desc()).limit(1)).one_or_none()
    return None if row is None else Deed(*row)


def of_action(connection: Connection, action: str) -> list[Deed]:
    """Return all deeds of a kind, the oldest first."""
    statement = _DEEDS.where(col(AuditRow.action) == action).order_by(col(AuditRow.id))
    return [Deed(*row) for row in connection.execute(statement)]


def subjects_since(
    connection: Connection, actions: Sequence[str], since: datetime | None
) -> set[str]:
    """Return what deeds of some kinds were done to, after a moment; None for all that ever were."""
    statement = sa.select(col(AuditRow.subject)).where(col(AuditRow.action).in_(list(actions)))
    if since is not None:
        statement = statement.where(col(AuditRow.at) > since)
    return set(connection.execute(statement).scalars())


def latest(connection: Connection, limit: int = 100) -> list[Deed]:
    """Return the latest deeds, the newest first."""
    statement = _DEEDS.order_by(col(AuditRow.id).desc()).limit(limit)
    return [Deed(*row) for row in connection.execute(statement)]


_DEEDS = sa.select(
    col(AuditRow.at),
    col(AuditRow.by),
    col(AuditRow.action),
    col(AuditRow.subject),
    col(AuditRow.detail),
)
