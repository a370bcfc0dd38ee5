"""When days are examined: at the set hour, and whenever some have been missed.

APScheduler is only the clock: UTC, in memory. What is due is read off `runs` each time, so a
restart, a gap of a week or a second monitor changes nothing. It is looked at hourly by a clock that
nobody can set, and at once when the other one has jumped: after a step of NTP, or when the machine
has slept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from core import refused_loads, telling
from core.clock import Clock
from core.errors import StaleRunError, StoreError, UsageError, WeakspotError
from core.store import due, notices
from core.store.database import transaction
from core.telling import News
from monitor import corrections, daily
from monitor.diagnosis import sentinel_watch
from monitor.page import DayReport, MonitorOptions, OnProgress

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from core.store.due import Look

OnFailure = Callable[[date, WeakspotError], None]

_LOOK_S = 3600.0
_BEAT_S = 15.0  # how often it is asked whether the clock has jumped
_JUMP_S = 120.0  # less is how clocks drift, and how busy machines are

logger = logging.getLogger(__name__)


class StoppedError(Exception):
    """The monitor was told to stop in the middle of a day; the day is given back."""


def run_forever(  # noqa: PLR0913 - all that a day takes, and how to stop
    engine: Engine,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    reports: Path,
    stop: threading.Event,
    beat_s: float = _BEAT_S,
) -> None:
    """Examine what is due now, hourly and at the set hour, until `stop` is set.

    A day that is under way then is given back within one step, for the next monitor to take.

    Args:
        engine: The database.
        options: What the owner chose.
        clock: What time it is.
        holder: Who we are, for the logs of others.
        reports: Folder of the drift reports.
        stop: Ends it.
        beat_s: How often it is asked whether the clock has jumped.
    """

    def examine_due() -> list[DayReport]:
        examined = catch_up(
            engine,
            options=options,
            clock=clock,
            holder=holder,
            reports=reports,
            on_progress=stopping(stop),
        )
        tell_whether_late(engine, options=options, clock=clock, holder=holder)
        sentinel_watch.look(engine, clock=clock)
        with transaction(engine) as connection:
            refused_loads.follow(connection, now=clock.now())
        return examined

    scheduler = BackgroundScheduler(
        timezone=UTC,
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    watch = _Watch(scheduler, examine_due, options.lease_s)
    scheduler.add_job(watch.look, at_the_set_hour(options.hour_utc), id="at the set hour")
    scheduler.start()
    logger.info("watching; each day is examined from %02d:00 UTC of the next", options.hour_utc)
    pulse = Pulse(clock)
    try:
        watch.soon()
        while not stop.wait(beat_s):
            if pulse.says_look() or watch.wants_another():
                watch.soon()
    finally:
        scheduler.shutdown(wait=True)


def at_the_set_hour(hour_utc: int) -> CronTrigger:
    """Return the trigger of a daily look: once a UTC day, whatever the clocks on the wall do."""
    return CronTrigger(hour=hour_utc, timezone=UTC)


def stopping(stop: threading.Event, on_progress: OnProgress | None = None) -> OnProgress:
    """Return a progress callback that leaves a day as soon as `stop` is set.

    Raises:
        StoppedError: By the callback.
    """

    def tell(stage: str, done: int, total: int) -> None:
        if stop.is_set():
            raise StoppedError("the monitor was told to stop; the day has been given back")
        if on_progress is not None:
            on_progress(stage, done, total)

    return tell


def catch_up(  # noqa: PLR0913 - all that daily.run takes
    engine: Engine,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    reports: Path,
    on_progress: OnProgress | None = None,
    on_failure: OnFailure | None = None,
) -> list[DayReport]:
    """Examine every day that is due and not done, the oldest first; return what became of each.

    Traffic and drift are caught up day by day. Labelled images are drawn for the latest of the
    days only: they say how the model does now, and would say it of the older days no better.
    This is also the whole of a run under cron, Airflow or Kubernetes.

    Args:
        engine: The database.
        options: What the owner chose.
        clock: What time it is.
        holder: Who we are, for the logs of others.
        reports: Folder of the drift reports.
        on_progress: Told what is being done.
        on_failure: Told of each day that cannot be examined; it has no report.

    Raises:
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        for freed in due.disown_mistimed(connection, clock.now()):
            logger.warning("%s was examined while the clock was wrong; it is due again", freed)
        missed = missed_days(connection, clock.now(), options)
    if missed:
        _follow_corrections(engine, options, clock, holder, on_progress)
    examine = partial(
        daily.run,
        engine,
        options=options,
        clock=clock,
        holder=holder,
        reports=reports,
        on_progress=on_progress,
    )
    found = [_attempt(examine, day, day == missed[-1], on_failure) for day in missed]
    return [report for report in found if report is not None]


