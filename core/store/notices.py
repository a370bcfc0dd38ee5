"""Alerts that are about no class: the model as a whole, the bundle, the runtime, the monitor.

Each has a kind and a cause instead of a flag, such as (`monitor`, `day 2026-03-08`); while one of a
cause is not over, there is no second one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import col

from core.store import alerts, audit
from core.store.alerts import ALERTS, Alert, AlertRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from core.store.alerts import Kind


_NOTICE = sa.text("""
    INSERT INTO alerts (at, state, title, body, images, kind, cause)
    VALUES (:at, 'open', :title, :body, '[]', :kind, :cause)
        ON CONFLICT (kind, cause) WHERE state <> 'resolved' DO NOTHING
 RETURNING id
""")


def raise_once(
    connection: Connection, kind: Kind, cause: str, *, title: str, body: str, now: datetime
) -> Alert | None:
    """Store an alert that is about no class; None when one of this cause is unresolved already.

    Args:
        connection: Where to write.
        kind: What sort of cause it is.
        cause: Its name, the same whenever it is noticed; `resolve` takes it, too.
        title: One line.
        body: Plain text of a few lines.
        now: The present moment.
    """
    values = {"at": now, "kind": kind, "cause": cause, "title": title, "body": body}
    raised = connection.execute(_NOTICE, values).scalar_one_or_none()
    if raised is None:
        return None
    audit.record(
        connection,
        now=now,
        by="monitor",
        action="raise alert",
        subject=f"alert {raised}",
        detail={"cause": cause},
    )
    return alerts.get(connection, raised)


def resolve(connection: Connection, kind: Kind, cause: str, *, now: datetime) -> Alert | None:
    """Resolve the alert of a cause that is over, and return it; None when there is none to."""
    statement = sa.select(col(AlertRow.id)).where(_open_of(kind, cause))
    found = connection.execute(statement).scalar_one_or_none()
    return (
        None if found is None else alerts.move(connection, found, "resolve", by="monitor", now=now)
    )


def unresolved(connection: Connection, kind: Kind, cause: str) -> Alert | None:
    """Return the alert of a cause that is not over; None when there is none."""
    statement = ALERTS.where(_open_of(kind, cause))
    row = connection.execute(statement).one_or_none()
    return None if row is None else Alert(*row)


def causes(connection: Connection, kind: Kind) -> list[str]:
    """Return the causes of a kind whose alerts are not over, the oldest first."""
    statement = sa.select(col(AlertRow.cause)).where(_open_of(kind))
    found = connection.execute(statement.order_by(col(AlertRow.id))).scalars()
    return [cause for cause in found if cause is not None]


def set_evidence(
    connection: Connection, kind: Kind, cause: str, evidence: Mapping[str, Any]
) -> None:
    """Put what is known by now into the alert of a cause, as long as it is not over."""
    statement = sa.update(AlertRow).where(_open_of(kind, cause))
    connection.execute(statement.values(evidence=dict(evidence)))


def latest(connection: Connection, limit: int) -> list[Alert]:
    """Return alerts that are about no class: first those that are not over, each newest first.

    Args:
        connection: Where to ask.
        limit: At most so many.
    """
    over = col(AlertRow.state) == "resolved"
    statement = ALERTS.where(col(AlertRow.flag).is_(None)).order_by(over, col(AlertRow.id).desc())
    return [Alert(*row) for row in connection.execute(statement.limit(limit))]


def _open_of(kind: Kind, cause: str | None = None) -> ColumnElement[bool]:
    found = sa.and_(col(AlertRow.kind) == kind, col(AlertRow.state) != "resolved")
    return found if cause is None else sa.and_(found, col(AlertRow.cause) == cause)
