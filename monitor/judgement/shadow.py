"""The monitor watches itself: healthy classes that do not exist, judged like those that do.

For every class of the version there is a second one, simulated: each day it gets as many images as
the real one had, in groups of the same sizes, and each of them is answered right with exactly the
accuracy the class is held to; images of a group are as alike as the real ones are by the estimate.
These go through the same code as the real ones (core.judging.rules.next_day). Whatever alarm
they raise is false, so their rate is what the alarm budget promised, measured. The draws are seeded
by version and day: a replay gives the same bits, on the same NumPy.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from core.judging import rules
from core.judging.likeness import in_groups
from core.judging.rules import Memory
from core.stats.day_bet import Answers
from core.stats.rates import poisson_interval
from core.store import class_days, model_days, shadow_days
from core.store.shadow_days import ShadowDay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.random import Generator
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.judging.rules import Levels
    from core.store.class_days import ClassDay
    from core.store.model_days import ModelDay

KEPT_DAYS = 365  # days of the shadow that the realised rate is read off


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """How often the shadow's healthy classes raised an alarm.

    Attributes:
        days: Days of the shadow, at most 365.
        since: The first of them; None without any.
        false_alarms: Alarms raised, all of them false.
        per_30_days: The same as a rate; None without days.
        low: Lower end of its 95 % interval.
        high: Upper end; None without days.
        budget: What the owner accepts per 30 days, the mean over these days; None without days.
        within_budget: False only when the interval excludes the budget: the monitor is at fault.
    """

    days: int
    since: date | None
    false_alarms: int
    per_30_days: float | None
    low: float
    high: float | None
    budget: float | None
    within_budget: bool

    def to_text(self) -> str:
        """Return it as one line for people."""
        if self.per_30_days is None or self.high is None or self.budget is None:
            return "self-check: no shadow day yet"
        verdict = "within" if self.within_budget else "ABOVE"
        return (
            f"self-check: {self.false_alarms} false alarms in {self.days} days of simulated "
            f"healthy classes, {self.per_30_days:.2g} per 30 days (95 %: {self.low:.2g} to "
            f"{self.high:.2g}), {verdict} the budget of {self.budget:.2g}"
        )


def replay(
    connection: Connection, version: str, first: date, held_to: Mapping[date, Levels]
) -> list[ShadowDay]:
    """Simulate a version's healthy classes from `first` on anew, and return its days.

    Args:
        connection: Where to read `class_days` and `model_days`, and to write `shadow_days`.
        version: The version.
        first: The first day that may have changed.
        held_to: What the classes are held to on each of the days; others are left out.
    """
    known = shadow_days.before(connection, version, first)
    since = known.day if known else first
    wholes = {each.day: each for each in model_days.from_day(connection, version, since)}
    memory: Memory | None = None
    days: list[ShadowDay] = []
    for day, group in groupby(
        class_days.of_version(connection, version, first), key=lambda row: row.day
    ):
        if day not in held_to:
            continue
        levels = held_to[day]
        if memory is None:
            fresh = rules.nothing_remembered(len(levels.labels))
            memory = fresh if known is None else unpacked(fresh, known)
        answers = answer(levels, list(group), wholes.get(day), version=version, day=day)
        before = wholes.get(memory.day) if memory.day else None
        memory, alarms = next_day(rules.for_bet(memory, answers, before), levels, answers, day)
        # The other way round from core.stats.evidence.alarm_threshold.
        budget = 30 * len(levels.labels) / levels.threshold
        days.append(ShadowDay(day, version, len(levels.labels), budget, alarms, packed(memory)))
    shadow_days.write(connection, days)
    return days


def answer(
    held_to: Levels, rows: Sequence[ClassDay], whole: ModelDay | None, *, version: str, day: date
) -> Answers:
    """Return what healthy classes answer on a day, in groups where the real ones are judged so.

    Images that belong together are as alike as the real ones were found to be in the thirty days
    before: their common accuracy is drawn from Beta(r s, (1 - r) s), s = 1 / correlation - 1.

    Args:
        held_to: What the classes are held to, and answer with.
        rows: The real classes of the day, of which only the numbers of images count.
        whole: What the day was judged by: how alike images are; None where that is not known.
        version: The version; with the day, it seeds the draw.
        day: The day.
    """
    digest = hashlib.sha256(f"{version}/{day}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    total, sizes = _images(rows, held_to.labels)
    # Those that stand alone first: where all do, the draw is one of each class.
    alone = total - np.array([sum(each) for each in sizes])
    correct = rng.binomial(alone, held_to.reference)
    shared: dict[int, list[list[int]]] = {}
    for i, each in enumerate(sizes):
        if each:
            right = _alike(each, float(held_to.reference[i]), whole, rng)
            correct[i] += sum(right)
            shared[i] = [[n, k] for n, k in zip(each, right, strict=True)]
    grouped = whole is not None and whole.grouped
    return Answers(correct, total, in_groups(correct, total, shared) if grouped else None)


def _images(
    rows: Sequence[ClassDay], labels: tuple[str, ...]
) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Return each class's images, and the sizes of its groups; whatever was answered."""
    by_label = {row.label: row for row in rows}
    found = [by_label.get(label) for label in labels]
    total = np.array([row.n if row else 0 for row in found], dtype=np.int64)
    return total, [sorted(n for n, _ in row.shared) if row else [] for row in found]


def _alike(sizes: list[int], accuracy: float, whole: ModelDay | None, rng: Generator) -> list[int]:
    """Return the right answers of groups of these sizes."""
    alike = whole.correlation if whole else 0.0
    if alike >= 1:
        return [
            n * int(right)
            for n, right in zip(sizes, rng.binomial(1, accuracy, len(sizes)), strict=True)
        ]
    shares = np.full(len(sizes), accuracy)
    if alike > 0:
        strength = 1 / alike - 1
        shares = rng.beta(accuracy * strength, (1 - accuracy) * strength, len(sizes))
    return rng.binomial(sizes, shares).tolist()


def next_day(memory: Memory, held_to: Levels, answers: Answers, day: date) -> tuple[Memory, int]:
    """Return the shadow's memory after one more day, and how many false alarms it raised."""
    nothing = np.zeros(answers.total.size, dtype=np.bool_)
    after, alarm, _ = rules.next_day(memory, held_to, answers, nothing, day)
    return after, int(alarm.sum())


def self_check(connection: Connection, until: date) -> SelfCheck:
    """Return how often the shadow raised an alarm in the year up to `until`."""
    seen = shadow_days.tally(connection, until - timedelta(days=KEPT_DAYS - 1), until)
    if not seen.days:
        return SelfCheck(0, None, 0, None, 0.0, None, None, within_budget=True)
    months = seen.days / 30
    low, high = poisson_interval(seen.false_alarms, months)
    budget = seen.allowed / months
    return SelfCheck(
        seen.days,
        seen.first,
        seen.false_alarms,
        seen.false_alarms / months,
        low,
        high,
        budget,
        within_budget=low <= budget,
    )


def packed(memory: Memory) -> bytes:
    """Return a memory's arrays as npz: the same bytes for the same bits."""
    arrays: dict[str, Any] = {
        each.name: getattr(memory, each.name)
        for each in fields(memory)
        if isinstance(getattr(memory, each.name), np.ndarray)
    }
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpacked(fresh: Memory, known: ShadowDay) -> Memory:
    """Return the memory that `packed` kept; what it did not keep is as in a fresh one."""
    with np.load(io.BytesIO(known.memory), allow_pickle=False) as kept:
        return replace(fresh, day=known.day, **{name: kept[name] for name in kept.files})
