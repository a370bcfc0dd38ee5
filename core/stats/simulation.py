"""What the detectors would do: simulated classes, examined by the code that examines real ones.

Thirty healthy days, then one class of each run drops and stays down. The bets, thresholds,
levels and the spreading of labels are those of core.stats; only the answers are drawn by
lot. Runs are worked off side by side, in blocks that stay the same for the same plan, so a
seed gives the same result on any machine with the same numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from core.stats.allocation import allocate
from core.stats.day_bet import Answers, bet, needs_day_bet
from core.stats.evidence import RATIOS, alarm_threshold, empty_log_m
from core.stats.pooled import POOLED_RATIOS, pooled_reference, split_budget
from core.stats.proportions import reference_levels
from core.stats.simulated_classes import (
    HEALTHY_DAYS,
    Plan,
    accuracies_of_the_day,
    estimated_correlation,
    refuse_impossible,
    true_accuracies,
)
from core.stats.threshold_rules import RULES, ThresholdRules

if TYPE_CHECKING:
    from numpy.random import Generator, SeedSequence
    from numpy.typing import NDArray

_LEAST_ACCURACY = 0.01
_BLOCK = 100_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way of judging did.

    Attributes:
        name: Which way.
        false_alarms: Alarms of healthy classes per 30 days over all K classes, counted from
            day 31 on; with a single class on the first 30 days.
        false_alarms_error: Its standard error, as of a Poisson count.
        delays: Days from the drop to the first alarm of each run, from 1; infinity for none.
    """

    name: str
    false_alarms: float
    false_alarms_error: float
    delays: NDArray[np.float64] = field(repr=False)

    def delay(self, share: float) -> float:
        """Return the days after which this share of the runs had noticed."""
        return float(np.sort(self.delays)[max(math.ceil(share * self.delays.size) - 1, 0)])

    def delay_interval(self, share: float) -> tuple[float, float]:
        """Return where that delay would lie with endless runs, at 95 % confidence.

        Order statistics, by the binomial distribution of their ranks.
        """
        runs = self.delays.size
        ranks = cast("Any", stats).binom.ppf([0.025, 0.975], runs, share)
        low, high = (min(max(int(rank), 0), runs - 1) for rank in ranks)
        ordered = np.sort(self.delays)
        return float(ordered[low]), float(ordered[high])

    @property
    def never(self) -> int:
        """Runs that had not noticed when the days were over."""
        return int(np.isinf(self.delays).sum())


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a plan: the detector first, then the rules it is compared with.

    Attributes:
        plan: The plan.
        threshold: Evidence at which a class raised an alarm.
        correlation: The intra-class correlation as it was estimated.
        day_bet: Whether images of a day were one bet for that.
        outcomes: The detector's, and then one for each rule.
        pooled_false_alarms: Alarms of the pooled detector in 30 healthy days.
    """

    plan: Plan
    threshold: float
    correlation: float
    day_bet: bool
    outcomes: tuple[Outcome, ...]
    pooled_false_alarms: float


def simulate(
    plan: Plan,
    *,
    rules: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Carry out a plan.

    Args:
        plan: What is to be simulated.
        rules: Whether to judge the same answers by the threshold rules too.
        on_progress: Told how many days of how many have been simulated.

    Raises:
        StatisticsError: The plan is impossible.
    """
    refuse_impossible(plan)
    seeds = np.random.SeedSequence(plan.seed)
    alike = estimated_correlation(plan, np.random.default_rng(seeds.spawn(1)[0]))
    day_bet = needs_day_bet(alike)
    threshold = alarm_threshold(plan.classes, split_budget(plan.budget, plan.classes).classes)
    tally = _Tally(plan, 1 + len(RULES) * rules)
    done = 0
    for runs, seed in _blocks(plan, seeds):
        block = _Block(plan, runs, np.random.default_rng(seed), day_bet, threshold)
        others = ThresholdRules(block.reference) if rules else None
        tally.begin(block.dropped)
        for day in range(plan.days):
            correct, total = block.answers(day)
            alarms = [block.judge(correct, total)]
            alarms += others.update(correct, total) if others else []
            tally.count(day, alarms, block.pooled_alarms)
            done += runs
            if on_progress is not None:
                on_progress(done // plan.runs, plan.days)
    outcomes = tally.outcomes(("e-SR", *RULES))
    return Report(plan, threshold, alike, day_bet, outcomes, tally.pooled_false_alarms())


class _Block:
    """Some runs side by side: their classes, today's answers, and the detectors' memory."""

    def __init__(
        self, plan: Plan, runs: int, rng: Generator, day_bet: bool, threshold: float
    ) -> None:
        self._plan, self._rng, self._day_bet, self._threshold = plan, rng, day_bet, threshold
        shape = (runs, plan.classes)
        self._truth = true_accuracies(plan, shape, rng)
        self.reference, self._pools = self._held_to(shape)
        self.dropped = rng.integers(plan.classes, size=runs)
        self._log_m = empty_log_m(runs * plan.classes)
        self._evidence = np.zeros(shape)
        self._pooled_log_m = empty_log_m(runs, POOLED_RATIOS)
        pooled_budget = split_budget(plan.budget, plan.classes).pooled
        self._pooled_threshold = alarm_threshold(1, pooled_budget) if pooled_budget else math.inf
        self.pooled_alarms = 0

    def answers(self, day: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the day's right answers and images, shape (runs, K) each."""
        plan, truth = self._plan, self._truth
        if day == HEALTHY_DAYS:
            rows = np.arange(self.dropped.size)
            fallen = truth[rows, self.dropped] - (plan.base - plan.drop)
            truth[rows, self.dropped] = np.maximum(fallen, _LEAST_ACCURACY)
        total = np.full(truth.shape, plan.per_day)
        if plan.adaptive:
            total = allocate(self._evidence, plan.per_day * plan.classes)
        return self._rng.binomial(total, accuracies_of_the_day(plan, truth, self._rng)), total

    def judge(self, correct: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which classes raise an alarm today, shape (runs, K), and judge the pools."""
        self._judge_pools(correct, total)
        k, n, null = correct.ravel(), total.ravel(), self.reference.ravel()
        stepped, evidence = self._bet(self._log_m, k, n, null, RATIOS)
        alarm = (n > 0) & (evidence >= self._threshold)
        stepped[alarm] = -np.inf
        self._log_m, self._evidence = stepped, evidence.reshape(correct.shape)
        return alarm.reshape(correct.shape)

    def _judge_pools(self, correct: NDArray[np.int64], total: NDArray[np.int64]) -> None:
        null = np.array([pool(n) for pool, n in zip(self._pools, total, strict=True)])
        k, n = correct.sum(axis=1), total.sum(axis=1)
        stepped, evidence = self._bet(self._pooled_log_m, k, n, null, POOLED_RATIOS)
        alarm = evidence >= self._pooled_threshold
        stepped[alarm] = -np.inf
        self._pooled_log_m, self.pooled_alarms = stepped, int(alarm.sum())

    def _bet(
        self,
        log_m: NDArray[np.float64],
        k: NDArray[np.int64],
        n: NDArray[np.int64],
        null: NDArray[np.float64],
        ratios: tuple[float, ...],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seen = np.flatnonzero(n)
        groups = (seen, k[seen], n[seen]) if self._day_bet else None
        return bet(log_m, Answers(k, n, groups), null, ratios)

    def _held_to(
        self, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], list[Callable[[NDArray[np.int64]], float]]]:
        """Return the level of each class, and for each run what its pool is held to on a day."""
        plan = self._plan
        if not plan.heterogeneous:
            return np.full(shape, plan.base), [lambda _: plan.base] * shape[0]
        total = np.full(plan.classes, plan.reference_images)
        right = self._rng.binomial(total, self._truth)
        pools = [pooled_reference(row, total).level for row in right]
        levels = np.array([reference_levels(row, total) for row in right])
        return levels, [lambda n, level=level: float(level(n)) for level in pools]


class _Tally:
    """Counts false alarms, and the days until the true one, for each way of judging."""

    def __init__(self, plan: Plan, ways: int) -> None:
        self._plan = plan
        self._false = np.zeros(ways)
        self._pooled = 0
        self._delays: list[list[NDArray[np.float64]]] = [[] for _ in range(ways)]
        self._dropped: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def begin(self, dropped: NDArray[np.int64]) -> None:
        """Begin a block of runs, whose class of this number drops."""
        self._dropped = dropped
        for each in self._delays:
            each.append(np.full(dropped.size, math.inf))

    def count(self, day: int, alarms: list[NDArray[np.bool_]], pooled: int) -> None:
        """Count one day's alarms, shape (runs, K) for each way of judging."""
        healthy = day < HEALTHY_DAYS
        self._pooled += pooled * healthy
        rows = np.arange(self._dropped.size)
        for way, alarm in enumerate(alarms):
            of_dropped = alarm[rows, self._dropped]
            if healthy == (self._plan.classes == 1):
                self._false[way] += alarm.sum() - (0 if healthy else of_dropped.sum())
            if not healthy:
                delays = self._delays[way][-1]
                late = day - HEALTHY_DAYS + 1
                np.minimum(delays, np.where(of_dropped, late, math.inf), out=delays)

    def outcomes(self, names: tuple[str, ...]) -> tuple[Outcome, ...]:
        """Return what has been counted, scaled to 30 days of all K classes."""
        plan = self._plan
        watched = max(plan.classes - 1, 1)
        days = HEALTHY_DAYS if plan.classes == 1 else plan.days - HEALTHY_DAYS
        scale = 30 / days * plan.classes / watched / plan.runs
        return tuple(
            Outcome(
                name, float(false) * scale, math.sqrt(float(false)) * scale, np.concatenate(delays)
            )
            for name, false, delays in zip(names, self._false, self._delays, strict=False)
        )

    def pooled_false_alarms(self) -> float:
        """Return the pooled detector's alarms per 30 healthy days."""
        return self._pooled / self._plan.runs * 30 / HEALTHY_DAYS


def _blocks(plan: Plan, seeds: SeedSequence) -> Iterator[tuple[int, SeedSequence]]:
    """Divide the runs into blocks that fit the processor's cache, each with a seed."""
    size = max(_BLOCK // plan.classes, 1)
    sizes = [min(size, plan.runs - begun) for begun in range(0, plan.runs, size)]
    return zip(sizes, seeds.spawn(len(sizes)), strict=True)
