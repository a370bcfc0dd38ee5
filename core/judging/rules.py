"""Which classes have sunk below their own reference, and which have come back.

Two detectors a class (core.stats.evidence): one against "as good as its reference", which raises
an alarm; and, from an alarm on, one against "still below r - 0.02", which shows recovery. Their
memory at the end of a day is a function of the memory before it and the day's counts, so days
that arrive late, in whatever order, are put in by replaying from there: the alarm side is a pure
function of the version's `class_days`, and bit-identical to having run in order. The recovery
side also depends on what the version examined before it left unrecovered, so versions are
replayed in the order of their days; see monitor.replay.

A new version starts from nothing. Nothing is decided here about flags; see
monitor.judgement.flagging.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from core.judging import pool
from core.judging.likeness import Likeness, groups_of
from core.judging.pool import Today
from core.stats.day_bet import Answers, bet, bet_on_recovery, changed_bet, needs_day_bet
from core.stats.evidence import (
    RATIOS,
    RATIOS_UP,
    RECOVERY_THRESHOLD,
    alarm_threshold,
    empty_log_m,
    step,
)
from core.stats.proportions import recovery_levels, reference_levels
from core.store import class_days, class_state, model_days
from core.store.class_state import ClassState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.judging.pool import Pool
    from core.store.class_days import ClassDay
    from core.store.model_days import ModelDay
    from core.store.registry import Version

# With fewer reference images than this, the reference is told to be uncertain.
CERTAIN_REFERENCE = 200


@dataclass(frozen=True, slots=True)
class Levels:
    """What the classes of a version are held to.

    Attributes:
        labels: The classes, in the version's order.
        reference: Accuracy below which a class has changed, shape (K,).
        images: Reference images behind it, shape (K,).
        recovery: Accuracy that must be exceeded again, shape (K,).
        threshold: Evidence that raises an alarm.
        pool: What all of them are held to together; None where that is not asked.
    """

    labels: tuple[str, ...]
    reference: NDArray[np.float64]
    images: NDArray[np.int64]
    recovery: NDArray[np.float64]
    threshold: float
    pool: Pool | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of K classes at the end of a day; None before the first.

    `armed` says which classes have something to recover from. Their recovery memory, and that of
    the others (minus infinity), stands in `recovery_log_m`.
    """

    day: date | None
    log_m: NDArray[np.float64]
    evidence: NDArray[np.float64]
    days: NDArray[np.int64]
    armed: NDArray[np.bool_]
    recovery_log_m: NDArray[np.float64]
    recovery_evidence: NDArray[np.float64]
    days_without_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one day said: evidence of the classes that raised an alarm, who recovered, the whole."""

    day: date
    alarms: dict[str, float]
    recovered: frozenset[str]
    whole: ModelDay


def levels(version: Version, *, budget: float, floor: float) -> Levels:
    """Return what the classes of a version are held to.

    Args:
        version: The version, whose `reference` holds counts on images it was not trained on.
        budget: False class-alarms accepted per 30 days over all classes.
        floor: What all are held to when the version came without any reference counts.
    """
    counts = [version.reference.get(label, {}) for label in version.labels]
    correct = np.array([count.get("correct", 0) for count in counts], dtype=np.int64)
    total = np.array([count.get("n", 0) for count in counts], dtype=np.int64)
    reference = reference_levels(correct, total) if total.any() else np.full(len(counts), floor)
    return Levels(
        tuple(version.labels),
        reference,
        total,
        recovery_levels(reference),
        alarm_threshold(len(counts), budget),
    )


def replay(connection: Connection, version: str, first: date, held_to: Levels) -> list[Verdict]:
    """Compute the detectors' memory from `first` on anew, and return each day's verdict.

    The day before is where it starts from, so everything later follows from the same rows
    whatever the order in which they arrived.

    Args:
        connection: Where to read `class_days` and to write `class_state`.
        version: The version whose days they are.
        first: The first day that may have changed.
        held_to: What the classes are held to.
    """
    class_state.lock(connection, version)
    memory = _remembered(class_state.before(connection, version, first), held_to.labels)
    whole = model_days.before(connection, version, first)
    likeness = Likeness.before(connection, version, first)
    verdicts: list[Verdict] = []
    days = class_days.of_version(connection, version, first)
    for day, group in groupby(days, key=lambda row: row.day):
        rows = list(group)
        correlation = likeness.correlation(day)
        answers = _answers(rows, held_to.labels, in_groups=needs_day_bet(correlation))
        left = class_state.left_by_others(connection, version, after=memory.day, day=day)
        restart = np.array([label in left for label in held_to.labels])
        memory = for_bet(memory, answers, whole)
        memory, alarm, recovered = next_day(memory, held_to, answers, restart, day)
        class_state.write(connection, _states(day, memory, held_to, version, (alarm, recovered)))
        left_whole = model_days.left_by_others(
            connection, version, after=whole.day if whole else None, day=day
        )
        today = Today(day, version, correlation, left_whole)
        whole = pool.next_day(whole, held_to.pool, answers, memory.armed, today)
        model_days.write(connection, [whole])
        likeness.add(rows)
        verdicts.append(
            Verdict(
                day,
                {held_to.labels[i]: float(memory.evidence[i]) for i in np.flatnonzero(alarm)},
                frozenset(held_to.labels[i] for i in np.flatnonzero(recovered)),
                whole,
            )
        )
    return verdicts


def next_day(
    memory: Memory,
    held_to: Levels,
    answers: Answers,
    restart: NDArray[np.bool_],
    day: date,
) -> tuple[Memory, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the memory after one more day, who raised an alarm, and who recovered; (K,) each.

    Args:
        memory: What was remembered before it.
        held_to: What the classes are held to.
        answers: The day's answers.
        restart: Classes that have something to recover from since the day before, (K,).
        day: The day.
    """
    touched = answers.total > 0
    log_m, evidence = bet(memory.log_m, answers, held_to.reference)
    alarm = touched & (evidence >= held_to.threshold)
    armed = memory.armed | restart
    upward = np.where(restart[:, None], -np.inf, memory.recovery_log_m)
    counted = armed & touched
    stepped, shown = _recovering(upward, counted, answers, held_to.recovery)
    # One good day is not enough, however many images it has.
    begun = np.isfinite(upward).all(axis=1)
    recovered = counted & begun & (shown >= RECOVERY_THRESHOLD) & ~alarm
    over = alarm | recovered
    kept = np.where(armed & ~restart, memory.recovery_evidence, 0.0)
    gap = (day - memory.day).days if memory.day else 1
    after = Memory(
        day=day,
        log_m=np.where(alarm[:, None], -np.inf, log_m),
        evidence=np.where(touched, evidence, memory.evidence),
        days=memory.days + touched,
        armed=(armed & ~recovered) | alarm,
        recovery_log_m=np.where(over[:, None], -np.inf, stepped),
        recovery_evidence=np.where(counted, shown, kept),
        days_without_labels=np.where(touched, 0, memory.days_without_labels + gap),
    )
    return after, alarm, recovered


