"""Alerts as pages show them: how many there are, what was sent of each, and what was done about it.

Every question is about one page of alerts or about one alert, and bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import col

from core.clock import day_bounds
from core.store.alert_states import STATES, State
from core.store.alerts import ALERTS, Alert, AlertRow
from core.store.audit import AuditRow, Deed
from core.store.flags import FlagRow
from core.store.outbox import Delivery

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A retraining that an alert's flag asked for."""

    job: int
    status: str
    requested_at: datetime
    finished_at: datetime | None
    challenger: str | None


_SENT = sa.text("""
    SELECT alert, d.state, count(*) AS n
      FROM deliveries d, unnest(d.alerts) AS alert
     WHERE d.alerts && CAST(:alerts AS bigint[])
       AND alert = ANY(:alerts)
     GROUP BY alert, d.state
""")

_OF_ALERT = sa.text(f"""
    SELECT {", ".join(Delivery.__dataclass_fields__)}
      FROM deliveries
     WHERE alerts && ARRAY[CAST(:alert AS bigint)]
     ORDER BY id DESC
     LIMIT :most
""")  # noqa: S608 - names of columns alone

_FOLLOW_UPS = sa.text("""
    SELECT id, status, requested_at, finished_at, challenger
      FROM jobs
     WHERE flag = :flag
     ORDER BY id DESC
     LIMIT :most
""")


def counts(connection: Connection, label: str | None = None) -> dict[State, int]:
    """Return how many alerts are in each state; only those of `label` when given."""
    statement = sa.select(col(AlertRow.state), sa.func.count()).group_by(col(AlertRow.state))
    if label is not None:
        of_flag = col(AlertRow.flag) == col(FlagRow.id)
        statement = statement.join_from(AlertRow, FlagRow, of_flag).where(
            col(FlagRow.label) == label
        )
    found = {state: int(n) for state, n in connection.execute(statement)}
    return {state: found.get(state, 0) for state in STATES}


def labels(connection: Connection, most: int) -> list[str]:
    """Return the classes that there was ever an alert about, by name; at most so many."""
    of_flag = col(AlertRow.flag) == col(FlagRow.id)
    statement = sa.select(col(FlagRow.label)).join_from(AlertRow, FlagRow, of_flag).distinct()
    return list(connection.execute(statement.order_by(col(FlagRow.label)).limit(most)).scalars())


def sent(connection: Connection, alerts: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return how many messages of each state tell of some alerts, by alert."""
    found: dict[int, dict[str, int]] = {}
    for alert, state, n in connection.execute(_SENT, {"alerts": list(alerts)}):
        found.setdefault(alert, {})[state] = n
    return found


def deliveries(connection: Connection, alert: int, most: int) -> list[Delivery]:
    """Return the messages that tell of an alert, the newest first; at most so many."""
    rows = connection.execute(_OF_ALERT, {"alert": alert, "most": most})
    return [Delivery(*row) for row in rows]


def deeds(connection: Connection, alert: int, most: int) -> list[Deed]:
    """Return what the audit trail has of an alert, the newest first; at most so many."""
    statement = sa.select(*[getattr(AuditRow, name) for name in Deed.__dataclass_fields__])
    statement = statement.where(col(AuditRow.subject) == f"alert {alert}")
    rows = connection.execute(statement.order_by(col(AuditRow.id).desc()).limit(most))
    return [Deed(*row) for row in rows]


def follow_ups(connection: Connection, flag: int, most: int) -> list[FollowUp]:
    """Return the retrainings that a flag asked for, the newest first; at most so many."""
    rows = connection.execute(_FOLLOW_UPS, {"flag": flag, "most": most})
    return [FollowUp(*row) for row in rows]


def notices(connection: Connection, numbers: Collection[int]) -> list[Alert]:
    """Return alerts about no class by their numbers, the oldest first; about a thousand at most."""
    statement = ALERTS.where(col(AlertRow.flag).is_(None), col(AlertRow.id).in_(numbers))
    return [Alert(*row) for row in connection.execute(statement.order_by(col(AlertRow.id)))]


def titles(connection: Connection, flags: Collection[int]) -> dict[int, str]:
    """Return the titles of the alerts of some flags, by flag; of about a thousand at most."""
    statement = sa.select(col(AlertRow.flag), col(AlertRow.title))
    found = connection.execute(statement.where(col(AlertRow.flag).in_(flags)))
    return {flag: title for flag, title in found if flag is not None}


_RAISED = sa.text("""
    SELECT (SELECT count(*) FROM flags WHERE raised_on BETWEEN :first AND :last)
         + (SELECT count(*) FROM alerts WHERE kind = 'pooled' AND at >= :begin AND at < :over)
""")


def raised(connection: Connection, first: date, last: date) -> int:
    """Return how many alerts detectors have raised on the days of a stretch.

    That of all classes together counts on the day before it was found.
    """
    # A day is examined when it is over.
    begin, over = day_bounds(first)[1], day_bounds(last)[1] + timedelta(days=1)
    values = {"first": first, "last": last, "begin": begin, "over": over}
    return int(connection.execute(_RAISED, values).scalar_one())
