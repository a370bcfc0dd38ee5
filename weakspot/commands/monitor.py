"""`weakspot monitor`: the program, one look under somebody else's clock, or what it is at.

`--once` is for cron, Airflow and Kubernetes. Its exit code says what became of the days that were
due: 0 all examined, none due, or another monitor is at them; 1 one could not be examined, or it was
stopped; 2 wrong usage; 3 an exam is invalid; 4 Postgres is away; 5 another monitor is at them, and
`--fail-if-held` was given. Of several, the one named first counts: 4, 1, 3, 5.
"""

import os
import signal
import socket
import threading
from dataclasses import dataclass, field
from datetime import date
from types import FrameType
from typing import Annotated, Any

import typer

from core import logs
from core.errors import SchemaError, StoreError, UsageError, WeakspotError
from core.settings import AlertSettings, MonitorSettings
from core.store.database import transaction
from weakspot import front

DONE, FAILED, INVALID, AWAY, HELD = 0, 1, 3, 4, 5


def monitor(
    once: Annotated[
        bool,
        typer.Option("--once", help="Examine what is due, and end; for cron, Airflow, Kubernetes."),
    ] = False,
    fail_if_held: Annotated[
        bool,
        typer.Option("--fail-if-held", help="With --once: exit 5 when another monitor is at it."),
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Say what is due, and when each step was done last.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --once or --status: one JSON object on stdout.")
    ] = False,
) -> None:
    """Examine every class every day, at the hour that is set."""
    if once and status:
        raise UsageError("--once and --status are two things; ask for one")
    if not (once or status) and (fail_if_held or as_json):
        raise UsageError("--fail-if-held goes with --once, and --json with --once or --status")
    if status:
        _status(as_json)
    elif once:
        raise typer.Exit(_once(as_json=as_json, fail_if_held=fail_if_held))
    else:
        from monitor.__main__ import run

        run(front.settings(), front.read(MonitorSettings), front.read(AlertSettings))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of the days that were due."""

    days: list[Any] = field(default_factory=list[Any])
    failed: list[tuple[date, WeakspotError]] = field(
        default_factory=list[tuple[date, WeakspotError]]
    )
    stopped: bool = False

    def code(self, *, fail_if_held: bool) -> int:
        """Return the exit code, as the module's text says."""
        seen = {report.status for report in self.days}
        if self.failed or self.stopped:
            return FAILED
        if "invalid" in seen:
            return INVALID
        return HELD if "held" in seen and fail_if_held else DONE

    def word(self) -> str:
        """Return what became of them in one word or two."""
        if self.stopped:
            return "stopped"
        if self.failed:
            return "failed"
        seen = {report.status for report in self.days}
        return next((each for each in ("invalid", "held", "done") if each in seen), "nothing due")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON would hold it."""
        failed = [
            {"day": day.isoformat(), "error": type(error).__name__, "detail": str(error)}
            for day, error in self.failed
        ]
        days = [report.to_dict() for report in self.days]
        return {"outcome": self.word(), "days": days, "failed": failed}

    def to_text(self) -> str:
        """Return it for people."""
        lines = [report.to_text() for report in self.days]
        lines += [f"{day}: could not be examined: {error}" for day, error in self.failed]
        lines += ["stopped in the middle of a day; it has been given back"] * self.stopped
        return "\n".join(lines) or "nothing is due"


def _once(*, as_json: bool, fail_if_held: bool) -> int:
    try:
        outcome = _examine_due()
    except SchemaError:
        raise
    except StoreError as error:
        front.emit(
            {"error": type(error).__name__, "detail": str(error)},
            as_json=as_json,
            text=f"the database is away: {error}",
        )
        return AWAY
    front.emit(outcome.to_dict(), as_json=as_json, text=outcome.to_text())
    return outcome.code(fail_if_held=fail_if_held)


def _examine_due() -> _Outcome:
    from monitor import schedule
    from monitor.__main__ import initial_rules, postage_from
    from monitor.messages import alert_setup, delivery
    from monitor.page import MonitorOptions

    home = front.settings()
    logs.configure(home.log_level, home.log_format)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, _setting(stop))
    settings, alerts = front.read(MonitorSettings), front.read(AlertSettings)
    wanted, postage = initial_rules(settings, alerts), postage_from(alerts)
    options, outcome = MonitorOptions.from_settings(settings), _Outcome()
    with front.open_store(home) as engine, front.progress() as on_progress:
        clock = front.clock()
        alert_setup.adopt(engine, wanted, now=clock.now())
        try:
            days = schedule.catch_up(
                engine,
                options=options,
                clock=clock,
                holder=f"{socket.gethostname()}/{os.getpid()}",
                reports=home.reports,
                on_progress=schedule.stopping(stop, on_progress),
                on_failure=lambda day, error: outcome.failed.append((day, error)),
            )
            schedule.tell_whether_late(engine, options=options, clock=clock)
            # What cannot be sent now waits in the outbox for the next time.
            delivery.deliver(engine, postage, clock)
        except schedule.StoppedError:
            return _Outcome(stopped=True)
    return _Outcome(days, outcome.failed)


def _setting(stop: threading.Event) -> Any:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return on_signal


def _status(as_json: bool) -> None:
    from monitor.status import status as ask

    with front.open_store() as engine, transaction(engine) as connection:
        found = ask(connection, front.clock().now(), _options())
    front.emit(found.to_dict(), as_json=as_json, text=found.to_text())


def _options() -> Any:
    from monitor.page import MonitorOptions

    return MonitorOptions.from_settings(front.read(MonitorSettings))
