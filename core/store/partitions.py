"""The days of the prediction log: made ahead, moved out of the default, dropped when old.

A row whose day has no partition yet lies in `predictions_default`; nothing is refused or
lost because upkeep is late. Every function here is safe when several programs call it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from core.clock import day_bounds

# Any number that is ours alone: two programs make partitions one after the other.
_ADVISORY_LOCK = 7_357_002

_PREFIX = "predictions_"

_PRESENT = sa.text("""
    SELECT c.relname
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'predictions'::regclass
""")


def days_present(connection: Connection) -> list[date]:
    """Return the days that have a partition, the oldest first."""
    names = connection.execute(_PRESENT).scalars()
    return sorted(_day_of(name) for name in names if name != f"{_PREFIX}default")


def ensure_partitions(connection: Connection, days: Iterable[date]) -> list[date]:
    """Make the partitions that are missing and move into them what waits in the default.

    Whoever writes to the log waits meanwhile, so this gives up after a second when somebody
    holds it; ask again later.

    Returns:
        The days that were made.
    """
    wanted = sorted(set(days))
    if not _missing(connection, wanted):
        return []
    _take_turns(connection)
    missing = _missing(connection, wanted)
    if missing:
        # Writers wait before they choose a partition: one that had chosen the default already
        # would find its row refused there. Readers go on until the default is locked too.
        connection.execute(sa.text("LOCK TABLE ONLY predictions IN SHARE ROW EXCLUSIVE MODE"))
        connection.execute(sa.text("LOCK TABLE predictions_default IN ACCESS EXCLUSIVE MODE"))
    for day in missing:
        _make(connection, day)
    return missing


def drop_partitions_before(connection: Connection, day: date) -> list[date]:
    """Drop every prediction older than `day`, and return the days that went.

    Like `ensure_partitions` it gives up after waiting a second for a lock.
    """
    old = [present for present in days_present(connection) if present < day]
    if old:
        _take_turns(connection)
        old = [present for present in days_present(connection) if present < day]
    for present in old:
        connection.execute(sa.text(f"DROP TABLE {_name(present)}"))
    start, _ = day_bounds(day)
    late = sa.text("DELETE FROM predictions_default WHERE at < :start")
    connection.execute(late, {"start": start})
    return old


def _missing(connection: Connection, wanted: list[date]) -> list[date]:
    present = set(days_present(connection))
    return [day for day in wanted if day not in present]


def _take_turns(connection: Connection) -> None:
    connection.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
    lock = sa.text("SELECT pg_advisory_xact_lock(:key)")
    connection.execute(lock, {"key": _ADVISORY_LOCK})


def _make(connection: Connection, day: date) -> None:
    """Make one day's table beside the log, fill it, and attach it: attaching needs no scan."""
    name, bounds = _name(day), day_bounds(day)
    start, end = (_literal(moment) for moment in bounds)
    within = {"start": bounds[0], "end": bounds[1]}
    connection.execute(sa.text(f"CREATE TABLE {name} (LIKE predictions INCLUDING ALL)"))
    # Only dates are put into these names, so they need no quoting.
    move = f"INSERT INTO {name} SELECT * FROM predictions_default WHERE at >= :start AND at < :end"  # noqa: S608
    connection.execute(sa.text(move), within)
    leave = "DELETE FROM predictions_default WHERE at >= :start AND at < :end"
    connection.execute(sa.text(leave), within)
    attach = f"ALTER TABLE predictions ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
    connection.execute(sa.text(attach))


def _name(day: date) -> str:
    return f"{_PREFIX}{day:%Y%m%d}"


def _day_of(name: str) -> date:
    return datetime.strptime(name.removeprefix(_PREFIX), "%Y%m%d").date()  # noqa: DTZ007


def _literal(moment: datetime) -> str:
    return f"'{moment:%Y-%m-%d %H:%M:%S}+00'"
