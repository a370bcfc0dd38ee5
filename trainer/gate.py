"""The challenger's exam: champion and challenger over the same untouched gate images.

Three questions, fixed before the exam. Is each flagged class shown to be better? Is every class,
and the whole, shown not to be worse by more than a margin? Is the challenger sound? Only three
times yes promotes. Where nothing is shown to be bad, but something cannot be shown to be good, the
verdict is "more images" and says of which class and how many.

One look is one exam at 5 %: the alpha of repeated looks at the same challenger is the caller's to
account for. Gate images count as independent; bursts of near-duplicates make the bounds look
surer than they are. Nothing is promoted here.

References:
    McNemar (1947) for the repair; the paired difference of two proportions and its Wald bound
    (Agresti, Categorical Data Analysis, 10.1) for the margins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import StatisticsError
from core.evaluation import UNKNOWN, Evaluation
from core.stats.calibration import expected_calibration_error
from core.stats.proportions import holm, mcnemar_exact, paired_difference
from trainer.sample_size import ALPHA, Z, images_to_show_well, pairs_to_show_repair
from trainer.verdict import (
    Comparison,
    Decision,
    Improvement,
    Standing,
    Verdict,
    idle_reason,
    lacking_reason,
    passed_reason,
    undecided_reason,
    worse_reason,
)

__all__ = ["Comparison", "Improvement", "Verdict", "bounds", "examine", "shown_well", "shown_worse"]

# A class's own rate of disagreement is drawn towards all classes' by the weight of these images.
PRIOR_IMAGES = 20


@dataclass(frozen=True, slots=True)
class _Counts:
    """Gate images per class, arrays of shape (K,) in the order of `labels`."""

    labels: list[str]
    n: NDArray[np.int64]
    gained: NDArray[np.int64]
    lost: NDArray[np.int64]

    def disagreement(self, left_out: Sequence[str] = ()) -> float:
        """Return the share of gate images on which only one of the two is right.

        Classes in `left_out` do not count, unless nothing else does.
        """
        counts = np.array([label not in left_out for label in self.labels]) & (self.n > 0)
        counts = counts if counts.any() else self.n > 0
        # As in the standard error: no disagreement seen is not none at all.
        return max(int((self.gained + self.lost)[counts].sum()), 1) / int(self.n[counts].sum())


def bounds(
    gained: ArrayLike, lost: ArrayLike, total: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the one-sided 95 % lower and upper bound of challenger minus champion.

    d -+ 1.645 se, with d and se of `core.stats.proportions.paired_difference`.

    Raises:
        StatisticsError: The counts are impossible, or a class has no images.
    """
    difference, error = paired_difference(gained, lost, total)
    return difference - Z * error, difference + Z * error


def shown_well(
    gained: ArrayLike, lost: ArrayLike, total: ArrayLike, margin: float
) -> NDArray[np.bool_]:
    """Say where a drop of `margin` is ruled out: the lower bound lies above -margin."""
    low, _ = bounds(gained, lost, total)
    return low > -margin


def shown_worse(
    gained: ArrayLike, lost: ArrayLike, total: ArrayLike, margin: float, classes: int = 1
) -> NDArray[np.bool_]:
    """Say where the challenger is shown to be worse, and a drop of the margin is not ruled out.

    Exact one-sided McNemar at 0.05 / classes: among many classes some lose a few images by
    chance, and one image of twenty is five points.

    Args:
        gained: Images only the challenger names rightly, any shape.
        lost: Images only the champion names rightly, the same shape.
        total: All images n of the class, the same shape, at least 1.
        margin: The drop to be ruled out, as a share.
        classes: How many are asked this, at least 1.
    """
    low, _ = bounds(gained, lost, total)
    return (low <= -margin) & (mcnemar_exact(lost, gained) <= ALPHA / classes)