def _recovering(
    log_m: NDArray[np.float64],
    counted: NDArray[np.bool_],
    answers: Answers,
    level: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bet on recovery of the classes that have something to recover from.

    They are few, and a class's bet does not depend on the others': the rest is left as it was, with
    no evidence.
    """
    stepped, shown = log_m.copy(), np.zeros(len(log_m))
    if counted.any():
        stepped[counted], shown[counted] = bet_on_recovery(
            log_m[counted], answers.of(counted), level[counted]
        )
    return stepped, shown


def for_bet(memory: Memory, answers: Answers, before: ModelDay | None) -> Memory:
    """Return the memory as a day's kind of bet goes on with it.

    Args:
        memory: What was remembered before it.
        answers: The day's answers, in groups where these are bets.
        before: The version's examined day before, which says what was a bet then; None without.
    """
    to_groups = answers.groups is not None
    if before is None or before.grouped == to_groups:
        return memory
    return replace(memory, log_m=changed_bet(memory.log_m, to_groups=to_groups))


def nothing_remembered(classes: int) -> Memory:
    """Return the memory with which a version begins."""
    return Memory(
        day=None,
        log_m=empty_log_m(classes),
        evidence=np.zeros(classes),
        days=np.zeros(classes, dtype=np.int64),
        armed=np.zeros(classes, dtype=np.bool_),
        recovery_log_m=empty_log_m(classes, RATIOS_UP),
        recovery_evidence=np.zeros(classes),
        days_without_labels=np.zeros(classes, dtype=np.int64),
    )


def change_day(
    days: Sequence[ClassDay] | Sequence[ModelDay],
    reference: float | Sequence[float],
    ratios: Sequence[float] = RATIOS,
) -> date:
    """Return the day on which a class most likely sank: the one whose bet would have won most.

    For a change on day s the likelihood ratio of the days since is the mean over the grid of
    prod_{t >= s} L_g(t); the evidence E is the sum of these over all s. The largest of them
    names the day. It is an estimate: a mild drop is dated to within some days.

    Args:
        days: The class's days since its detector last began, in order; the last has images. Or
            those of the whole.
        reference: Accuracy it was held to, on all days or on each.
        ratios: The detector's alternatives.
    """
    held_to = np.broadcast_to(np.asarray(reference, dtype=np.float64), len(days))
    seen = [i for i, day in enumerate(days) if day.n > 0]
    correct = np.array([days[i].correct for i in seen])
    total = np.array([days[i].n for i in seen])
    # From an empty state, a step gives the logarithm of L_g for each day, as if it were a class.
    log_m = empty_log_m(len(seen), ratios)
    won, _ = step(log_m, correct, total, held_to[seen], ratios)
    since = np.cumsum(won[::-1], axis=0)[::-1]
    return days[seen[int(np.argmax(np.logaddexp.reduce(since, axis=1)))]].day


def _answers(rows: list[ClassDay], labels: tuple[str, ...], *, in_groups: bool) -> Answers:
    by_label = {row.label: row for row in rows}
    found = [by_label.get(label) for label in labels]
    correct = np.array([row.correct if row else 0 for row in found], dtype=np.int64)
    total = np.array([row.n if row else 0 for row in found], dtype=np.int64)
    return Answers(correct, total, groups_of(rows, labels) if in_groups else None)


def _remembered(states: list[ClassState], labels: tuple[str, ...]) -> Memory:
    if not states:
        return nothing_remembered(len(labels))
    by_label = {state.label: state for state in states}
    rows = [by_label[label] for label in labels]
    nothing = [-np.inf] * len(RATIOS_UP)
    return Memory(
        day=rows[0].day,
        log_m=np.array([row.log_m for row in rows], dtype=np.float64),
        evidence=np.array([row.evidence for row in rows], dtype=np.float64),
        days=np.array([row.days for row in rows], dtype=np.int64),
        armed=np.array([bool(row.recovery_log_m) for row in rows]),
        recovery_log_m=np.array([row.recovery_log_m or nothing for row in rows], dtype=np.float64),
        recovery_evidence=np.array([row.recovery_evidence for row in rows], dtype=np.float64),
        days_without_labels=np.array([row.days_without_labels for row in rows], dtype=np.int64),
    )


def _states(
    day: date,
    memory: Memory,
    held_to: Levels,
    version: str,
    verdicts: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> list[ClassState]:
    alarm, recovered = verdicts
    return [
        ClassState(
            day=day,
            version=version,
            label=label,
            reference=float(held_to.reference[i]),
            threshold=held_to.threshold,
            evidence=float(memory.evidence[i]),
            log_m=memory.log_m[i].tolist(),
            days=int(memory.days[i]),
            alarm=bool(alarm[i]),
            recovery_evidence=float(memory.recovery_evidence[i]),
            recovery_log_m=memory.recovery_log_m[i].tolist() if memory.armed[i] else [],
            recovered=bool(recovered[i]),
            days_without_labels=int(memory.days_without_labels[i]),
        )
        for i, label in enumerate(held_to.labels)
    ]
