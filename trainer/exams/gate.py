"""The challenger's exam: champion and challenger over the same untouched gate images.

Three questions, fixed before the exam. Is each flagged class shown to be better? Is every class,
and the whole, shown not to be worse by more than a margin? Is the challenger sound? Only three
times yes promotes. Where nothing is shown to be bad, but something cannot be shown to be good, the
verdict is "more images" and says of which class and how many; when they are there, the same
challenger is examined again, and what was shown before stays shown (trainer.exams.gate_rule).

Gate images count as independent; bursts of near-duplicates make the bounds look surer than they
are. Nothing is promoted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import StatisticsError
from core.evaluation import UNKNOWN, Evaluation
from core.stats.calibration import error_by_chance, expected_calibration_error
from trainer.exams.gate_rule import Earlier, Exam, Standings, Terms
from trainer.exams.verdict import (
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

__all__ = ["Comparison", "Improvement", "Verdict", "examine"]

# A calibrated model's own error exceeds what is taken as chance in so many exams.
_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class _Sound:
    """What the soundness of the challenger is judged by."""

    ece: float
    ece_by_chance: float
    max_ece: float
    latency_ratio: float | None
    max_latency_ratio: float

    def complaints(self) -> list[str]:
        """Return what speaks against it, in sentences."""
        found: list[str] = []
        # Written so that NaN does not pass.
        if not (self.ece <= self.max_ece or self.ece <= self.ece_by_chance):
            found.append(
                f"The expected calibration error is {self.ece:.3f}; at most {self.max_ece:g} "
                f"passes, and so few images show {self.ece_by_chance:.3f} by chance."
            )
        ratio = self.latency_ratio
        if ratio is not None and not ratio <= self.max_latency_ratio:
            found.append(
                f"It takes {ratio:.2f} times as long as the champion; "
                f"at most {self.max_latency_ratio:g} passes."
            )
        return found


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
    earlier: Verdict | None = None,
) -> Verdict:
    """Return whether the challenger may take over, with all numbers the decision rests on.

    - promote: every flagged class improves (exact one-sided McNemar, Holm over the flagged,
      adjusted p <= alpha), every class and the whole are shown well, and it is sound.
    - refuse: a class or the whole is shown worse (exact one-sided McNemar, at alpha for all classes
      together and at alpha for the whole), a flagged class had enough disagreeing images
      to show a repair (or an improvement by the margin is ruled out) and showed none, or the
      challenger is unsound.
    - more images: nothing is shown to be bad, but something cannot be shown to be good yet.

    alpha is 0.05 at the first look, and 0.01 for all later ones together.

    Args:
        champion: What the serving version said of the gate images.
        challenger: What the new one said of the same images, in any order.
        flagged: The classes the retraining was aimed at; none asks for no improvement.
        margin: Drop per class that must be ruled out, as a share inside (0, 1).
        overall_margin: Drop over all gate images that must be ruled out, likewise.
        max_ece: Largest expected calibration error of the challenger on the gate images; images
            whose label it does not know are left out of this one figure. More passes where so
            few images would show it of a calibrated model in one exam of twenty.
        latency_ratio: Its latency in multiples of the champion's; None when not measured.
        max_latency_ratio: The largest that passes.
        labels: The model's classes, so that those without any gate image are named too.
        earlier: The verdict of the last look at this challenger; None at the first.

    Raises:
        StatisticsError: The two were not examined on the same images, there are none, or a
            margin lies outside (0, 1).
    """
    for name, value in (("margin", margin), ("overall_margin", overall_margin)):
        if not 0 < value < 1:
            raise StatisticsError(f"{name} is {value}; it must lie inside 0 and 1")
    wanted = list(dict.fromkeys(flagged))
    known = [each.label for each in earlier.classes] if earlier else []
    names, counts = _count(champion, challenger, [*wanted, *labels, *known])
    look = earlier.look + 1 if earlier else 1
    exam = Exam(
        *counts,
        flagged=[names.index(label) for label in wanted],
        terms=Terms(margin, overall_margin, look),
        earlier=_remembered(earlier, names, wanted) if earlier else None,
    )
    sound = _Sound(*_calibration(challenger), max_ece, latency_ratio, max_latency_ratio)
    return _verdict(exam, names, wanted, sound)


def _verdict(exam: Exam, names: list[str], flagged: list[str], sound: _Sound) -> Verdict:
    """Return the rule's answer in words and rows."""
    terms = exam.terms
    overall = _row("all images", exam, exam.overall, None)
    classes = [_row(label, exam, exam.classes, row) for row, label in enumerate(names)]
    classes.sort(key=lambda each: (each.n == 0, each.difference or 0.0, each.label))
    improvements = _improvements(exam, flagged)
    judged = [(overall, terms.overall_margin), *((each, terms.margin) for each in classes)]
    bad = [
        *sound.complaints(),
        *(worse_reason(each, allowed) for each, allowed in judged if each.verdict == "worse"),
        *(idle_reason(each) for each in improvements if not (each.improved or each.missing)),
    ]
    unsure = [
        *(lacking_reason(each, allowed) for each, allowed in judged if each.verdict == "unproven"),
        *(undecided_reason(each) for each in improvements if each.missing),
    ]
    decision, lacking = _decide(bad, unsure), exam.missing.tolist()
    asks = decision == "more images"
    return Verdict(
        decision=decision,
        reasons=tuple(bad + unsure) or (passed_reason(improvements, classes, terms.margin),),
        classes=tuple(classes),
        flagged=tuple(improvements),
        overall=overall,
        ece=sound.ece,
        ece_by_chance=sound.ece_by_chance,
        max_ece=sound.max_ece,
        latency_ratio=sound.latency_ratio,
        max_latency_ratio=sound.max_latency_ratio,
        margin=terms.margin,
        overall_margin=terms.overall_margin,
        look=terms.look,
        alpha=terms.alpha,
        missing={label: n for label, n in zip(names, lacking, strict=True) if n and asks},
    )