def examine(  # noqa: PLR0913 - the exam's terms, each fixed beforehand and named by its caller
    champion: Evaluation,
    challenger: Evaluation,
    *,
    flagged: Sequence[str],
    margin: float,
    overall_margin: float,
    max_ece: float,
    latency_ratio: float | None,
    max_latency_ratio: float,
    labels: Sequence[str] = (),
) -> Verdict:
    """Return whether the challenger may take over, with all numbers the decision rests on.

    - promote: every flagged class improves (exact one-sided McNemar, Holm over the flagged,
      adjusted p <= 0.05), every class and the whole are shown well, and it is sound.
    - refuse: a class or the whole is shown worse (exact one-sided McNemar, at 0.05 for all classes
      together and at 0.05 for the whole), a flagged class had enough disagreeing images
      to show a repair (or an improvement by the margin is ruled out) and showed none, or the
      challenger is unsound.
    - more images: nothing is shown to be bad, but something cannot be shown to be good yet.

    Args:
        champion: What the serving version said of the gate images.
        challenger: What the new one said of the same images, in any order.
        flagged: The classes the retraining was aimed at; none asks for no improvement.
        margin: Drop per class that must be ruled out, as a share inside (0, 1).
        overall_margin: Drop over all gate images that must be ruled out, likewise.
        max_ece: Largest expected calibration error of the challenger on the gate images; images
            whose label it does not know are left out of this one figure.
        latency_ratio: Its latency in multiples of the champion's; None when not measured.
        max_latency_ratio: The largest that passes.
        labels: The model's classes, so that those without any gate image are named too.

    Raises:
        StatisticsError: The two were not examined on the same images, there are none, or a
            margin lies outside (0, 1).
    """
    for name, value in (("margin", margin), ("overall_margin", overall_margin)):
        if not 0 < value < 1:
            raise StatisticsError(f"{name} is {value}; it must lie inside 0 and 1")
    counts = _count(champion, challenger, [*flagged, *labels])
    overall = _compare_all(counts, overall_margin)
    classes = _compare_classes(counts, margin, flagged)
    improvements = _improvements(counts, list(dict.fromkeys(flagged)), margin)
    ece = _calibration_error(challenger)
    judged = [(overall, overall_margin), *((each, margin) for each in classes)]
    bad = [
        *_unsound(ece, max_ece, latency_ratio, max_latency_ratio),
        *(worse_reason(each, allowed) for each, allowed in judged if each.verdict == "worse"),
        *(idle_reason(each) for each in improvements if not (each.improved or each.missing)),
    ]
    unsure = [
        *(lacking_reason(each, allowed) for each, allowed in judged if each.missing),
        *(undecided_reason(each) for each in improvements if each.missing),
    ]
    return Verdict(
        decision=_decide(bad, unsure),
        reasons=tuple(bad + unsure) or (passed_reason(improvements, classes, margin),),
        classes=tuple(classes),
        flagged=tuple(improvements),
        overall=overall,
        ece=ece,
        max_ece=max_ece,
        latency_ratio=latency_ratio,
        max_latency_ratio=max_latency_ratio,
        margin=margin,
        overall_margin=overall_margin,
    )


def _decide(bad: list[str], unsure: list[str]) -> Decision:
    if bad:
        return "refuse"
    return "more images" if unsure else "promote"


