"""One day on one page: rollup, draw, validation, drift, rules, flags, alerts, retraining.

Each step is keyed by (day, version), may be run again, and gives the same rows. A row in `runs`
says who is at it: of two monitors one examines the day and the other reports who does. A run that
was interrupted or failed is free to be taken again; one that is done is reported as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import Clock, day_bounds
from core.errors import StaleRunError, StoreError, UsageError
from core.store import class_days, flags, registry, rollups, runs
from core.store import drift as drift_checks
from core.store.database import transaction
from core.store.due import SO_FAR, WHOLE, WITHOUT_DRAW
from core.store.runs import Run, Slot
from monitor import alerting, diagnosis, drift, judging, retraining, rollup, validation
from monitor.page import DayReport, MonitorOptions, OnProgress, Page
from monitor.steps import Steps

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from core.store.drift import DriftCheck
    from core.store.registry import Version

__all__ = [
    "SO_FAR",
    "WHOLE",
    "WITHOUT_DRAW",
    "DayReport",
    "MonitorOptions",
    "check_drift",
    "run",
    "version_of",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What rules, flags and retraining made of the day."""

    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    job: int | None = None


def run(  # noqa: PLR0913 - this is the page's whole letterhead
    engine: Engine,
    day: date,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    reports: Path,
    on_progress: OnProgress | None = None,
    fresh_draw: bool = True,
) -> DayReport:
    """Examine one day, or report it when it has been examined already.

    Args:
        engine: The database.
        day: The day, in UTC. One that is not over yet is examined as far as it has come, and
            once more when it is over: with the same draw, but all of its predictions.
        options: What the owner chose.
        clock: What time it is.
        holder: Who we are, for the logs of others.
        reports: Folder of the drift reports.
        on_progress: Told what is being done.
        fresh_draw: Whether to draw labelled images; False for days caught up on, whose exam is
            left to the latest of them.

    Raises:
        UsageError: The day has not begun.
        BundleError: The version cannot be loaded.
        StaleRunError: Somebody else has taken the day over meanwhile.
        StoreError: Postgres is away.
    """
    now = clock.now()
    start, end = day_bounds(day)
    if now < start:
        raise UsageError(f"{day} has not begun; it is {now:%Y-%m-%d %H:%M} UTC")
    kind = SO_FAR if now < end else (WHOLE if fresh_draw else WITHOUT_DRAW)
    with transaction(engine) as connection:
        version = version_of(connection, day)
        if version is None:
            return DayReport(day, None, "no champion", "no version serves yet: weakspot train")
        slot = Slot(kind, version.version, day.isoformat())
        claimed = runs.claim(connection, slot, holder=holder, now=now, lease_s=options.lease_s)
        if claimed is None:
            return _taken(connection, day, version, slot)
    beat = _Heartbeat(engine, claimed, options, clock, on_progress)
    steps = Steps(engine, claimed, clock)
    page = Page(engine, day, version, options, clock, claimed, reports, beat, steps)
    with _released_on_failure(page):
        report = _examine(page, fresh_draw=fresh_draw)
        with page.writing() as connection:
            runs.finish(
                connection,
                claimed,
                # An invalid exam is free to be tried again, when its images are back.
                outcome="done" if report.status == "done" else "failed",
                now=clock.now(),
                detail=report.to_detail() | steps.to_detail(),
            )
    logger.info("%s", report.to_text())
    return report


def version_of(connection: Connection, day: date) -> Version | None:
    """Return the version that served at the end of `day`; None when none serves yet."""
    return registry.champion_on(connection, day_bounds(day)[1])


def check_drift(
    engine: Engine, day: date, *, options: MonitorOptions, clock: Clock, reports: Path
) -> list[dict[str, Any]]:
    """Check a day's predictions against their reference now, and return the verdicts.

    The same step as in `run`, for those who want to look at a day at once; its rows are
    replaced. Empty when no version serves yet.
    """
    if clock.now() < day_bounds(day)[0]:
        raise UsageError(f"{day} has not begun")
    with transaction(engine) as connection:
        version = version_of(connection, day)
        if version is None:
            return []
        rollups.roll_up(connection, day)
    terms = drift.Terms(options.drift_rows, reports, options.report_days, clock.now())
    checks = drift.check(engine, day, version, terms)
    with transaction(engine) as connection:
        drift_checks.write(connection, day, version.version, checks)
    return [_plain(each) for each in checks]


def _plain(check: DriftCheck) -> dict[str, Any]:
    """Return a check as JSON would hold it."""
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in asdict(check).items()
    }


