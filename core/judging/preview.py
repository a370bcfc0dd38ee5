"""What other alert rules would have raised: the stored days, gone through once more, in memory.

The counts of each examined day go through the very detectors that judged them (core.judging.rules
and core.judging.pool), each version from its first day on, so that what the detectors remember is
whole when the stretch begins that is asked about. Nothing is written.

What this cannot know is what would have followed: other images drawn, a retraining, a promotion.
It takes the days as they were. Alerts that no detector raises (the runtime, the monitor itself, a
bundle that cannot be loaded) do not depend on the rules, and are not among these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from core.judging import pool, rules
from core.judging.likeness import Likeness, in_groups
from core.judging.pool import Today
from core.judging.standard import standard
from core.stats.day_bet import Answers, needs_day_bet
from core.store import class_days, registry, validations
from core.store.class_days import ClassDay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.judging.rules import Levels, Memory
    from core.store.alert_policy import AlertRules
    from core.store.class_days import DayCounts
    from core.store.model_days import ModelDay
    from core.store.registry import Version

# No further back does any detector's memory begin than this before the stretch.
LONGEST_MEMORY_DAYS = 400


@dataclass(slots=True)
class Raised:
    """An alert that some rules would have raised.

    Attributes:
        label: The class; None for all of them together.
        version: The version examined.
        day: The day of the alarm.
        evidence: What there was of it.
        threshold: What was needed.
        closed_on: The day that showed recovery; None where none did.
    """

    label: str | None
    version: str
    day: date
    evidence: float
    threshold: float
    closed_on: date | None = None


@dataclass(frozen=True, slots=True)
class Exam:
    """The counts of one exam, in the order of its version's classes.

    Attributes:
        version: The version examined.
        day: The day.
        correct: Right answers of each class, shape (K,).
        total: Images of each, shape (K,).
        shared: Groups of images that belong together, `[images, right]`, by the class's place.
        grouped: The same by the class's name, also of classes that the version does not know.
    """

    version: str
    day: date
    correct: NDArray[np.int64]
    total: NDArray[np.int64]
    shared: dict[int, list[list[int]]]
    grouped: dict[str, list[list[int]]]


@dataclass(frozen=True, slots=True)
class Material:
    """Stored days, read once for as many rules as one likes.

    Attributes:
        first: First day asked about.
        last: Last day.
        versions: The versions examined, by name.
        exams: The exams, in order.
    """

    first: date
    last: date
    versions: dict[str, Version]
    exams: list[Exam]

    @property
    def n_days(self) -> int:
        """How many days of the stretch were examined."""
        return len({exam.day for exam in self.exams if exam.day >= self.first})


@dataclass(slots=True)
class _Epoch:
    """What is remembered of a version while its days are gone through."""

    held_to: Levels
    memory: Memory
    whole: ModelDay | None
    likeness: Likeness


def gather(connection: Connection, first: date, last: date) -> Material:
    """Return the stored days that rules are tried on.

    Args:
        connection: Where they are kept; one question a version.
        first: First day whose alerts are asked for.
        last: Last day.
    """
    earliest = first - timedelta(days=LONGEST_MEMORY_DAYS)
    exams = [each for each in validations.done_from(connection, earliest) if each.day <= last]
    # What the version before the stretch left unrecovered is asked of the first one in it.
    began = next((i for i, each in enumerate(exams) if each.day >= first), len(exams))
    names = list(dict.fromkeys(each.version for each in exams[max(began - 1, 0) :]))
    versions = {name: registry.get(connection, name) for name in names}
    counted = {
        (name, each.day): each
        for name in names
        for each in _in_order(versions[name], class_days.counts(connection, name, earliest, last))
    }
    found = [counted.get((each.version, each.day)) for each in exams]
    return Material(first, last, versions, [each for each in found if each is not None])


def replay(material: Material, on: AlertRules) -> list[Raised]:
    """Return the alerts that some rules would have raised in the stretch, in order."""
    epochs: dict[str, _Epoch] = {}
    raised: list[Raised] = []
    for exam in material.exams:
        name, version = exam.version, material.versions[exam.version]
        if name not in epochs:
            held_to = standard(version, on).levels
            nothing = rules.nothing_remembered(len(version.labels))
            epochs[name] = _Epoch(held_to, nothing, None, Likeness())
        left = _left_by_others(epochs, name, exam.day)
        recovered, alarms = _next_day(epochs[name], exam, left)
        _close(raised, recovered, exam.day, set(version.labels))
        for found in alarms:
            watched = found.label is None or found.label not in on.left_out
            if watched and not _covers(raised, found):
                raised.append(found)
    return [each for each in raised if each.day >= material.first]


def _next_day(
    epoch: _Epoch, exam: Exam, left: tuple[set[str], bool]
) -> tuple[set[str | None], list[Raised]]:
    """Go on by one day; return what has recovered, and what has raised an alarm."""
    day, version, held_to = exam.day, exam.version, epoch.held_to
    correlation = epoch.likeness.correlation(day)
    answers = _answers(exam, grouped=needs_day_bet(correlation))
    restart = np.array([label in left[0] for label in held_to.labels])
    memory = rules.for_bet(epoch.memory, answers, epoch.whole)
    epoch.memory, alarm, recovered = rules.next_day(memory, held_to, answers, restart, day)
    today = Today(day, version, correlation, left[1])
    epoch.whole = pool.next_day(epoch.whole, held_to.pool, answers, epoch.memory.armed, today)
    epoch.likeness.add(_rows(exam))
    over: set[str | None] = {held_to.labels[i] for i in np.flatnonzero(recovered)}
    found = [
        Raised(held_to.labels[i], version, day, float(epoch.memory.evidence[i]), held_to.threshold)
        for i in np.flatnonzero(alarm)
    ]
    if epoch.whole.recovered:
        over.add(None)
    if epoch.whole.alarm:
        threshold = epoch.whole.threshold or 0.0
        found.append(Raised(None, version, day, epoch.whole.evidence, threshold))
    return over, found


def _left_by_others(epochs: dict[str, _Epoch], name: str, day: date) -> tuple[set[str], bool]:
    """Return what the version examined before left to recover from: classes, and the whole."""
    since = epochs[name].memory.day
    others = [
        (each.memory.day, each)
        for other, each in epochs.items()
        if other != name and each.memory.day is not None and each.memory.day < day
    ]
    others = [(on, each) for on, each in others if since is None or on >= since]
    if not others:
        return set(), False
    _, last = max(others, key=lambda pair: pair[0])
    armed = {last.held_to.labels[i] for i in np.flatnonzero(last.memory.armed)}
    return armed, bool(last.whole is not None and last.whole.recovery_log_m)


def _close(raised: list[Raised], recovered: set[str | None], day: date, labels: set[str]) -> None:
    """Close what has recovered, and what the version examined does not know any more."""
    for each in raised:
        gone = each.label is not None and each.label not in labels
        if each.closed_on is None and (gone or (each.label in recovered and each.day < day)):
            each.closed_on = day


def _covers(raised: list[Raised], found: Raised) -> bool:
    """Say whether an alert of this class is open already, or closes on this very day."""
    return any(
        each.label == found.label and (each.closed_on is None or each.closed_on >= found.day)
        for each in raised
    )


def _in_order(version: Version, days: Iterable[DayCounts]) -> Iterator[Exam]:
    """Return counts in the order of a version's classes; what it does not know is left out."""
    place = {label: i for i, label in enumerate(version.labels)}
    order, known = np.empty(0, dtype=np.int64), None
    for each in days:
        # The order is looked up once: every day has the same classes, and mostly in the same order.
        if each.labels != known:
            known = each.labels
            at = {label: i for i, label in enumerate(known)}
            order = np.array([at.get(label, -1) for label in version.labels], dtype=np.int64)
        # A class without a row takes the 0 at the end.
        correct, total = (
            np.array([*counts, 0], dtype=np.int64)[order] for counts in (each.correct, each.total)
        )
        shared = {place[label]: found for label, found in each.shared.items() if label in place}
        yield Exam(version.version, each.day, correct, total, shared, each.shared)


def _answers(exam: Exam, *, grouped: bool) -> Answers:
    if not grouped:
        return Answers(exam.correct, exam.total, None)
    groups = in_groups(exam.correct, exam.total, exam.shared)
    return Answers(exam.correct, exam.total, groups)


def _rows(exam: Exam) -> list[ClassDay]:
    """Return the classes that have groups, as the estimate of their likeness takes them."""
    return [
        replace(_NO_DAY, day=exam.day, version=exam.version, label=label, shared=groups)
        for label, groups in exam.grouped.items()
    ]


_NO_DAY = ClassDay(date.min, "", "", 0, 0, {}, 0.0, 1.0)
