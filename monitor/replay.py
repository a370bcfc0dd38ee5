"""A stretch of days computed anew: `weakspot health --replay FROM TO`.

For labels and predictions that came late, labels that were corrected, or days that were examined
out of order. Everything that follows from the log and the exams is computed again, from the first
day on: traffic and its drift (monitor.retraffic), the counts of each class by the labels its images
have by now, the detectors' memory of every version (also after TO, for what comes later follows
from it), the shadow, flags and alerts. The rows are those that examining all days in order, with
today's labels, would have left.

What people were told stays told. A flag keeps its days, and an alarm that is explained away closes
its flag, which is told as well. Each decision that would have been another one is in the audit
trail, before and after.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Self

from core.errors import StoreError, UsageError, WeakspotError
from core.store import (
    audit,
    class_days,
    class_state,
    last_runs,
    model_days,
    registry,
    validations,
)
from core.store.database import transaction
from core.store.last_runs import Errand
from monitor import health_book, retraffic, validation
from monitor.judgement import changes, judging, standards
from monitor.retraffic import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from core.clock import Clock
    from core.store.class_state import ClassState
    from core.store.model_days import ModelDay
    from monitor.judgement.changes import Changed
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
        checked: Days whose traffic was checked for drift again.
    """

    first: date
    last: date
    exams: int
    corrected: int
    recounted: int
    changes: tuple[Changed, ...]
    checked: int = 0

    def to_text(self) -> str:
        """Return what was found, for people."""
        head = (
            f"{self.first} to {self.last}: {self.exams} exams, {self.corrected} labels corrected, "
            f"{self.recounted} counts changed, {self.checked} days checked for drift again, "
            f"{len(self.changes)} decisions changed"
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
    reports: Path | None = None,
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
        reports: Folder of the drift reports; without one no drift is checked again.
        on_progress: Told what is being done.

    Raises:
        UsageError: `first` lies after `last`, or `last` has not begun.
        StoreError: Postgres is away; nothing but traffic and its drift has changed then.
    """
    began = clock.now()
    if first > last:
        raise UsageError(f"there is no day from {first} to {last}; exchange the two")
    if last > began.date():
        raise UsageError(f"{last} has not begun; it is {began:%Y-%m-%d %H:%M} UTC")
    tell = on_progress or (lambda _stage, _done, _total: None)
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    traffic = Terms(engine, options, clock, by, tell)
    try:
        from_day = retraffic.sum_up(traffic, days)
        seen = retraffic.check(traffic, [day for day in days if day >= from_day], reports)
        with transaction(engine) as connection:
            found = recount(connection, first, last, terms=traffic)
            found = replace(found, checked=seen.days, changes=(*seen.changes, *found.changes))
            record(connection, found, traffic, began)
    except WeakspotError as error:
        said = {"first": str(first), "last": str(last), "error": str(error)}
        with suppress(StoreError), transaction(engine) as connection:
            errand = Errand(last_runs.REPLAY, by, began, clock.now(), "failed", said)
            last_runs.leave(connection, errand)
        raise
    return found


def recount(connection: Connection, first: date, last: date, *, terms: Terms) -> Replayed:
    """Count the exams of a stretch by today's labels, and compute anew what follows from them.

    Traffic and its drift stay as they are: labels of the pool's images say nothing of them.
    """
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
    as_judged = {name: _Judged.read(connection, name, begun[name]) for name in versions}
    times = rounds([(exam.day, exam.version) for exam in exams], versions)
    for _ in range(times - 1):
        for name in versions:
            _Judged().write(connection, name, begun[name])
            standards.judge(connection, known[name], begun[name], terms.options)
    changed: list[Changed] = []
    for done, name in enumerate(versions):
        terms.tell("replaying versions", done, len(versions))
        if times > 1:
            # What differs is told against what was judged before, not against the rounds above.
            as_judged[name].write(connection, name, begun[name])
        ruling = judging.judge(
            connection,
            known[name],
            begun[name],
            options=terms.options,
            now=terms.clock.now(),
            by=terms.by,
        )
        changed += ruling.changed
    judged_days = [exam.day for exam in exams]
    health_book.write(connection, judged_days, options=terms.options, now=terms.clock.now())
    terms.tell("replaying versions", len(versions), len(versions))
    in_order = tuple(sorted(changed, key=changes.in_order))
    return Replayed(first, last, len(stretch), len(corrections), recounted, in_order)


def rounds(exams: Sequence[tuple[date, str]], versions: Sequence[str]) -> int:
    """Return how often to compute all versions, one after another, until nothing changes any more.

    An exam's memory follows from that of its version's exam before, and from what the last exam of
    another version since then left. After a rollback that is a version computed earlier: its later
    days want another round.

    Args:
        exams: Day and version of each, in order.
        versions: The versions in the order in which they are computed.

    Example:
        >>> first, second, third = (date(2026, 3, number) for number in (1, 2, 3))
        >>> rounds([(first, "a"), (second, "b"), (third, "a")], ["a", "b"])
        2
    """
    place = {name: at for at, name in enumerate(versions)}
    own: dict[str, int] = {}
    needed: list[int] = []
    for number, (day, name) in enumerate(exams):
        before = own.get(name)
        since = exams[before][0] if before is not None else date.min
        others = (
            other
            for other in range(number - 1, -1, -1)
            if exams[other][1] != name and since <= exams[other][0] < day
        )
        other = next(others, None)
        least = 1 if before is None else needed[before]
        if other is not None:
            least = max(least, needed[other] + (place[exams[other][1]] > place[name]))
        needed.append(least)
        own[name] = number
    return max(needed, default=1)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the detectors remember of a version's days: of its classes, and of the whole."""

    classes: Sequence[ClassState] = ()
    whole: Sequence[ModelDay] = ()

    @classmethod
    def read(cls, connection: Connection, version: str, first: date) -> Self:
        """Return what stands there from `first` on."""
        classes = class_state.from_day(connection, version, first)
        return cls(classes, model_days.from_day(connection, version, first))

    def write(self, connection: Connection, version: str, first: date) -> None:
        """Put this in place of what stands there from `first` on."""
        class_state.forget(connection, version, first)
        model_days.forget(connection, version, first)
        class_state.write(connection, self.classes)
        model_days.write(connection, self.whole)


def record(
    connection: Connection,
    found: Replayed,
    terms: Terms,
    began: datetime,
    kind: str = last_runs.REPLAY,
) -> None:
    """Leave in the audit trail, and among the last runs, that days were computed anew.

    Args:
        connection: Where to write.
        found: What the replay found.
        terms: Who asked for it, and what time it is.
        began: When it began.
        kind: The errand that it was.
    """
    now = terms.clock.now()
    said = {
        "exams": found.exams,
        "corrected": found.corrected,
        "recounted": found.recounted,
        "changes": len(found.changes),
        "checked": found.checked,
    }
    subject = f"{found.first} to {found.last}"
    audit.record(connection, now=now, by=terms.by, action="replay", subject=subject, detail=said)
    stretch = {"first": str(found.first), "last": str(found.last)}
    errand = Errand(kind, terms.by, began, now, "done", stretch | said)
    last_runs.leave(connection, errand)


def _recount(connection: Connection, exam: validations.Validation, labels: Sequence[str]) -> int:
    """Count an exam's answers anew, and return for how many classes the counts differ."""
    before = {row.label: row for row in class_days.of_day(connection, exam.day, exam.version)}
    rows = validation.count(exam, labels, validations.answers(connection, exam))
    changed = [row for row in rows if before.get(row.label) != row]
    class_days.write(connection, changed)
    return len(changed)