def _examine(page: Page, *, fresh_draw: bool) -> DayReport:
    """Go through the steps; each is whole in the database before the next begins."""
    version = page.version.version
    page.on_progress(f"examining {page.day}", 0, 4)
    steps = page.steps
    with steps.step("rollup"):
        predictions = rollup.roll_up(page)
    with steps.step("draw"):
        drawn = validation.draw(page, fresh=fresh_draw)
    page.on_progress(f"examining {page.day}", 1, 4)
    with steps.step("validation"):
        exam = validation.examine(page, drawn) if drawn else None
    page.on_progress(f"examining {page.day}", 2, 4)
    with steps.step("drift"):
        checks = drift.examine(page)
    page.on_progress(f"examining {page.day}", 3, 4)
    valid = exam is not None and exam.validation.status == "done"
    judged = _judge(page) if valid else _Judged()
    with transaction(page.engine) as connection:
        classes = class_days.of_day(connection, page.day, version) if valid else []
    page.on_progress(f"examining {page.day}", 4, 4)
    report = DayReport(
        day=page.day,
        version=version,
        status="done",
        predictions=predictions,
        drifted=drift.drifted(checks),
        drifted_classes=drift.drifted_classes(checks),
        opened=judged.opened,
        closed=judged.closed,
        job=judged.job,
        judged=sum(row.n for row in classes),
        correct=sum(row.correct for row in classes),
        classes=tuple(classes),
    )
    if exam is None:
        return report
    return replace(
        report,
        status="done" if valid else "invalid",
        detail=exam.complaint,
        late=exam.validation.late,
        drawn=exam.drawn,
        unreadable=exam.validation.unreadable,
    )


def _judge(page: Page) -> _Judged:
    """Run detectors, flags, alerts and the request for retraining as one transaction."""
    version, options, now = page.version, page.options, page.clock.now()
    within = page.steps.within
    with page.writing() as connection:
        ruling = judging.judge(
            connection, version, page.day, options=options, now=now, by="monitor", within=within
        )
        judged, decisions = ruling.judged, ruling.decisions
        with within("diagnosis"):
            diagnosis.settle(connection, version, page.day, now=now)
        with within("retraining"):
            alarmed = judged.verdicts[-1].alarms if judged.verdicts else {}
            job = retraining.request(connection, alarmed=alarmed, options=options, now=now)
        # Asked of the rows, so that a day that is run again reports what it did at first.
        around = flags.overlapping(connection, page.day, page.day)
    # Told only now: what is not committed has not happened.
    for alert in ruling.told:
        alerting.tell_opened(alert)
    for flag in decisions.closed:
        alerting.tell_closed(flag, page.day)
    opened = {flag.label for flag in around if flag.raised_on == page.day}
    closed = {flag.label for flag in around if flag.closed_on == page.day}
    return _Judged(
        opened=tuple(sorted(opened | {flag.label for flag in decisions.opened})),
        closed=tuple(sorted(closed | {flag.label for flag in decisions.closed})),
        job=job.id if job else None,
    )


def _taken(connection: Connection, day: date, version: Version, slot: Slot) -> DayReport:
    """Report a day that is done, or that somebody else is at."""
    known = runs.get(connection, slot)
    if known is not None and known.outcome == "done":
        classes = class_days.of_day(connection, day, version.version)
        return DayReport.from_detail(known.detail, tuple(classes))
    holder = known.holder if known else "another monitor"
    logger.info("%s of %s is held by %s", day, version.version, holder)
    return DayReport(day, version.version, "held", f"held by {holder}")


class _Heartbeat:
    """Passes progress on, and now and then renews the claim, so that long work stays ours."""

    def __init__(
        self,
        engine: Engine,
        claimed: Run,
        options: MonitorOptions,
        clock: Clock,
        on_progress: OnProgress | None,
    ) -> None:
        self._engine = engine
        self._run = claimed
        self._lease_s = options.lease_s
        self._clock = clock
        self._on_progress = on_progress
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(stage, done, total)
        if time.monotonic() - self._last < self._lease_s / 4:
            return
        with transaction(self._engine) as connection:
            runs.heartbeat(connection, self._run, now=self._clock.now(), lease_s=self._lease_s)
        self._last = time.monotonic()


@contextmanager
def _released_on_failure(page: Page) -> Generator[None]:
    """Give the day back when it cannot be finished, whatever the reason, and pass that on."""
    try:
        yield
    except StaleRunError:
        raise
    except BaseException as error:
        logger.warning("%s of %s ends unfinished: %s", page.day, page.version.version, error)
        detail = {"error": type(error).__name__, "detail": str(error)} | page.steps.to_detail()
        # When Postgres itself is away, the lease runs out instead.
        with suppress(StoreError), transaction(page.engine) as connection:
            runs.finish(connection, page.run, outcome="failed", now=page.clock.now(), detail=detail)
        raise
