"""What the counts say beyond alarms: how soon a drop would be noticed, who is below the floor.

Read from the counts whenever it is asked for, and kept nowhere: the epoch's counts give the weak
list, and the labels of the last weeks the days that a drop would take to be noticed. Nothing here
opens a flag or sends an alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from core.judging.likeness import in_groups
from core.stats.day_bet import Answers, bet
from core.stats.evidence import empty_log_m
from core.stats.how_soon import DROPS
from core.stats.proportions import posterior_means
from core.stats.weak_list import FALSE_SHARE, epoch_of, weak_list
from core.store import class_days, model_days
from monitor.forecast.foresight import Given, Wish, days_until_noticed, finite, labels_wished, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.judging.rules import Levels
    from core.store.registry import Version

# The labelling rate is the mean over this many days.
RATE_DAYS = 28
# What an owner would wish for: a drop of 15 points, noticed within three days.
USUAL_WISH = Wish()
_EARLIEST = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Pooled:
    """All classes together: held to what, and the evidence of a drop.

    Attributes:
        n: Labelled images of the last examined day.
        correct: How many of them were answered right.
        reference: Accuracy that this day's mix of images is held to.
        evidence: Evidence at its end.
        threshold: Evidence that is an alarm, at a fifth of the alarm budget.
        since_alarm: Whether an alarm was raised and recovery has not been shown yet.
        correlation: How alike images that belong together were in the month before.
        one_bet_a_group: Whether such images were one bet.
    """

    n: int
    correct: int
    reference: float
    evidence: float
    threshold: float
    since_alarm: bool
    correlation: float
    one_bet_a_group: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the counts of a version say beyond alarms.

    Attributes:
        labels: The classes, in the version's order.
        labels_a_day: Labelled images a day over the last four weeks, shape (K,).
        days: Median days to notice a drop of each of DROPS, shape (3, K); infinity for never.
        usual: Labels a class and day to notice 15 points within three days, shape (K,).
        wish: What is wished for instead; as a rule that very thing.
        wished: Labels a class and day for it, shape (K,).
        weak: Classes below the floor, the weakest first; at most 5 % of them by chance.
        pooled: All classes together; None for a single class, or without any exam.
    """

    labels: tuple[str, ...]
    labels_a_day: NDArray[np.float64]
    days: NDArray[np.float64]
    usual: NDArray[np.float64]
    wish: Wish
    wished: NDArray[np.float64]
    weak: tuple[str, ...]
    pooled: Pooled | None

    def of_class(self, i: int) -> dict[str, Any]:
        """Return one class's part as JSON would hold it; None stands for never."""
        return {
            "labels_a_day": round(float(self.labels_a_day[i]), 2),
            "days_to_notice": {
                f"{round(100 * drop)} points": finite(self.days[row, i])
                for row, drop in enumerate(DROPS)
            },
            "labels_a_day_for_15_points_in_3_days": finite(self.usual[i]),
            "labels_a_day_for_wish": finite(self.wished[i]),
        }

    def of_wish(self) -> dict[str, Any]:
        """Return what the wish costs over all classes, as JSON would hold it."""
        return told(self.wish, self.wished)


def outlook(  # noqa: PLR0913 - whose counts, held to what, and what is asked of them
    connection: Connection,
    version: Version,
    held_to: Levels,
    day: date,
    *,
    floor: float,
    adaptive: bool = False,
    wish: Wish = USUAL_WISH,
) -> Outlook:
    """Return what a version's counts up to `day` say beyond alarms.

    Args:
        connection: Where the counts are.
        version: The version.
        held_to: What its classes are held to.
        day: The last day that counts.
        floor: Accuracy asked of every class.
        adaptive: Whether labels follow the evidence.
        wish: What the owner would like to notice, and how soon.
    """
    labels = held_to.labels
    known = class_days.tally(connection, version.version, dict.fromkeys(labels, _EARLIEST), day)
    begun = min((each.first for each in known.values()), default=day)
    rate = _labels_a_day(connection, version.version, labels, max(begun, _back(day)), day)
    accuracy = _accuracy_today(version, held_to)
    given = Given(held_to.reference, accuracy, rate, held_to.threshold, adaptive)
    usual = labels_wished(given, USUAL_WISH)
    wished = usual if wish == USUAL_WISH else labels_wished(given, wish)
    epoch = begun + timedelta(days=epoch_of((day - begun).days))
    answers = _answers_by_day(connection, version.version, labels, epoch, day)
    return Outlook(
        labels=labels,
        labels_a_day=rate,
        days=days_until_noticed(given),
        usual=usual,
        wish=wish,
        wished=wished,
        weak=tuple(labels[i] for i in below_floor(answers, floor)),
        pooled=_pooled(connection, version.version, day),
    )


