"""Holds "96 % sure" against the truth: simulated classes that fall, and what is said of them.

Run it with: python -m tests.bench.certainty

Fifteen unequal classes of 95 % on average, ten labelled images each a day, held to levels that were
estimated from reference images, at the usual alarm budget. Each falls once a year on average, as is
assumed, or three times as seldom or as often; by how much, the detector's own weights say. Whatever
raises an alarm is asked how sure it is, by that day's evidence and by the largest of the two weeks
after it. The table of docs/dashboard.md says how many had fallen.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from core.stats.evidence import RATIOS, WEIGHTS, alarm_threshold, certainty, empty_log_m, step
from core.stats.pooled import split_budget
from core.stats.proportions import reference_levels
from core.stats.simulated_classes import Plan, true_accuracies

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAYS, LATER = 365, 14
OFTEN = {1 / 3: "once in three years", 1.0: "once a year", 3.0: "three times a year"}
_MODELS = 2000
_EDGES = (0.0, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Alarms:
    """The first alarm of each class that raised one, shape (n,) each.

    Attributes:
        fallen: Whether the class had fallen by then.
        at_once: How sure that was said to be on the day.
        later: How sure by the largest evidence until two weeks later.
    """

    fallen: NDArray[np.bool_]
    at_once: NDArray[np.float64]
    later: NDArray[np.float64]


def watch(models: int, often: float) -> Alarms:
    """Watch models for a year.

    Args:
        models: How many, of fifteen classes each.
        often: How many times a year a class falls.
    """
    plan = Plan(classes=15, heterogeneous=True, reference_images=200)
    rng = np.random.default_rng(7)
    truth = true_accuracies(plan, (models, plan.classes), rng)
    images = np.full(plan.classes, plan.reference_images)
    level = np.array([reference_levels(rng.binomial(images, row), images) for row in truth]).ravel()
    healthy = truth.ravel()
    classes = healthy.size
    threshold = alarm_threshold(plan.classes, split_budget(plan.budget, plan.classes).classes)
    begins = rng.geometric(often / 365.25, classes)
    weak = healthy * rng.choice(RATIOS, classes, p=np.array(WEIGHTS))
    log_m, total = empty_log_m(classes), np.full(classes, plan.per_day)
    alarm, first, largest = np.zeros((3, classes))
    for day in range(1, DAYS + 1):
        right = rng.binomial(total, np.where(begins <= day, weak, healthy))
        log_m, evidence = step(log_m, right, total, level)
        raises = evidence >= threshold
        new = raises & (alarm == 0)
        alarm[new], first[new] = day, evidence[new]
        recent = (alarm > 0) & (day <= alarm + LATER)
        largest[recent] = np.maximum(largest, evidence)[recent]
        log_m[raises] = -np.inf
    seen = (alarm > 0) & (alarm <= DAYS - LATER)
    at_once, later = (
        np.array([certainty(each) for each in kind[seen]]) for kind in (first, largest)
    )
    return Alarms(begins[seen] <= alarm[seen], at_once, later)


def main() -> None:
    """Print the table."""
    lines = [
        "| said on the day of the alarm | " + " | ".join(OFTEN.values()) + " |",
        "|---|" + "---|" * len(OFTEN),
    ]
    watched = [watch(_MODELS, often) for often in OFTEN]
    for when in ("at_once", "later"):
        for low, high in pairwise(_EDGES):
            cells = [_cell(each.fallen, getattr(each, when), low, high) for each in watched]
            lines.append(f"| {100 * low:g} to {100 * high:g} % | " + " | ".join(cells) + " |")
        if when == "at_once":
            lines.append("| **two weeks later** |" + " |" * len(OFTEN))
    sys.stdout.write("\n".join(lines) + "\n")


def _cell(fallen: NDArray[np.bool_], said: NDArray[np.float64], low: float, high: float) -> str:
    inside = (said >= low) & (said < high)
    return f"{100 * fallen[inside].mean():.1f} % of {inside.sum():,}" if inside.any() else ""


if __name__ == "__main__":
    main()
