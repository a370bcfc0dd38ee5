"""Every class as it stands after the last exam, and what else follows from exams alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.shown import summary
from core.stats.proportions import jeffreys
from core.store import class_days, model_days, registry, standing
from core.store.class_days import Tally
from dashboard.pages.health.facts import Answers, ClassReading

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

    from core.store.model_days import ModelDay
    from core.store.standing import ClassStanding
    from core.store.validations import Validation

RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Judged:
    """What follows from the exams and their judgement, whatever range is looked at.

    Attributes:
        mark: The state of the judged rows that it was read in; see core.store.judged.
        exam: The last finished exam.
        classes: Every class of its version, the worst first, without their days.
        answers: How the exam went.
        whole: All classes together at its end.
        numbers: The numbers on top, as far as they follow from exams.
    """

    mark: str
    exam: Validation
    classes: list[ClassReading]
    answers: Answers
    whole: ModelDay | None
    numbers: summary.Judged

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
        numbers=summary.judged(connection, exam.day),
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