def below_floor(days: Sequence[Answers], floor: float) -> NDArray[np.intp]:
    """Return the classes on the weak list, the weakest first.

    Args:
        days: What the classes answered on each day of the epoch so far; all of them in groups
            where images that belong together are one bet.
        floor: Accuracy asked of every class.
    """
    if not days:
        return np.array([], dtype=np.intp)
    classes = days[0].total.size
    log_m, evidence, level = empty_log_m(classes), np.zeros(classes), np.full(classes, floor)
    for answers in days:
        log_m, evidence = bet(log_m, answers, level)
    correct = np.sum([answers.correct for answers in days], axis=0)
    total = np.sum([answers.total for answers in days], axis=0)
    return weak_list(evidence, correct, total, FALSE_SHARE)


def _pooled(connection: Connection, version: str, day: date) -> Pooled | None:
    whole = model_days.at(connection, version, day)
    if whole is None or whole.reference is None or whole.threshold is None:
        return None
    return Pooled(
        n=whole.n,
        correct=whole.correct,
        reference=whole.reference,
        evidence=whole.evidence,
        threshold=whole.threshold,
        since_alarm=bool(whole.recovery_log_m),
        correlation=whole.correlation,
        one_bet_a_group=whole.grouped,
    )


def _reference_counts(
    version: Version, held_to: Levels
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts = [version.reference.get(label, {}) for label in held_to.labels]
    return np.array([each.get("correct", 0) for each in counts]), held_to.images


def _accuracy_today(version: Version, held_to: Levels) -> NDArray[np.float64]:
    """Return what the reference images say; where there are none, the level itself."""
    correct, total = _reference_counts(version, held_to)
    return posterior_means(correct, total) if total.any() else held_to.reference


def _labels_a_day(
    connection: Connection, version: str, labels: tuple[str, ...], first: date, last: date
) -> NDArray[np.float64]:
    recent = class_days.tally(connection, version, dict.fromkeys(labels, first), last)
    images = [recent[label].n if label in recent else 0 for label in labels]
    return np.array(images) / ((last - first).days + 1)


def _answers_by_day(
    connection: Connection, version: str, labels: tuple[str, ...], first: date, last: date
) -> list[Answers]:
    """Return what was answered on each examined day, in groups where the last day is judged so.

    All days alike, also those before it was known: a first day taken image by image could list a
    class for the whole epoch.
    """
    place = {label: i for i, label in enumerate(labels)}
    whole = model_days.at(connection, version, last)
    days: list[Answers] = []
    for counted in class_days.counts(connection, version, first, last):
        # A label that the version does not know has no place, and gets one that is cut off.
        places = [place.get(name, len(labels)) for name in counted.labels]
        counts = np.zeros((2, len(labels) + 1), dtype=np.int64)
        counts[:, places] = counted.correct, counted.total
        correct, total = counts[:, :-1]
        shared = {place[name]: each for name, each in counted.shared.items() if name in place}
        groups = in_groups(correct, total, shared) if whole and whole.grouped else None
        days.append(Answers(correct, total, groups))
    return days


def _back(day: date) -> date:
    return day - timedelta(days=RATE_DAYS - 1)
