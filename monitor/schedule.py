"""When days are examined: at the set hour, and whenever some have been missed.

APScheduler is only the clock: UTC, in memory, one job. What is due is read off `runs` each time,
so a restart, a gap of a week or a second monitor changes nothing. A day is due once it is over
and the set hour of the next has come, which leaves time for its labels to arrive.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler

from core.clock import Clock
from core.errors import StoreError, UsageError, WeakspotError
from core.store import registry, runs
from core.store.database import transaction
from monitor import daily
from monitor.page import DayReport, MonitorOptions, OnProgress

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

logger = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The monitor was told to stop in the middle of a day; the day is given back."""


def run_forever(
    engine: Engine,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    reports: Path,
    stop: threading.Event,
) -> None:
    """Examine what is due now, hourly and at the set hour, until `stop` is set.

    A day that is under way then is given back within one step, for the next monitor to take.
    """

    def on_progress(_stage: str, _done: int, _total: int) -> None:
        if stop.is_set():
            raise _StoppedError("the monitor was told to stop")

    def examine_due() -> list[DayReport]:
        return catch_up(
            engine,
            options=options,
            clock=clock,
            holder=holder,
            reports=reports,
            on_progress=on_progress,
        )

    scheduler = BackgroundScheduler(
        timezone=UTC,
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    watch = _Watch(scheduler, examine_due, timedelta(seconds=options.lease_s))
    scheduler.add_job(watch.look, "cron", hour=options.hour_utc, id="at the set hour")
    scheduler.add_job(watch.look, "interval", hours=1, id="hourly", next_run_time=datetime.now(UTC))
    scheduler.start()
    logger.info("watching; each day is examined from %02d:00 UTC of the next", options.hour_utc)
    try:
        stop.wait()
    finally:
        scheduler.shutdown(wait=True)


def catch_up(
    engine: Engine,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    reports: Path,
    on_progress: OnProgress | None = None,
) -> list[DayReport]:
    """Examine every day that is due and not done, the oldest first; return what became of each.

    Traffic and drift are caught up day by day. Labelled images are drawn for the latest of the
    days only: they say how the model does now, and would say it of the older days no better.
    This is also the whole of a run under cron, Airflow or Kubernetes.

    Raises:
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        missed = missed_days(connection, clock.now(), options)
    done: list[DayReport] = []
    for day in missed:
        try:
            report = daily.run(
                engine,
                day,
                options=options,
                clock=clock,
                holder=holder,
                reports=reports,
                on_progress=on_progress,
                fresh_draw=day == missed[-1],
            )
        except StoreError:
            raise
        except WeakspotError as error:
            # One day that cannot be examined, say for a lost bundle, must not hide the others.
            logger.error("%s could not be examined: %s", day, error)  # noqa: TRY400
            continue
        done.append(report)
    return done


run_once = catch_up


def backfill(  # noqa: PLR0913 - a stretch of days, and all that daily.run takes
    engine: Engine,
    first: date,
    last: date,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    reports: Path,
    on_progress: OnProgress | None = None,
) -> list[DayReport]:
    """Examine every day from `first` to `last` in full, the oldest first, whatever was missed.

    Unlike `catch_up`, each day has its own draw; days that are done are reported as they were.

    Raises:
        UsageError: `first` lies after `last`, or a day has not begun.
        BundleError: A version cannot be loaded; the days before it are done.
        StoreError: Postgres is away.
    """
    if first > last:
        raise UsageError(f"there is no day from {first} to {last}; exchange the two")
    return [
        daily.run(
            engine,
            first + timedelta(days=offset),
            options=options,
            clock=clock,
            holder=holder,
            reports=reports,
            on_progress=on_progress,
        )
        for offset in range((last - first).days + 1)
    ]


def missed_days(connection: Connection, now: datetime, options: MonitorOptions) -> list[date]:
    """Return the days that are due and not done, the oldest first.

    Args:
        connection: Where to ask.
        now: The present moment.
        options: The set hour, and how far back a missed day is still caught up.
    """
    moves = registry.history(connection)
    if not moves:
        return []
    last = (now - timedelta(hours=options.hour_utc)).date() - timedelta(days=1)
    earliest = last - timedelta(days=options.catch_up_days)
    first = max(moves[0].at.astimezone(UTC).date(), earliest)
    kinds = (daily.WHOLE, daily.WITHOUT_DRAW)
    done = runs.done_slots(connection, kinds, first.isoformat(), last.isoformat())
    span = range((last - first).days + 1)
    days = [first + timedelta(days=offset) for offset in span]
    return [day for day in days if day.isoformat() not in done]


@dataclass(frozen=True, slots=True)
class _Watch:
    """Looks for what is due, one look at a time; a failure is logged and looked at again."""

    scheduler: BackgroundScheduler
    examine_due: Callable[[], list[DayReport]]
    lease: timedelta
    busy: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Examine what is due, unless an earlier look is still at it."""
        if not self.busy.acquire(blocking=False):
            return
        try:
            reports = self.examine_due()
        except _StoppedError:
            logger.info("stopped in the middle of a day; it has been given back")
        except StoreError as error:
            logger.warning("the database is away, trying again within the hour: %s", error)
            self._again()
        else:
            if any(report.status == "held" for report in reports):
                self._again()
        finally:
            self.busy.release()

    def _again(self) -> None:
        """Look again when the lease of whoever holds the day would have run out."""
        due = datetime.now(UTC) + self.lease
        self.scheduler.add_job(self.look, "date", run_date=due, id="again", replace_existing=True)