def _attempt(
    examine: Callable[..., DayReport],
    day: date,
    fresh_draw: bool,
    on_failure: OnFailure | None,
) -> DayReport | None:
    """Examine one day; None where it cannot be, which must not hide the others."""
    try:
        return examine(day, fresh_draw=fresh_draw)
    except StaleRunError as error:
        logger.warning("%s is in other hands: %s", day, error)
        return DayReport(day, None, "held", str(error))
    except StoreError:
        raise
    except WeakspotError as error:
        # A lost bundle, say.
        logger.error("%s could not be examined: %s", day, error)  # noqa: TRY400
        if on_failure is not None:
            on_failure(day, error)
        return None


def _follow_corrections(
    engine: Engine,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    on_progress: OnProgress | None,
) -> None:
    """Let the days before follow corrected labels, for the day to be judged rests on them."""
    try:
        found = corrections.follow(
            engine, options=options, clock=clock, by=holder, on_progress=on_progress
        )
    except StoreError:
        raise
    except WeakspotError as error:
        # The labels are looked for again before the next day; this one must not wait for them.
        logger.error("corrected labels are not counted yet: %s", error)  # noqa: TRY400
    else:
        if found is not None:
            logger.info("labels were corrected: %s", found.to_text())


def tell_whether_late(
    engine: Engine, *, options: MonitorOptions, clock: Clock, holder: str = "monitor"
) -> Look:
    """Raise the alert that days have not been examined in time, or resolve it; see core.store.due.

    The alert may be another program's, which can write it but not send it: the outbox takes each
    message once, so it is put there again.
    """
    now = clock.now()
    with transaction(engine) as connection:
        look = due.look(connection, now, hour_utc=options.hour_utc, by=holder)
        alert = look.raised or notices.unresolved(connection, due.KIND, due.CAUSE)
        news = [News("opened", alert)] if alert else []
        news += [News("resolved", look.resolved)] if look.resolved else []
        telling.tell(connection, news, now=now)
    if look.raised:
        logger.error("%s", look.raised.title)
    return look


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
    """Return the days that are due and not done, the oldest first; see core.store.due."""
    return due.missed_days(
        connection, now, hour_utc=options.hour_utc, catch_up_days=options.catch_up_days
    )


class Pulse:
    """Says when it is time for another look, whatever is done to the clock.

    Args:
        clock: The clock that people set.
        ticks: Seconds of one that nobody can set.
        every_s: Seconds between looks.
        jump_s: A look is due at once when the two are so far apart.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        ticks: Callable[[], float] = time.monotonic,
        every_s: float = _LOOK_S,
        jump_s: float = _JUMP_S,
    ) -> None:
        self._clock = clock
        self._ticks = ticks
        self._every_s = every_s
        self._jump_s = jump_s
        self._seen = (clock.now(), ticks())
        self._looked = self._seen[1]

    def says_look(self) -> bool:
        """Say whether to look now; ask every few seconds."""
        moment, ticks = self._clock.now(), self._ticks()
        before, ticks_before = self._seen
        self._seen = (moment, ticks)
        jump_s = (moment - before).total_seconds() - (ticks - ticks_before)
        if abs(jump_s) > self._jump_s:
            logger.info("the clock has moved by %+.0f s; looking for what is due", jump_s)
        elif ticks - self._looked < self._every_s:
            return False
        self._looked = ticks
        return True


@dataclass(slots=True)
class _Watch:
    """Looks for what is due, one look at a time; a failure is logged and looked at again.

    A look that is asked for while another is at it is made after that one: what is due may have
    changed since it began, for the clock has jumped, say.

    A look never speaks to the scheduler itself: one that is being shut down waits for the look, and
    the look would wait for it.
    """

    scheduler: BackgroundScheduler
    examine_due: Callable[[], list[DayReport]]
    lease_s: float
    busy: threading.Lock = field(default_factory=threading.Lock)
    again_at: float | None = None

    def look(self) -> None:
        """Examine what is due; later, when an earlier look is still at it."""
        if not self.busy.acquire(blocking=False):
            self._again(0.0)
            return
        try:
            reports = self.examine_due()
        except StoppedError:
            logger.info("stopped in the middle of a day; it has been given back")
        except StoreError as error:
            logger.warning("the database is away, trying again within the hour: %s", error)
            self._again(self.lease_s)
        else:
            if any(report.status == "held" for report in reports):
                self._again(self.lease_s)
        finally:
            self.busy.release()

    def soon(self) -> None:
        """Look at once, in the scheduler's thread."""
        # One more than is ever at work: APScheduler would drop it, and `look` puts it off.
        self.scheduler.add_job(self.look, id="soon", replace_existing=True, max_instances=2)

    def wants_another(self) -> bool:
        """Say, once, that it is time for a look that was put off.

        That is, the lease of whoever held a day would have run out by now, or a look was asked for
        while another was at it.
        """
        wanted = self.again_at is not None and time.monotonic() >= self.again_at
        if wanted:
            self.again_at = None
        return wanted

    def _again(self, after_s: float) -> None:
        """Look again after so long, or when it is wanted before."""
        wanted = time.monotonic() + after_s
        self.again_at = wanted if self.again_at is None else min(self.again_at, wanted)