def _decide(bad: list[str], unsure: list[str]) -> Decision:
    if bad:
        return "refuse"
    return "more images" if unsure else "promote"


def _remembered(earlier: Verdict, names: list[str], flagged: list[str]) -> Earlier:
    """Return what an earlier verdict has shown, in the order of this exam."""
    settled = {each.label for each in earlier.classes if each.settled}
    improved = {each.label for each in earlier.flagged if each.improved}
    return Earlier(
        well=np.array([label in settled for label in names]),
        overall=np.array(earlier.overall.settled),
        improved=np.array([label in improved for label in flagged], dtype=np.bool_),
    )


def _count(
    champion: Evaluation, challenger: Evaluation, known: Sequence[str]
) -> tuple[list[str], tuple[NDArray[np.int64], ...]]:
    """Return classes with images and those in `known`, and n, gained and lost of each."""
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
    return labels, (per_class(everything), per_class(now & ~was), per_class(was & ~now))


def _by_image(evaluation: Evaluation, name: str) -> dict[tuple[int, str], bool]:
    """Return for each (image, label) whether it was named rightly."""
    right = {
        (sample.id, sample.label): bool(correct)
        for sample, correct in zip(evaluation.samples, evaluation.correct, strict=True)
    }
    if len(right) != len(evaluation.samples):
        raise StatisticsError(f"the {name} was examined on an image twice; give each one once")
    return right


def _row(label: str, exam: Exam, found: Standings, place: int | None) -> Comparison:
    """Return how one class stands, or all images together where `place` is None."""

    def at(array: NDArray[Any]) -> Any:
        return (array if place is None else array[place]).item()

    n, gained, lost = (
        int(each.sum() if place is None else each[place])
        for each in (exam.n, exam.gained, exam.lost)
    )
    numbers = [at(each) for each in (found.difference, found.error, found.low, found.high)]
    return Comparison(
        label,
        n,
        gained,
        lost,
        *(numbers if n else [None] * 4),
        verdict=_standing(at(found.worse), at(found.well), numbers[2]),
        settled=at(found.settled),
        missing=at(found.missing),
    )


def _standing(worse: bool, well: bool, low: float) -> Standing:
    if worse:
        return "worse"
    if not well:
        return "unproven"
    return "better" if low > 0 else "well"


def _improvements(exam: Exam, flagged: Sequence[str]) -> list[Improvement]:
    found = exam.repairs
    return [
        Improvement(
            label=label,
            n=int(exam.n[row]),
            gained=int(exam.gained[row]),
            lost=int(exam.lost[row]),
            p=float(found.p[place]),
            adjusted_p=float(found.adjusted_p[place]),
            improved=bool(found.improved[place]),
            missing=int(found.missing[place]),
        )
        for place, (label, row) in enumerate(zip(flagged, exam.flagged, strict=True))
    ]


def _calibration(challenger: Evaluation) -> tuple[float, float]:
    """Return the calibration error, and the one that chance alone explains."""
    known = challenger.labels != UNKNOWN
    if not known.any():
        raise StatisticsError(
            "the challenger knows none of the gate images' labels; examine a model of this pool"
        )
    probabilities = challenger.probabilities[known]
    error = expected_calibration_error(probabilities, challenger.labels[known])
    return error, error_by_chance(probabilities.max(axis=1), chance=_CHANCE)
