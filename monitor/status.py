"""What the monitor is at, and what it has done: `weakspot monitor --status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.store import due, runs, validations
from core.store.runs import LastStep

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.runs import Run
    from monitor.page import MonitorOptions

_KINDS = (due.WHOLE, due.WITHOUT_DRAW, due.SO_FAR)


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
    """

    now: datetime
    due: tuple[date, ...]
    late: tuple[date, ...]
    at_work: tuple[Run, ...]
    last_examined: date | None
    steps: tuple[LastStep, ...]

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
                    "holder": run.holder,
                    "since": run.started_at.isoformat(),
                    "step": step_of(run),
                }
                for run in self.at_work
            ],
            "last_examined": self.last_examined.isoformat() if self.last_examined else None,
            "steps": [asdict(step) for step in self.steps],
        }

    def to_text(self) -> str:
        """Return the status in lines for people."""
        lines = [f"last examined: {self.last_examined or 'no day yet'}"]
        lines += [
            f"at work: {run.slot} {run.version} by {run.holder}, {step_of(run) or 'beginning'}"
            for run in self.at_work
        ]
        lines += [f"due: {', '.join(map(str, self.due))}"] if self.due else []
        lines += [f"late: {', '.join(map(str, self.late))}"] if self.late else []
        lines += [_line(step) for step in self.steps]
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
        steps=tuple(runs.last_steps(connection, _KINDS)),
    )


def step_of(run: Run) -> str | None:
    """Return the step that a run is at; None before its first."""
    steps: list[dict[str, Any]] = run.detail.get("steps", [])
    return steps[-1]["step"] if steps else None


def _line(step: LastStep) -> str:
    took = "" if step.seconds is None else f" in {step.seconds:.1f} s"
    return f"  {step.step:11} {step.outcome}{took}, {step.started_at[:19]} for {step.slot}"
