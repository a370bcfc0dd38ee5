"""Writes down how every class was on the days just judged, for programs that cannot judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.store import health_days
from core.store.health_days import HealthDay
from monitor import health

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from sqlalchemy import Connection

    from monitor.page import MonitorOptions


def write(
    connection: Connection, days: Iterable[date], *, options: MonitorOptions, now: datetime
) -> None:
    """Store the health of each of these days, in place of what stood there.

    Args:
        connection: The transaction that judged them.
        days: The days; the same one twice is one.
        options: How labels are drawn.
        now: The present moment.
    """
    for day in sorted(set(days)):
        found = health.health(connection, day, options=options)
        if found["version"] is not None:
            health_days.write(connection, HealthDay(day, found["version"], now, found))
