"""Every class as it stands after the last exam, and the numbers that follow from exams alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.stats.proportions import jeffreys
from core.store import class_days, class_history, flags, model_days, registry, standing
from core.store.class_days import Tally
from dashboard.pages.health.facts import Answers, Change, ClassReading

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

    from core.store.model_days import ModelDay
    from core.store.standing import ClassStanding
    from core.store.validations import Validation

RECENT_DAYS = 7

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Judged:
    """What follows from the exams and their judgement, whatever range is looked at.

    Attributes:
        mark: The state of the judged rows that it was read in; see core.store.judged.
        exam: The last finished exam.
        classes: Every class of its version, the worst first, without their days.
        answers: How the exam went.
        whole: All classes together at its end.
        flagged: Classes whose flag is open on its day, and a week before.
        accuracy: Share of all labelled images answered right in the seven days up to it, and in
            the seven before; None where none was judged.
    """

    mark: str
    exam: Validation
    classes: list[ClassReading]
    answers: Answers
    whole: ModelDay | None
    flagged: Change
    accuracy: Change | None

    def of(self, label: str) -> ClassReading | None:
        """Return one class; None where the version examined does not know it."""
        return next((each for each in self.classes if each.label == label), None)


def read(connection: Connection, exam: Validation, mark: str) -> Judged:
    """Return what follows from the exams and their judgement."""
    classes = _classes(connection, exam)
    return Judged(
        mark=mark,
        exam=exam,
        classes=classes,
        answers=_answers(connection, exam, classes),
        whole=model_days.at(connection, exam.version, exam.day),
        flagged=Change(_flagged(connection, exam.day), _flagged(connection, exam.day - _WEEK)),
        accuracy=_accuracy(connection, exam.day),
    )


def _classes(connection: Connection, exam: Validation) -> list[ClassReading]:
    """Return the classes of the version examined, the worst first, without their days."""
    labels = registry.get(connection, exam.version).labels
    stands = standing.standings(connection, exam.version, labels, exam.day)
    since = {each.label: _since(each, exam) for each in stands}
    counted = class_days.tally(connection, exam.version, since, exam.day)
    tallies = [counted.get(label) or Tally(label, 0, 0, since[label]) for label in labels]
    low, high = jeffreys([each.correct for each in tallies], [each.n for each in tallies])
    readings = [
        ClassReading(
            label=each.label,
            standing=each.standing,
            state=each.state,
            flag=each.flag,
            days=[],
            n=tallies[i].n,
            correct=tallies[i].correct,
            low=float(low[i]),
            high=float(high[i]),
            since=tallies[i].first,
        )
        for i, each in enumerate(stands)
    ]
    return sorted(readings, key=_badness)


def _since(stands: ClassStanding, exam: Validation) -> date:
    if stands.flag is not None and stands.flag.version == exam.version:
        return stands.flag.since
    return exam.day - timedelta(days=RECENT_DAYS - 1)


def _badness(reading: ClassReading) -> tuple[int, float, float, str]:
    accuracy = reading.correct / reading.n if reading.n else 1.0
    return (
        standing.WORST_FIRST[reading.standing],
        -reading.evidence_share,
        accuracy,
        reading.label,
    )


def _answers(connection: Connection, exam: Validation, classes: list[ClassReading]) -> Answers:
    counted = class_days.tally(
        connection, exam.version, {each.label: exam.day for each in classes}, exam.day
    )
    return Answers(
        n=sum(each.n for each in counted.values()),
        correct=sum(each.correct for each in counted.values()),
        unlabelled=len(classes) - sum(each.n > 0 for each in counted.values()),
    )


def _flagged(connection: Connection, day: date) -> int:
    """Return how many classes had their flag open at the end of a day."""
    found = flags.overlapping(connection, day, day)
    return sum(flag.kind == flags.CHANGE and flag.closed_on != day for flag in found)


def _accuracy(connection: Connection, last: date) -> Change | None:
    """Return the share of right answers in the last seven days, and in the seven before."""
    n, correct = class_history.total(connection, last - _WEEK + _DAY, last)
    if not n:
        return None
    n_before, before = class_history.total(connection, last - 2 * _WEEK + _DAY, last - _WEEK)
    return Change(correct / n, before / n_before if n_before else None)
