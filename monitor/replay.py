"""A stretch of days computed anew: `weakspot health --replay FROM TO`.

For labels that came late, were corrected, or days that were examined out of order. Everything that
follows from the log and the exams is computed again, from the first day on: traffic, the counts of
each class by the labels its images have by now, the detectors' memory of every version (also after
TO, for what comes later follows from it), the shadow, flags and alerts. The rows are those that
examining all days in order, with today's labels, would have left.

What people were told stays told. A flag keeps its days, and an alarm that is explained away closes
its flag, which is told as well. Each decision that would have been another one is in the audit
trail, before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.store import audit, class_days, class_state, registry, rollups, validations
from core.store.database import transaction
from monitor import changes, judging, validation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from core.clock import Clock
    from monitor.changes import Changed
    from monitor.page import MonitorOptions, OnProgress


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found.

    Attributes:
        first: The first day computed anew.
        last: The last day whose labels and traffic were looked at again.
        exams: Exams counted anew.
        corrected: Results whose image has another label by now.
        recounted: Pairs of day and class whose counts changed.
        changes: Decisions that would have been others, in order.
    """

    first: date
    last: date
    exams: int
    corrected: int
    recounted: int
    changes: tuple[Changed, ...]

    def to_text(self) -> str:
        """Return what was found, for people."""
        head = (
            f"{self.first} to {self.last}: {self.exams} exams, {self.corrected} labels corrected, "
            f"{self.recounted} counts changed, {len(self.changes)} decisions changed"
        )
        return "\n".join([head, *(f"  {change.to_text()}" for change in self.changes)])


def replay(  # noqa: PLR0913 - a stretch of days, and who asks for it
    engine: Engine,
    first: date,
    last: date,
    *,
    options: MonitorOptions,
    clock: Clock,
    by: str,
    on_progress: OnProgress | None = None,
) -> Replayed:
    """Compute a stretch of days anew, and write down which decisions change.

    Args:
        engine: The database.
        first: The first day.
        last: The last day whose labels and traffic may have changed.
        options: What the owner chose.
        clock: What time it is.
        by: Who asks for it.
        on_progress: Told what is being done.

    Raises:
        UsageError: `first` lies after `last`, or `last` has not begun.
        StoreError: Postgres is away; nothing but traffic has changed then.
    """
    if first > last:
        raise UsageError(f"there is no day from {first} to {last}; exchange the two")
    if last > clock.now().date():
        raise UsageError(f"{last} has not begun; it is {clock.now():%Y-%m-%d %H:%M} UTC")
    tell = on_progress or (lambda _stage, _done, _total: None)
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    for done, day in enumerate(days):
        tell("summing traffic up", done, len(days))
        with transaction(engine) as connection:
            rollups.roll_up(connection, day)
    tell("summing traffic up", len(days), len(days))
    now = clock.now()
    with transaction(engine) as connection:
        return _replay(connection, first, last, options=options, now=now, by=by, tell=tell)


def _replay(  # noqa: PLR0913 - what `replay` takes, inside its transaction
    connection: Connection,
    first: date,
    last: date,
    *,
    options: MonitorOptions,
    now: datetime,
    by: str,
    tell: OnProgress,
) -> Replayed:
    exams = validations.done_from(connection, first)
    # In the order of their first day: what a version has to recover from, the one before it left.
    begun = {exam.version: exam.day for exam in reversed(exams)}
    versions = sorted(begun, key=lambda name: begun[name])
    for name in sorted(versions):
        class_state.lock(connection, name)
    corrections = validations.follow_labels(connection, first, last)
    known = {name: registry.get(connection, name) for name in versions}
    stretch = [exam for exam in exams if exam.day <= last]
    recounted = sum(_recount(connection, exam, known[exam.version].labels) for exam in stretch)
    changed: list[Changed] = []
    for done, name in enumerate(versions):
        tell("replaying versions", done, len(versions))
        ruling = judging.judge(
            connection, known[name], begun[name], options=options, now=now, by=by
        )
        changed += ruling.changed
    tell("replaying versions", len(versions), len(versions))
    in_order = tuple(sorted(changed, key=changes.in_order))
    found = Replayed(first, last, len(stretch), len(corrections), recounted, in_order)
    audit.record(
        connection,
        now=now,
        by=by,
        action="replay",
        subject=f"{first} to {last}",
        detail={
            "exams": found.exams,
            "corrected": found.corrected,
            "recounted": found.recounted,
            "changes": len(changed),
        },
    )
    return found


def _recount(connection: Connection, exam: validations.Validation, labels: Sequence[str]) -> int:
    """Count an exam's answers anew, and return for how many classes the counts differ."""
    before = {row.label: row for row in class_days.of_day(connection, exam.day, exam.version)}
    rows = validation.count(exam, labels, validations.answers(connection, exam))
    changed = [row for row in rows if before.get(row.label) != row]
    class_days.write(connection, changed)
    return len(changed)
