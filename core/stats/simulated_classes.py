"""Simulated classes: how often each is right, in general and on a given day.

The world that core.stats.simulation puts the detectors into. Classes are equal or not,
their images of one day independent or alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.day_bet import intraclass_correlation

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

HEALTHY_DAYS = 30
_PILOT_CLASSES, _PILOT_DAYS = 500, 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be simulated.

    Attributes:
        classes: Number of classes K.
        per_day: Labelled images a class and day; adaptive draws spread K times as many.
        base: Accuracy of a healthy class; the mean of them where they are unequal.
        drop: Accuracy of the class that drops, from base; an unequal one loses as many points.
        heterogeneous: Classes are unequal, and held to levels estimated from reference
            images; otherwise all have `base`, and are held to exactly that.
        reference_images: Images behind each estimated level.
        unlikeness: How far unequal classes are apart, as the share of all variance that is
            between classes; 0.015 spreads them by 2.7 points around 0.95.
        correlation: How alike the outcomes of one class on one day are.
        adaptive: Half of the labels go to the classes with the most evidence.
        budget: False alarms accepted per 30 days, over all classes and the pool.
        days: Days in all, of which 30 are healthy.
        runs: Repetitions.
        seed: Of the random numbers.
    """

    classes: int
    per_day: int = 10
    base: float = 0.95
    drop: float = 0.80
    heterogeneous: bool = False
    reference_images: int = 50
    unlikeness: float = 0.015
    correlation: float = 0.0
    adaptive: bool = False
    budget: float = 0.3
    days: int = 60
    runs: int = 300
    seed: int = 0


def true_accuracies(plan: Plan, shape: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    """Return how often each class is right while it is healthy, shape (runs, K)."""
    if not plan.heterogeneous:
        return np.full(shape, plan.base)
    strength = 1 / plan.unlikeness - 1
    return rng.beta(plan.base * strength, (1 - plan.base) * strength, shape)


def accuracies_of_the_day(
    plan: Plan, truth: NDArray[np.float64], rng: Generator
) -> NDArray[np.float64]:
    """Return the accuracy of each class on one day: a beta-binomial where images are alike."""
    if plan.correlation == 0:
        return truth
    strength = 1 / plan.correlation - 1
    inside = np.clip(truth, 1e-9, 1 - 1e-9)
    return rng.beta(inside * strength, (1 - inside) * strength)


def estimated_correlation(plan: Plan, rng: Generator) -> float:
    """Return the correlation as an owner would know it: from days of healthy classes."""
    classes = min(plan.classes, _PILOT_CLASSES)
    truth = true_accuracies(plan, (1, classes), rng)
    accuracy = [accuracies_of_the_day(plan, truth, rng) for _ in range(_PILOT_DAYS)]
    total = np.full(_PILOT_DAYS * classes, plan.per_day)
    correct = rng.binomial(total, np.concatenate(accuracy).ravel())
    return intraclass_correlation(correct, total, np.tile(np.arange(classes), _PILOT_DAYS))


def refuse_impossible(plan: Plan) -> None:
    """Raise a StatisticsError where a plan cannot be carried out."""
    if min(plan.classes, plan.per_day, plan.runs, plan.reference_images) < 1:
        raise StatisticsError("a simulation needs a class, an image a day and a run at least")
    if plan.days <= HEALTHY_DAYS:
        raise StatisticsError(f"{plan.days} days; the drop comes after {HEALTHY_DAYS} healthy ones")
    for name in ("base", "drop", "unlikeness"):
        if not 0 < getattr(plan, name) < 1:
            raise StatisticsError(
                f"{name} is {getattr(plan, name)}; it must lie inside 0 and 1, as a share"
            )
    if not 0 <= plan.correlation < 1:
        raise StatisticsError(f"correlation is {plan.correlation}; it must be 0 or more, below 1")
