"""What the monitor is at, and what it has done: `weakspot monitor --status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.store import due, last_runs, runs, validations
from core.store.last_runs import Errand, LastStep

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.runs import Run
    from monitor.page import MonitorOptions

_KINDS = (due.DAY,)


@dataclass(frozen=True, slots=True)
class Status:
    """The monitor at one moment.

    Attributes:
        now: The moment.
        due: Days that are due and not done, the oldest first.
        late: Those of them that nobody has examined in time.
        at_work: Runs that somebody is at.
        last_examined: The last day with a finished exam; None before the first.
        steps: The last time each step of a day was gone through, in their order.
        errands: The last time of each of `core.store.last_runs.ERRANDS`.
    """

    now: datetime
    due: tuple[date, ...]
    late: tuple[date, ...]
    at_work: tuple[Run, ...]
    last_examined: date | None
    steps: tuple[LastStep, ...]
    errands: tuple[Errand, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON would hold it."""
        return {
            "now": self.now.isoformat(),
            "due": [day.isoformat() for day in self.due],
            "late": [day.isoformat() for day in self.late],
            "at_work": [
                {
                    "day": run.slot,
                    "version": run.version,
                    "scope": run.detail.get(runs.SCOPE, due.WHOLE),
                    "holder": run.holder,
                    "since": run.started_at.isoformat(),
                    "step": step_of(run),
                    "progress": run.detail.get(runs.PROGRESS),
                }
                for run in self.at_work
            ],
            "last_examined": self.last_examined.isoformat() if self.last_examined else None,
            "steps": [asdict(step) for step in self.steps],
            "errands": [
                asdict(each)
                | {
                    "started_at": each.started_at.isoformat(),
                    "finished_at": each.finished_at.isoformat(),
                }
                for each in self.errands
            ],
        }

    def to_text(self) -> str:
        """Return the status in lines for people."""
        lines = [f"last examined: {self.last_examined or 'no day yet'}"]
        lines += [
            f"at work: {run.slot} {run.version} by {run.holder}, {step_of(run) or 'beginning'}"
            f"{_progress(run)}"
            for run in self.at_work
        ]
        lines += [f"due: {', '.join(map(str, self.due))}"] if self.due else []
        lines += [f"late: {', '.join(map(str, self.late))}"] if self.late else []
        lines += [_line(step) for step in self.steps]
        lines += [_errand(each) for each in self.errands]
        return "\n".join(lines)


def status(connection: Connection, now: datetime, options: MonitorOptions) -> Status:
    """Return what the monitor is at, and what it has done.

    Args:
        connection: Where to ask.
        now: The present moment.
        options: The set hour, and how far back a missed day is caught up.
    """
    hour_utc = options.hour_utc
    missed = due.missed_days(
        connection, now, hour_utc=hour_utc, catch_up_days=options.catch_up_days
    )
    exam = validations.last_done(connection)
    return Status(
        now=now,
        due=tuple(missed),
        late=tuple(due.late_days(connection, now, hour_utc=hour_utc)),
        at_work=tuple(runs.slots_at_work(connection, _KINDS, now=now)),
        last_examined=exam.day if exam else None,
        steps=tuple(last_runs.last_steps(connection, _KINDS)),
        errands=tuple(last_runs.last_errands(connection)),
    )


def step_of(run: Run) -> str | None:
    """Return the step that a run is at; None before its first."""
    steps: list[dict[str, Any]] = run.detail.get("steps", [])
    return steps[-1]["step"] if steps else None


def _line(step: LastStep) -> str:
    took = "" if step.seconds is None else f" in {step.seconds:.1f} s"
    return f"  {step.step:11} {step.outcome}{took}, {step.started_at[:19]} for {step.slot}"


def _progress(run: Run) -> str:
    """Return how far the step has come, in words; empty before it has said so."""
    progress: dict[str, Any] | None = run.detail.get(runs.PROGRESS)
    if not progress:
        return ""
    return f": {progress['stage']} ({progress['done']} of {progress['total']})"


def _errand(errand: Errand) -> str:
    said = ", ".join(f"{name} {value}" for name, value in errand.detail.items())
    return f"  {errand.kind:11} {errand.outcome}, {errand.started_at:%Y-%m-%dT%H:%M:%S}: {said}"
