"""The model as a whole: has it sunk everywhere by a little, and come back?

Two points less in every class are invisible in any one of them. The pooled detector
(core.stats.pooled) bets on all classes together, for a fifth of the alarm budget, and a second one
shows recovery. Classes that have raised an alarm of their own are left out until they have
recovered: one cause is one alert. As for classes, the memory at the end of a day follows from the
one before it and the day's counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.stats.day_bet import Answers, bet, bet_on_recovery
from core.stats.evidence import RATIOS_UP, RECOVERY_THRESHOLD, alarm_threshold, empty_log_m
from core.stats.pooled import (
    POOLED_RATIOS,
    POOLED_SLACK,
    PooledReference,
    pooled_reference,
    split_budget,
)
from core.stats.proportions import LOWEST_REFERENCE
from core.store.model_days import ModelDay

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from numpy.typing import NDArray

    from core.store.registry import Version


@dataclass(frozen=True, slots=True)
class Pool:
    """What the classes are held to together.

    Attributes:
        watched: Which classes count, shape (K,).
        reference: What the reference images said of the watched ones.
        threshold: Evidence that raises an alarm.
    """

    watched: NDArray[np.bool_]
    reference: PooledReference
    threshold: float


@dataclass(frozen=True, slots=True)
class Today:
    """What is known of a day before its answers.

    Attributes:
        day: The day examined.
        version: The version examined.
        correlation: How alike images of a group are; the answers have groups when it matters.
        restart: Whether the version examined before left something to recover from.
    """

    day: date
    version: str
    correlation: float = 0.0
    restart: bool = False


def pool_of(version: Version, *, budget: float, left_out: Collection[str]) -> Pool | None:
    """Return what a version's classes are held to together.

    None where there is nothing to pool or to hold it against: a single class, or a version that
    came without reference counts.

    Args:
        version: The version, whose `reference` holds counts on images it was not trained on.
        budget: False alarms accepted per 30 days, of which the pool has a fifth.
        left_out: Classes that the owner does not want to hear of.
    """
    watched = np.array([label not in left_out for label in version.labels])
    counts = [version.reference.get(label, {}) for label in version.labels]
    correct = np.array([count.get("correct", 0) for count in counts], dtype=np.int64)[watched]
    total = np.array([count.get("n", 0) for count in counts], dtype=np.int64)[watched]
    if watched.sum() < 2 or not total.any():
        return None
    threshold = alarm_threshold(1, split_budget(budget, int(watched.sum())).pooled)
    return Pool(watched, pooled_reference(correct, total), threshold)


def next_day(
    before: ModelDay | None,
    held_to: Pool | None,
    answers: Answers,
    known_weak: NDArray[np.bool_],
    today: Today,
) -> ModelDay:
    """Return the whole at the end of one more day.

    Args:
        before: The version's examined day before; None when this is its first.
        held_to: What the classes are held to together; None judges nothing.
        answers: The day's answers.
        known_weak: Classes whose own alarm stands at the end of the day, shape (K,); leaving out
            a class for what it answered today only takes evidence away.
        today: What was known before them.
    """
    if held_to is None:
        return _unjudged(answers, today)
    whole, level = _pooled(answers, held_to, held_to.watched & ~known_weak)
    touched = bool(whole.total[0])
    log_m, evidence = bet(_memory(before), whole, level, POOLED_RATIOS)
    alarm = touched and float(evidence[0]) >= held_to.threshold
    upward = _recovery_memory(before, today.restart)
    shown, recovered = 0.0, False
    if upward is not None:
        lower = np.maximum(level - POOLED_SLACK, LOWEST_REFERENCE)
        # One good day is not enough, however many images it has.
        begun = bool(np.isfinite(upward).all())
        upward, found = bet_on_recovery(upward, whole, lower)
        shown = float(found[0])
        recovered = touched and begun and shown >= RECOVERY_THRESHOLD and not alarm
    if alarm:
        upward = empty_log_m(1, RATIOS_UP)
    kept = before.evidence if before is not None and not touched else float(evidence[0])
    return ModelDay(
        day=today.day,
        version=today.version,
        n=int(whole.total[0]),
        correct=int(whole.correct[0]),
        correlation=today.correlation,
        grouped=answers.groups is not None,
        reference=float(level[0]),
        threshold=held_to.threshold,
        evidence=kept,
        log_m=_packed(np.full_like(log_m, -np.inf) if alarm else log_m),
        alarm=alarm,
        recovery_evidence=shown,
        recovery_log_m=[] if upward is None or recovered else _packed(upward),
        recovered=recovered,
    )


def _unjudged(answers: Answers, today: Today) -> ModelDay:
    return ModelDay(
        day=today.day,
        version=today.version,
        n=int(answers.total.sum()),
        correct=int(answers.correct.sum()),
        correlation=today.correlation,
        grouped=answers.groups is not None,
        reference=None,
        threshold=None,
        evidence=0.0,
        log_m=_packed(empty_log_m(1, POOLED_RATIOS)),
        alarm=False,
        recovery_evidence=0.0,
        recovery_log_m=[],
        recovered=False,
    )


def _pooled(
    answers: Answers, held_to: Pool, counted: NDArray[np.bool_]
) -> tuple[Answers, NDArray[np.float64]]:
    """Return the counted classes' answers as those of one class, and what it is held to, (1,)."""
    correct, total = answers.correct * counted, answers.total * counted
    groups, mix = answers.groups, total
    if groups is not None:
        owner, right, images = (each[counted[groups[0]]] for each in groups)
        groups = (np.zeros_like(owner), right, images)
        # Each group is one bet, so the mix is that of groups.
        mix = np.bincount(owner, minlength=counted.size)
    level = held_to.reference.level(mix[held_to.watched])
    whole = Answers(np.array([correct.sum()]), np.array([total.sum()]), groups)
    return whole, np.array([float(level)])


def _memory(before: ModelDay | None) -> NDArray[np.float64]:
    """Return the alarm detector's memory; its weights are the same for groups and for images."""
    if before is None:
        return empty_log_m(1, POOLED_RATIOS)
    return np.array([before.log_m], dtype=np.float64)


def _recovery_memory(before: ModelDay | None, restart: bool) -> NDArray[np.float64] | None:
    """Return the recovery detector's memory; None when nothing has to recover."""
    if restart:
        return empty_log_m(1, RATIOS_UP)
    if before is None or not before.recovery_log_m:
        return None
    return np.array([before.recovery_log_m], dtype=np.float64)


def _packed(log_m: NDArray[np.float64]) -> list[float]:
    return log_m[0].tolist()
