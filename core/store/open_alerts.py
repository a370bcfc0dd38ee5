"""Which alerts are not over: how many, and what else is to be said in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import col

from core.store.alerts import ALERTS, Alert, AlertRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


def count(connection: Connection) -> int:
    """Return how many alerts are not resolved, whatever their number and age."""
    statement = sa.select(sa.func.count()).where(col(AlertRow.state) != "resolved")
    return connection.execute(statement).scalar_one()


def count_at(connection: Connection, moment: datetime) -> int:
    """Return how many alerts were not resolved at a moment of the past."""
    statement = sa.select(sa.func.count()).where(
        col(AlertRow.at) <= moment,
        sa.or_(col(AlertRow.resolved_at).is_(None), col(AlertRow.resolved_at) > moment),
    )
    return connection.execute(statement).scalar_one()


_ADD_LINE = sa.text("""
    UPDATE alerts AS a
       SET body = a.body || E'\n' || :line
      FROM flags AS f
     WHERE f.id = a.flag
       AND f.label = ANY(:labels)
       AND a.state <> 'resolved'
 RETURNING a.id
""")


def add_line(connection: Connection, labels: Sequence[str], line: str) -> list[Alert]:
    """Say one thing more in the alerts of some classes, as far as they are not over.

    Returns:
        Those of which people may be told: the snoozed ones are left asleep.
    """
    values = {"labels": list(labels), "line": line}
    said = connection.execute(_ADD_LINE, values).scalars().all()
    statement = ALERTS.where(col(AlertRow.id).in_(said), col(AlertRow.state) != "snoozed")
    return [Alert(*row) for row in connection.execute(statement.order_by(col(AlertRow.id)))]
