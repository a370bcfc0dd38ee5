"""How soon would we notice, where labels follow the evidence? Days to an alarm, foretold.

Under core.stats.allocation a class that has dropped gathers evidence, rises in rank, and gets
more labels the higher it stands; a constant rate would foretell twice the days. So the one class
is drawn by lot, many times over, against the others' evidence: that of healthy classes held to
these levels, which share the same labels, after a month. They are simulated first and taken as
they stand then; that the class takes labels from them is left out. Seeded: the same question has
the same answer. It holds for the bet on single images.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.allocation import allocate
from core.stats.evidence import checked_levels
from core.stats.how_soon import LONGEST_DAYS, LOWEST_ACCURACY, labels_for_wish
from core.stats.repetitions import (
    GAIN_OF_A_HIT,
    HEALTHY_DAYS,
    SEED,
    Crowd,
    Shared,
    Terms,
    gain_of_a_mistake,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

# Repetitions of all distinct classes together, and of each.
_REPETITIONS, _LEAST, _MOST = 24_000, 200, 2_000
_STEPS = (0.0025, 0.005, 0.01, 0.02, 0.04)
_COARSE_STEPS = (0.01, 0.02, 0.04)
_MOST_CASES = 120
# A wish is tried at many numbers of labels, so each is tried with fewer repetitions.
_QUICK = 3
_TRIED = np.unique(np.rint(1.5 ** np.arange(24)))
_HALF = 0.5


def days_to_notice_adaptive(
    reference: ArrayLike,
    accuracy: ArrayLike,
    drops: Sequence[float],
    labels: int,
    threshold: float,
) -> NDArray[np.float64]:
    """Return the median days until each drop of one class raises an alarm, (len(drops), K).

    Args:
        reference: Accuracies r the classes are held to, shape (K,), inside (0, 1).
        accuracy: What they answer right today, shape (K,).
        drops: What a class loses, each from 0 to 1; 0.15 for 15 points.
        labels: Labelled images a day, for all classes together.
        threshold: Evidence that raises an alarm.

    Returns:
        Whole days, at least 1; infinity where it would take more than a year. Levels and
        accuracies are rounded, to a quarter of a point or coarser, until they are few.

    Raises:
        StatisticsError: A level is out of range, or the shapes differ.
    """
    null = checked_levels(reference)
    before = np.asarray(accuracy, dtype=np.float64)
    if null.shape != before.shape or not np.all((before >= 0) & (before <= 1)):
        raise StatisticsError(f"accuracies {before.shape} must be 0 to 1, one for each level")
    if not all(0 <= drop <= 1 for drop in drops) or labels < 0 or not 0 < threshold < math.inf:
        raise StatisticsError(f"no answer for drops of {drops}, {labels} labels, {threshold}")
    cases, which, sizes = _distinct(null, before)
    terms = Terms(int(labels), float(threshold), LONGEST_DAYS)
    return _foretold(*_asked(cases, sizes), tuple(drops), terms)[:, which]


def labels_for_wish_adaptive(
    reference: ArrayLike, accuracy: ArrayLike, drop: float, within_days: int, threshold: float
) -> NDArray[np.float64]:
    """Return the labels a class and day with which a drop would be noticed soon enough, (K,).

    On the average of all K classes, among whom they follow the evidence. Read off between
    numbers that are tried, half as many again each; infinity where a plain draw of 10,000 of
    each class would not be enough. Levels and accuracies are taken to a point or coarser.

    Args:
        reference: As `days_to_notice_adaptive`; so are accuracy, drop and threshold.
        accuracy: What the classes answer right today, shape (K,).
        drop: What a class loses.
        within_days: Days in which the median class is to have been noticed, at least 1.
        threshold: Evidence that raises an alarm.

    Raises:
        StatisticsError: As `days_to_notice_adaptive`.
    """
    null = checked_levels(reference)
    before = np.asarray(accuracy, dtype=np.float64)
    cases, which, sizes = _distinct(null, before, _COARSE_STEPS)
    most = labels_for_wish(cases[:, 0], cases[:, 1], drop, within_days, threshold)
    possible = np.isfinite(most)
    if not possible.any():
        return np.full(null.shape, math.inf)
    asked = _asked(cases, sizes)

    def share(tried: int) -> NDArray[np.float64]:
        terms = Terms(int(_TRIED[tried]) * null.size, float(threshold), within_days, _QUICK)
        return np.where(possible, _share_noticed(*asked, drop, terms), 1.0)

    # A plain draw needs some three times as many; from there up, and then down.
    begun = min(int(np.searchsorted(_TRIED, np.median(most[possible]) / 3)), _TRIED.size - 1)
    shares = {begun: share(begun)}
    while shares[max(shares)].min() < _HALF and max(shares) < _TRIED.size - 1:
        shares[max(shares) + 1] = share(max(shares) + 1)
    while shares[min(shares)][possible].max() >= _HALF and min(shares) > 0:
        shares[min(shares) - 1] = share(min(shares) - 1)
    labels = _TRIED[min(shares) : max(shares) + 1]
    enough = _half_reached(labels, np.array([shares[i] for i in sorted(shares)]))
    return np.where(possible, enough, math.inf)[which]


def _half_reached(labels: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the labels at which half have noticed, between those tried; shares (tried, cases)."""
    rising = np.maximum.accumulate(shares, axis=0)
    first = (rising >= _HALF).argmax(axis=0)
    before: NDArray[np.intp] = np.maximum(first - 1, 0)
    each = np.arange(shares.shape[1], dtype=np.intp)
    low, high = rising[before, each], rising[first, each]
    part = np.where(high > low, (_HALF - low) / np.where(high > low, high - low, 1), 1.0)
    exponent = (1 - part) * np.log(labels[before]) + part * np.log(labels[first])
    return np.where(rising[-1] >= _HALF, np.ceil(np.exp(exponent) - 1e-9), math.inf)


