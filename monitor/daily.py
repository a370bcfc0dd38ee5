"""One day on one page: rollup, draw, validation, drift, rules, flags, alerts, retraining.

Each step is keyed by (day, version), may be run again, and gives the same rows. A row in `runs`
says who is at it, whatever part of the day is asked for: of two monitors one examines the day and
the other reports who does. A run that was interrupted or failed is free to be taken again, and so
is one that saw a part of the day, or was done by a clock that was ahead; any other that is done is
reported as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import Clock, day_bounds
from core.errors import StaleRunError, StoreError, UsageError
from core.store import class_days, due, flags, registry, rollups, runs
from core.store import drift as drift_checks
from core.store.database import transaction
from core.store.due import SO_FAR, WHOLE, WITHOUT_DRAW
from monitor import health_book, predecessor, retraining, rollup, validation
from monitor.beat import Heartbeat
from monitor.diagnosis import diagnosis
from monitor.drift import drift
from monitor.judgement import alerting, judging, probation
from monitor.page import DayReport, MonitorOptions, OnProgress, Page
from monitor.steps import Steps

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from core.store.drift import DriftCheck
    from core.store.registry import Version
    from core.store.runs import Run, Slot
    from monitor.validation import Exam

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
    rolled_back: str | None = None


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
    taken = _take(engine, day, options=options, clock=clock, holder=holder, fresh_draw=fresh_draw)
    if isinstance(taken, DayReport):
        return taken
    version, claimed = taken
    beat = Heartbeat(engine, claimed, clock, lease_s=options.lease_s, on_progress=on_progress)
    steps = Steps(engine, claimed, clock)
    page = Page(engine, day, version, options, clock, claimed, reports, beat, steps)
    with _released_on_failure(page), beat.kept():
        report = _examine(page, fresh_draw=fresh_draw)
        _finish(page, report)
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


def _take(
    engine: Engine,
    day: date,
    *,
    options: MonitorOptions,
    clock: Clock,
    holder: str,
    fresh_draw: bool,
) -> tuple[Version, Run] | DayReport:
    """Claim the day for the version that served; the report when there is nothing to do."""
    now = clock.now()
    start, end = day_bounds(day)
    if now < start:
        raise UsageError(f"{day} has not begun; it is {now:%Y-%m-%d %H:%M} UTC")
    scope = SO_FAR if now < end else (WHOLE if fresh_draw else WITHOUT_DRAW)
    with transaction(engine) as connection:
        version = version_of(connection, day)
        if version is None:
            return DayReport(day, None, "no champion", "no version serves yet: weakspot train")
        for freed in due.disown_mistimed(connection, now):
            logger.warning("%s was examined while the clock was wrong; it is free again", freed)
        slot = due.slot_of(day, version.version, scope)
        claimed = runs.claim(connection, slot, holder=holder, now=now, lease_s=options.lease_s)
        return (version, claimed) if claimed else _taken(connection, day, version, slot)


def _finish(page: Page, report: DayReport) -> None:
    """Write down that the run has ended, and what came of it."""
    with page.writing() as connection:
        runs.finish(
            connection,
            page.run,
            # An invalid exam is free to be tried again, when its images are back.
            outcome="done" if report.status == "done" else "failed",
            now=page.clock.now(),
            detail=report.to_detail() | page.steps.to_detail(),
        )


def _examine(page: Page, *, fresh_draw: bool) -> DayReport:
    """Go through the steps; each is whole in the database before the next begins."""
    version, step, parts = page.version.version, page.steps.step, 4
    page.on_progress(f"examining {page.day}", 0, parts)
    with step("rollup"):
        predictions = rollup.roll_up(page)
    with step("draw"):
        drawn = validation.draw(page, fresh=fresh_draw)
    page.on_progress(f"examining {page.day}", 1, parts)
    with step("validation"):
        exam = validation.examine(page, drawn) if drawn else None
    if exam is not None and exam.validation.status == "done":
        with step("predecessor"):
            predecessor.answer(page, exam.validation)
    page.on_progress(f"examining {page.day}", 2, parts)
    with step("drift"):
        checks = drift.examine(page)
    page.on_progress(f"examining {page.day}", 3, parts)
    seen = DayReport(
        day=page.day,
        version=version,
        status="done",
        predictions=predictions,
        drifted=drift.drifted(checks),
        drifted_classes=drift.drifted_classes(checks),
    )
    report = seen if exam is None else _with_exam(page, seen, exam)
    page.on_progress(f"examining {page.day}", parts, parts)
    return report


def _with_exam(page: Page, report: DayReport, exam: Exam) -> DayReport:
    """Return the report with what the exam says; a valid one is judged."""
    report = replace(
        report,
        status="invalid",
        detail=exam.complaint,
        late=exam.validation.late,
        drawn=exam.drawn,
        unreadable=exam.validation.unreadable,
    )
    if exam.validation.status != "done":
        return report
    # The steps of one transaction; until it is through, this one says where the day is.
    with page.steps.step("judging"):
        judged = _judge(page)
    with transaction(page.engine) as connection:
        classes = class_days.of_day(connection, page.day, page.version.version)
    return replace(
        report,
        status="done",
        opened=judged.opened,
        closed=judged.closed,
        job=judged.job,
        rolled_back=judged.rolled_back,
        judged=sum(row.n for row in classes),
        correct=sum(row.correct for row in classes),
        classes=tuple(classes),
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
        with within("probation"):
            went_back = probation.decide(connection, version, page.day, options=options, now=now)
        with within("retraining"):
            alarmed = judged.verdicts[-1].alarms if judged.verdicts else {}
            occasion = retraining.Occasion(page.day, version, alarmed, now)
            job = retraining.request(connection, occasion, options=options)
        with within("health"):
            days = [page.day, *(verdict.day for verdict in judged.verdicts)]
            health_book.write(connection, days, options=options, now=now)
        # Asked of the rows, so that a day that is run again reports what it did at first.
        around = flags.overlapping(connection, page.day, page.day)
    # Told only now: what is not committed has not happened.
    for alert in ruling.told:
        alerting.tell_opened(alert)
    for flag in decisions.closed:
        alerting.tell_closed(flag, page.day)
    if went_back is not None:
        alerting.tell_opened(went_back)
    opened = {flag.label for flag in around if flag.raised_on == page.day}
    closed = {flag.label for flag in around if flag.closed_on == page.day}
    return _Judged(
        opened=tuple(sorted(opened | {flag.label for flag in decisions.opened})),
        closed=tuple(sorted(closed | {flag.label for flag in decisions.closed})),
        job=job.id if job else None,
        rolled_back=version.version if went_back else None,
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
