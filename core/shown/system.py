"""Whether everything runs, how fast, and how full it is: rows that the programs leave.

No service is called: what a service says of itself alone (its spool, its queue) is not here.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from core.store import (
    database,
    due,
    job_lines,
    last_runs,
    notices,
    registry,
    rollups,
    runs,
    sizes,
    validations,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.job_lines import JobLine
    from core.store.last_runs import Errand, LastStep
    from core.store.registry import Load, Version
    from core.store.rollups import HourTraffic
    from core.store.runs import Run
    from core.store.sizes import Latencies, TableSize
    from core.store.validations import Validation

TRAFFIC_DAYS = 7
LATEST_PREDICTIONS = 2_000
MOST_SERVICES = 12

# A step of a night is not one of tonight once this much has passed.
OLD = timedelta(days=2)

_SIZES_FOR_S = 60.0
_MOST_JOBS = 25
# The set hour is the monitor's own affair: by the end of the day after, it has passed anywhere.
_LATEST_HOUR = 23


@dataclass(frozen=True, slots=True)
class System:
    """What the programs have left word of, and what Postgres says of itself.

    Attributes:
        now: The present moment.
        champion: The version that should answer; None before the first.
        loads: Each service's last attempt to load it, the latest first.
        hours: Predictions and mean latency by hour, as far as they are rolled up.
        latencies: How long the latest predictions took; None without any.
        jobs: How many jobs there are of each status.
        silent: Jobs under way whose worker has not been heard of in time.
        tables: Every table, the largest first.
        exam: The last finished exam; None before the first.
        late: Days that are overdue, the oldest first.
        told: The open alert that the monitor is late; None without one.
        at_work: Days that a monitor is examining.
        steps: The last time of each step of a day.
        errands: The last time of each errand.
        revisions: The migration the database is at, and the one that this program needs.
    """

    now: datetime
    champion: Version | None
    loads: list[Load]
    hours: list[HourTraffic]
    latencies: Latencies | None
    jobs: dict[str, int]
    silent: list[JobLine]
    tables: list[TableSize]
    exam: Validation | None
    late: list[date]
    told: Alert | None
    at_work: list[Run]
    steps: list[LastStep]
    errands: list[Errand]
    revisions: tuple[str | None, str | None]

    @property
    def first_day(self) -> date:
        """The first day of `hours`; the last is today."""
        return _first_day(self.now)

    @property
    def database_bytes(self) -> int:
        """What all tables hold on the disk."""
        return sum(each.bytes for each in self.tables)

    @property
    def lacks_migration(self) -> bool:
        """Whether the database is behind this program; a newer one only has more."""
        at, needed = self.revisions
        return at is None or needed is None or at < needed

    def is_late(self, at: datetime) -> bool:
        """Say whether a step that was gone through last at that moment is overdue."""
        return self.now - at > OLD or bool(self.late)

    @property
    def refused(self) -> list[Load]:
        """Services that could not load the champion."""
        return [each for each in self.loads if not each.ok]

    @property
    def failed(self) -> list[LastStep]:
        """Steps that failed the last time."""
        return [each for each in self.steps if each.outcome == "failed"]


def gather(connection: Connection, *, now: datetime) -> System:
    """Return how the installation is."""
    champion = registry.champion(connection)
    loads = registry.latest_loads(connection, champion.version) if champion else []
    return System(
        now=now,
        champion=champion,
        loads=sorted(loads, key=lambda each: each.at, reverse=True)[:MOST_SERVICES],
        hours=rollups.by_hour(connection, _first_day(now), now.date()),
        latencies=sizes.latencies(connection, now=now, rows=LATEST_PREDICTIONS),
        jobs=job_lines.count(connection),
        silent=[each for each in job_lines.latest(connection, _MOST_JOBS) if each.is_silent(now)],
        tables=_sizes.of(connection),
        exam=validations.last_done(connection),
        late=due.late_days(connection, now, hour_utc=_LATEST_HOUR),
        told=notices.unresolved(connection, due.KIND, due.CAUSE),
        at_work=runs.slots_at_work(connection, (due.DAY,), now=now),
        steps=last_runs.last_steps(connection, (due.DAY,)),
        errands=last_runs.last_errands(connection),
        revisions=database.revisions_at(connection),
    )


def _first_day(now: datetime) -> date:
    return now.date() - timedelta(days=TRAFFIC_DAYS - 1)


class _Sizes:
    """The sizes of the tables, asked for once a minute: a year of partitions takes a while."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, list[TableSize]]] = {}
        self._lock = threading.Lock()

    def of(self, connection: Connection) -> list[TableSize]:
        """Return the sizes, at most a minute old."""
        which, now = str(connection.engine.url), time.monotonic()
        with self._lock:
            asked_at, found = self._known.get(which, (-_SIZES_FOR_S, []))
            if now - asked_at < _SIZES_FOR_S:
                return found
        found = sizes.tables(connection)
        with self._lock:
            self._known[which] = (now, found)
        return found


_sizes = _Sizes()