def _asked(
    cases: NDArray[np.float64], sizes: NDArray[np.intp]
) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    """Return the classes as what a cache can be asked by."""
    return tuple((float(r), float(p)) for r, p in cases), tuple(sizes.tolist())


def _distinct(
    null: NDArray[np.float64], before: NDArray[np.float64], steps: Sequence[float] = _STEPS
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct (reference, accuracy), which each class has, and how many have it."""
    cases, which, sizes = np.empty((0, 2)), np.empty(0, np.intp), np.empty(0, np.intp)
    for step in steps:
        pairs = np.rint(np.column_stack([null, before]) / step) * step
        pairs[:, 0] = np.clip(pairs[:, 0], 0.005, 0.995)
        pairs[:, 1] = np.clip(pairs[:, 1], 0.0, 1.0)
        cases, which, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        if len(cases) <= _MOST_CASES:
            break
    return cases, which.ravel(), sizes


@lru_cache(maxsize=64)
def _foretold(
    cases: tuple[tuple[float, float], ...],
    sizes: tuple[int, ...],
    drops: tuple[float, ...],
    terms: Terms,
) -> NDArray[np.float64]:
    """Return the median days of each drop and distinct class, shape (drops, cases)."""
    rng, shared = np.random.default_rng(SEED), _shared(cases, sizes, terms)
    healthy, repeated = _healthy(cases, shared, rng)
    days = [
        _until_noticed(_dropped(healthy, cases, drop, shared), len(cases), repeated, shared, rng)
        for drop in drops
    ]
    return np.array(days)


@lru_cache(maxsize=256)
def _share_noticed(
    cases: tuple[tuple[float, float], ...], sizes: tuple[int, ...], drop: float, terms: Terms
) -> NDArray[np.float64]:
    """Return which share of each case has noticed the drop when the days are over, (cases,)."""
    rng, shared = np.random.default_rng(SEED), _shared(cases, sizes, terms)
    healthy, repeated = _healthy(cases, shared, rng)
    crowd, noticed = _dropped(healthy, cases, drop, shared), np.zeros(len(cases))
    for _ in range(terms.longest_days):
        alarm = crowd.live(shared.labels_of(crowd.evidence, rng), rng) >= terms.threshold
        noticed += np.bincount(crowd.of[alarm], minlength=len(cases))
        crowd = crowd.only(~alarm)
    return noticed / repeated


def _shared(cases: tuple[tuple[float, float], ...], sizes: tuple[int, ...], terms: Terms) -> Shared:
    by_rank = allocate(np.arange(sum(sizes), 0.0, -1.0), terms.labels)
    return Shared(by_rank, terms, standing(np.repeat(np.array(cases), sizes, axis=0), terms))


def _healthy(
    cases: tuple[tuple[float, float], ...], shared: Shared, rng: Generator
) -> tuple[Crowd, int]:
    """Return repetitions of each case after a healthy month, and how many of each there are."""
    null, accuracy = np.array(cases).T
    repeated = int(np.clip(_REPETITIONS // len(cases), _LEAST, _MOST)) // shared.terms.haste
    crowd = Crowd.begin(null, accuracy, np.repeat(np.arange(len(cases)), repeated))
    for _ in range(HEALTHY_DAYS):
        evidence = crowd.live(shared.labels_of(crowd.evidence, rng), rng)
        crowd.forget(evidence >= shared.terms.threshold)
    return crowd, repeated


def _dropped(
    healthy: Crowd, cases: tuple[tuple[float, float], ...], drop: float, shared: Shared
) -> Crowd:
    """Return the classes after their drop, without those that would never be noticed."""
    null, before = np.array(cases).T
    after = np.maximum(before - drop, LOWEST_ACCURACY)
    seen = _in_reach(null, after, int(shared.by_rank[0]), shared.terms.threshold)
    fallen = healthy.only(seen[healthy.of])
    fallen.accuracy = after[fallen.of]
    return fallen


def _in_reach(
    null: NDArray[np.float64], after: NDArray[np.float64], most: int, threshold: float
) -> NDArray[np.bool_]:
    """Say for which classes some alternative gathers the threshold in twice the longest time."""
    wrong = (1 - after)[:, None] * gain_of_a_mistake(null)
    gain = after[:, None] * GAIN_OF_A_HIT + wrong
    return 2 * LONGEST_DAYS * most * gain.max(axis=1) >= math.log(threshold)


def _until_noticed(
    crowd: Crowd, cases: int, repeated: int, shared: Shared, rng: Generator
) -> NDArray[np.float64]:
    """Return the first day on which half of each case's repetitions have noticed, (cases,)."""
    days, noticed = np.full(cases, math.inf), np.zeros(cases, dtype=np.int64)
    for day in range(1, shared.terms.longest_days + 1):
        if not crowd.of.size:
            break
        evidence = crowd.live(shared.labels_of(crowd.evidence, rng), rng)
        alarm = evidence >= shared.terms.threshold
        noticed += np.bincount(crowd.of[alarm], minlength=cases)
        settled = 2 * noticed >= repeated
        days[settled & np.isinf(days)] = day
        crowd = crowd.only(~alarm & ~settled[crowd.of])
    return days
