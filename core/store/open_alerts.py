"""Which alerts are not over: how many, and those that no class is to blame for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import col

from core.store.alerts import ALERTS, Alert, AlertRow

if TYPE_CHECKING:
    from sqlalchemy import Connection


def count(connection: Connection) -> int:
    """Return how many alerts are not resolved, whatever their number and age."""
    statement = sa.select(sa.func.count()).where(col(AlertRow.state) != "resolved")
    return connection.execute(statement).scalar_one()


def notices(connection: Connection, limit: int) -> list[Alert]:
    """Return alerts that are about no class: first those that are not over, each newest first.

    Args:
        connection: Where to ask.
        limit: At most so many.
    """
    over = col(AlertRow.state) == "resolved"
    statement = ALERTS.where(col(AlertRow.flag).is_(None)).order_by(over, col(AlertRow.id).desc())
    return [Alert(*row) for row in connection.execute(statement.limit(limit))]