def _count(champion: Evaluation, challenger: Evaluation, known: Sequence[str]) -> _Counts:
    """Return the paired counts per class, over classes with images and those in `known`."""
    before, after = _by_image(champion, "champion"), _by_image(challenger, "challenger")
    for here, there, name in ((before, after, "challenger"), (after, before, "champion")):
        if strange := sorted(set(here) - set(there)):
            image, label = strange[0]
            raise StatisticsError(
                f"the {name} was not examined on image {image} ({label}), one of {len(strange)};"
                " both must see the same gate images, so examine them again"
            )
    if not before:
        raise StatisticsError(
            "there are no gate images; import labelled images with the split `test`"
        )
    labels = sorted({label for _, label in before} | set(known))
    index = {label: number for number, label in enumerate(labels)}
    row = np.array([index[label] for _, label in before], dtype=np.int64)
    was = np.array(list(before.values()), dtype=np.bool_)
    now = np.array([after[image] for image in before], dtype=np.bool_)

    def per_class(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(row[which], minlength=len(labels)).astype(np.int64)

    everything = np.ones(row.shape, dtype=np.bool_)
    return _Counts(labels, per_class(everything), per_class(now & ~was), per_class(was & ~now))


def _by_image(evaluation: Evaluation, name: str) -> dict[tuple[int, str], bool]:
    """Return for each (image, label) whether it was named rightly."""
    right = {
        (sample.id, sample.label): bool(correct)
        for sample, correct in zip(evaluation.samples, evaluation.correct, strict=True)
    }
    if len(right) != len(evaluation.samples):
        raise StatisticsError(f"the {name} was examined on an image twice; give each one once")
    return right


def _compare_all(counts: _Counts, margin: float) -> Comparison:
    n, gained, lost = (int(each.sum()) for each in (counts.n, counts.gained, counts.lost))
    enough = images_to_show_well(counts.disagreement(), margin)
    return _compare("all images", (n, gained, lost), margin, enough)


def _compare_classes(counts: _Counts, margin: float, flagged: Sequence[str]) -> list[Comparison]:
    """Return one row a class, the largest drop first, those without images last."""
    # A repaired class disagrees nearly everywhere, which tells nothing about the others.
    usual = counts.disagreement(left_out=flagged)
    disagreeing = counts.gained + counts.lost + PRIOR_IMAGES * usual
    rates = disagreeing / (counts.n + PRIOR_IMAGES)
    enough = [images_to_show_well(float(q), margin, len(counts.labels)) for q in rates]
    found = [
        _compare(label, (int(n), int(gained), int(lost)), margin, needed, len(counts.labels))
        for label, n, gained, lost, needed in zip(
            counts.labels, counts.n, counts.gained, counts.lost, enough, strict=True
        )
    ]
    return sorted(found, key=lambda each: (each.n == 0, each.difference or 0.0, each.label))


def _compare(
    label: str, counted: tuple[int, int, int], margin: float, enough: int, classes: int = 1
) -> Comparison:
    n, gained, lost = counted
    if n == 0:
        return Comparison(label, 0, 0, 0, None, None, None, None, "unproven", enough)
    difference, error = paired_difference(gained, lost, n)
    low, high = bounds(gained, lost, n)
    standing = _standing(counted, margin, classes)
    # With the plan fulfilled and still nothing shown, one image more is the least to ask for.
    missing = max(enough - n, 1) if standing == "unproven" else 0
    numbers = (float(each) for each in (difference, error, low, high))
    return Comparison(label, n, gained, lost, *numbers, verdict=standing, missing=missing)


def _standing(counted: tuple[int, int, int], margin: float, classes: int) -> Standing:
    n, gained, lost = counted
    if shown_well(gained, lost, n, margin):
        return "better" if bounds(gained, lost, n)[0] > 0 else "well"
    return "worse" if shown_worse(gained, lost, n, margin, classes) else "unproven"


def _improvements(counts: _Counts, flagged: Sequence[str], margin: float) -> list[Improvement]:
    rows = [counts.labels.index(label) for label in flagged]
    p_values = mcnemar_exact(counts.gained[rows], counts.lost[rows])
    adjusted = holm(p_values)
    return [
        Improvement(
            label=label,
            n=int(counts.n[row]),
            gained=int(counts.gained[row]),
            lost=int(counts.lost[row]),
            p=float(p),
            adjusted_p=float(corrected),
            improved=bool(corrected <= ALPHA),
            missing=0 if corrected <= ALPHA else _lacking(counts, row, margin, len(flagged)),
        )
        for label, row, p, corrected in zip(flagged, rows, p_values, adjusted, strict=True)
    ]


def _lacking(counts: _Counts, row: int, margin: float, flagged: int) -> int:
    """Return the gate images a class lacks to show a repair; 0 when it had enough to show one."""
    n, gained, lost = (int(each[row]) for each in (counts.n, counts.gained, counts.lost))
    pairs, needed = gained + lost, pairs_to_show_repair(flagged)
    if n == 0:
        return needed
    _, high = bounds(gained, lost, n)
    if pairs >= needed or high < margin:
        return 0
    return max(math.ceil(n * needed / max(pairs, 1)) - n, 1)


def _calibration_error(challenger: Evaluation) -> float:
    known = challenger.labels != UNKNOWN
    if not known.any():
        raise StatisticsError(
            "the challenger knows none of the gate images' labels; examine a model of this pool"
        )
    return expected_calibration_error(challenger.probabilities[known], challenger.labels[known])


def _unsound(ece: float, max_ece: float, ratio: float | None, max_ratio: float) -> list[str]:
    found: list[str] = []
    # Written so that NaN does not pass.
    if not ece <= max_ece:
        found.append(f"The expected calibration error is {ece:.3f}; at most {max_ece:g} passes.")
    if ratio is not None and not ratio <= max_ratio:
        found.append(
            f"It takes {ratio:.2f} times as long as the champion; at most {max_ratio:g} passes."
        )
    return found
