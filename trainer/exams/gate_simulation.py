"""The gate on simulated challengers: how often is each kind let in, and does waiting settle it?

Two challengers sit the exam by the rule that the gate uses (trainer.exams.gate_rule). One is as
good as the champion everywhere and better on the flagged class; the other is the same but for one
class, on which it is worse by some points. Those told "more images" get exactly as many as were
named, and are examined again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import StatisticsError
from trainer.exams.gate_rule import MORE_IMAGES, PROMOTE, REFUSE, Earlier, Exam, Terms

# So many exams at a time: arrays of (exams, classes).
_CHUNK = 5_000

_Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes:
        classes: K, at least 2; the first is flagged.
        per_class: Gate images of a class at the first look.
        differing: Share of a class's images on which only one of the two is right.
        drop: By how much the worse challenger is worse on one class, as a share.
        repair: By how much both are better on the flagged class, likewise.
        margin: Drop per class that the gate must rule out.
        overall_margin: Drop over all images that it must rule out.
        looks: Exams of one challenger, at most.
        runs: Challengers of each kind.
        seed: Of the random numbers.

    Raises:
        StatisticsError: A value is out of bounds.
    """

    classes: int = 15
    per_class: int = 200
    differing: float = 0.03
    drop: float = 0.05
    repair: float = 0.30
    margin: float = 0.05
    overall_margin: float = 0.01
    looks: int = 5
    runs: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("classes", 2), ("per_class", 1), ("looks", 1), ("runs", 1)):
            if getattr(self, name) < least:
                raise StatisticsError(
                    f"{name} is {getattr(self, name)}; it must be {least} or more"
                )
        for name in ("differing", "drop", "repair", "margin", "overall_margin"):
            if not 0 < getattr(self, name) < 1:
                raise StatisticsError(
                    f"{name} is {getattr(self, name)}; it must lie inside 0 and 1, as a share"
                )
        if self.differing + max(self.drop, self.repair) > 1:
            raise StatisticsError(
                f"differing {self.differing} and drop {self.drop} or repair {self.repair} "
                "are more than all images; make one smaller"
            )


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of challengers of one kind; shares of all of them unless said otherwise.

    Attributes:
        promoted: Let in at the first look.
        refused: Refused at it.
        more_images: Told to wait for more.
        images_named: Mean images named to those, over all classes; None where there are none.
        settled: Share of those that the images named settled, one way or the other; likewise.
        promoted_in_all: Let in at any look.
        refused_in_all: Refused at any.
    """

    promoted: float
    refused: float
    more_images: float
    images_named: float | None
    settled: float | None
    promoted_in_all: float
    refused_in_all: float


@dataclass(frozen=True, slots=True)
class Report:
    """The plan and both kinds of challenger.

    Attributes:
        plan: What was simulated.
        good: As good everywhere, and better on the flagged class.
        worse: Worse on one class.
    """

    plan: Plan
    good: Fate
    worse: Fate

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        return asdict(self)


def simulate(plan: Plan, on_progress: Callable[[int, int], None] | None = None) -> Report:
    """Examine both kinds of challenger, `plan.runs` of each.

    Args:
        plan: What.
        on_progress: Told how many exams of how many are done.
    """
    fates: list[Fate] = []
    for number, drop in enumerate((0.0, plan.drop)):
        rng = np.random.default_rng([plan.seed, number])
        gained, lost = _shares(plan, drop)
        parts: list[NDArray[np.float64]] = []
        for begin in range(0, plan.runs, _CHUNK):
            runs = min(_CHUNK, plan.runs - begin)
            parts.append(_fate(plan, _Draw(rng, gained, lost), runs))
            if on_progress:
                on_progress(number * plan.runs + begin + runs, 2 * plan.runs)
        fates.append(_summed(np.sum(parts, axis=0), plan.runs))
    return Report(plan, *fates)


def _shares(plan: Plan, drop: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the chances that only the challenger, and only the champion, is right, (K,)."""
    gained = np.full(plan.classes, plan.differing / 2)
    lost = gained.copy()
    gained[0] += plan.repair
    lost[-1] += drop
    return gained, lost


@dataclass(frozen=True, slots=True)
class _Draw:
    """Where new gate images come from."""

    rng: np.random.Generator
    gained: NDArray[np.float64]
    lost: NDArray[np.float64]

    def __call__(self, images: _Counts) -> tuple[_Counts, _Counts]:
        lost = self.rng.binomial(images, self.lost)
        return self.rng.binomial(images - lost, self.gained / (1 - self.lost)), lost


def _fate(plan: Plan, draw: _Draw, runs: int) -> NDArray[np.float64]:
    """Return the sums that a Fate is made of, over so many challengers."""
    n = np.full((runs, plan.classes), plan.per_class, dtype=np.int64)
    gained, lost = draw(n)
    sums = np.zeros(7)
    earlier: Earlier | None = None
    for look in range(1, plan.looks + 1):
        terms = Terms(plan.margin, plan.overall_margin, look)
        exam = Exam(n, gained, lost, [0], terms, earlier)
        decision = exam.decision
        waits = decision == MORE_IMAGES
        promoted, refused = (decision == PROMOTE).sum(), (decision == REFUSE).sum()
        more = exam.missing[waits]
        sums[5:] += promoted, refused
        if look == 1:
            sums[:4] = promoted, refused, waits.sum(), more.sum()
        elif look == 2:
            sums[4] = promoted + refused
        if not waits.any():
            break
        earlier = exam.remembered(waits)
        new_gained, new_lost = draw(more)
        n, gained, lost = n[waits] + more, gained[waits] + new_gained, lost[waits] + new_lost
    return sums


def _summed(sums: NDArray[np.float64], runs: int) -> Fate:
    promoted, refused, waits, named, settled, all_promoted, all_refused = sums.tolist()
    return Fate(
        promoted=promoted / runs,
        refused=refused / runs,
        more_images=waits / runs,
        images_named=named / waits if waits else None,
        settled=settled / waits if waits else None,
        promoted_in_all=all_promoted / runs,
        refused_in_all=all_refused / runs,
    )
