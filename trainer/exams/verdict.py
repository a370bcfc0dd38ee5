"""What the gate found, in numbers: kept with the job, shown to people, read by programs.

Nothing is decided here; trainer.exams.gate fills it in. `to_dict` is what stands in a job's result,
`to_text` a page from which a person can follow the decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Literal

from core.errors import TrainingError

Decision = Literal["promote", "refuse", "more images"]
Standing = Literal["better", "well", "worse", "unproven"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger against champion on the gate images of one class, or on all of them.

    Attributes:
        label: The class; "all images" for the whole.
        n: Gate images.
        gained: Those only the challenger names rightly.
        lost: Those only the champion names rightly.
        difference: (gained - lost) / n, as a share; None without images, like the next three.
        standard_error: Of the difference.
        low: One-sided lower bound of the difference, at the look's alpha.
        high: One-sided upper bound of it.
        verdict: `better` (the bound lies above 0), `well` (a drop of the margin is ruled out),
            `worse` (shown to be), or `unproven`.
        settled: Whether it is well for good, so that later looks do not ask again.
        missing: Gate images it lacks to be that at the next look; 0 where it is, or is worse.
    """

    label: str
    n: int
    gained: int
    lost: int
    difference: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    verdict: Standing
    settled: bool
    missing: int


@dataclass(frozen=True, slots=True)
class Improvement:
    """Whether a flagged class was repaired.

    Attributes:
        label: The class.
        n: Gate images.
        gained: Those only the challenger names rightly.
        lost: Those only the champion names rightly.
        p: Exact one-sided McNemar p-value of "the challenger is better".
        adjusted_p: The same after Holm over all flagged classes.
        improved: Whether adjusted_p is at most the look's alpha, or was at an earlier one.
        missing: Gate images lacking to show it, when too few of them disagree; 0 when it is
            shown, and when enough were there to show it and did not.
    """

    label: str
    n: int
    gained: int
    lost: int
    p: float
    adjusted_p: float
    improved: bool
    missing: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision and everything it rests on.

    Attributes:
        decision: `promote`, `refuse`, or `more images`.
        reasons: Why, in sentences, the gravest first.
        classes: Every class, the largest drop first; classes without gate images at the end.
        flagged: The classes the retraining was aimed at.
        overall: All gate images together.
        ece: The challenger's expected calibration error on the gate images.
        ece_by_chance: What so few images show of a calibrated model in one exam of twenty.
        max_ece: The largest that passes, unless chance explains it.
        latency_ratio: The challenger's latency in multiples of the champion's; None when it was
            not measured.
        max_latency_ratio: The largest that passes.
        margin: The drop per class that had to be ruled out, as a share.
        overall_margin: The drop over all images that had to be ruled out.
        look: Which exam of this challenger it was, from 1.
        alpha: What it may err: 0.05 at the first, 0.01 for all later ones together.
        missing: How many gate images each class is to get before the next look: those that it
            lacks, and its part of those that the whole does; empty without a next look.
    """

    decision: Decision
    reasons: tuple[str, ...]
    classes: tuple[Comparison, ...]
    flagged: tuple[Improvement, ...]
    overall: Comparison
    ece: float
    ece_by_chance: float
    max_ece: float
    latency_ratio: float | None
    max_latency_ratio: float
    margin: float
    overall_margin: float
    look: int
    alpha: float
    missing: dict[str, int]

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Verdict:
        """Return the verdict that `to_dict` gave.

        Raises:
            TrainingError: It was kept by an older release, and lacks a figure.
        """
        try:
            fields = {each.name: kept[each.name] for each in dataclass_fields(cls)}
            return cls(
                **fields
                | {
                    "reasons": tuple(kept["reasons"]),
                    "classes": tuple(Comparison(**each) for each in kept["classes"]),
                    "flagged": tuple(Improvement(**each) for each in kept["flagged"]),
                    "overall": Comparison(**kept["overall"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise TrainingError(
                f"the gate's verdict was kept by an older release and lacks {error}; "
                "ask for the retraining again"
            ) from error

    @property
    def passed(self) -> bool:
        """Whether the challenger may take over."""
        return self.decision == "promote"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it, with `passed` beside."""
        fields = asdict(self)
        fields |= {name: list(fields[name]) for name in ("reasons", "classes", "flagged")}
        return {"passed": self.passed, **fields}

    def to_text(self) -> str:
        """Return a page of numbers from which a person can follow the decision."""
        return "\n".join(
            [
                f"Gate: {self.decision} (look {self.look}, alpha {self.alpha:g})",
                *(f"  - {reason}" for reason in self.reasons),
                "",
                f"Worse nowhere: the lower bound must lie above {_points(-self.margin)} points"
                f" per class, {_points(-self.overall_margin)} over all images.",
                _ROW.format(*_HEAD),
                *(_row(each, self.decision) for each in (self.overall, *self.classes)),
                "",
                *self._flagged_lines(),
                "",
                *self._wanted_lines(),
                f"Sound: expected calibration error {self.ece:.3f}, at most {self.max_ece:g}"
                f" (or {self.ece_by_chance:.3f}, by chance);"
                f" latency {self._latency()}, at most {self.max_latency_ratio:g} times.",
            ]
        )

    def _flagged_lines(self) -> list[str]:
        if not self.flagged:
            return ["Better where it matters: no class was flagged."]
        head = "Better where it matters: exact one-sided McNemar, Holm over the flagged classes."
        return [head, *(_flagged_row(each) for each in self.flagged)]

    def _wanted_lines(self) -> list[str]:
        if not self.missing:
            return []
        named = ", ".join(f"{n} of {label}" for label, n in self.missing.items())
        return [f"For the next look: {sum(self.missing.values())} gate images, {named}.", ""]

    def _latency(self) -> str:
        ratio = self.latency_ratio
        return "not measured" if ratio is None else f"{ratio:.2f} times the champion's"


def worse_reason(each: Comparison, margin: float) -> str:
    """Say that a class, or the whole, is worse by more than the margin allows."""
    low, high = 100 * (each.low or 0.0), 100 * (each.high or 0.0)
    seen = f"{each.gained} gained, {each.lost} lost of {each.n}: between {low:+.1f} and {high:+.1f}"
    return f"{each.label}: worse ({seen} points; the margin is {100 * margin:g})."


def idle_reason(each: Improvement) -> str:
    """Say that a flagged class was not repaired, though it would have shown."""
    return (
        f"{each.label}: no improvement where it was wanted ({each.gained} gained, {each.lost}"
        f" lost of {each.n}, adjusted p = {each.adjusted_p:.2g})."
    )


def lacking_reason(each: Comparison, margin: float) -> str:
    """Say which drop is not ruled out yet, and what it takes."""
    known = "no gate image" if each.low is None else f"lower bound {100 * each.low:+.1f} points"
    return (
        f"{each.label}: a drop of {100 * margin:g} points is not ruled out ({known}); about"
        f" {each.missing} more gate images are needed."
    )


def undecided_reason(each: Improvement) -> str:
    """Say that too few images tell whether a flagged class was repaired."""
    return (
        f"{each.label}: too few images tell the two apart to show an improvement ({each.gained}"
        f" gained, {each.lost} lost of {each.n}); about {each.missing} more are needed."
    )


def passed_reason(
    improvements: Sequence[Improvement], classes: Sequence[Comparison], margin: float
) -> str:
    """Say in one sentence why the challenger passed."""
    gains = ", ".join(
        f"{each.label} ({each.gained} gained, {each.lost} lost)" for each in improvements
    )
    better = f"Better in {gains}" if gains else "No class was flagged"
    return (
        f"{better}; a drop of {100 * margin:g} points is ruled out in all {len(classes)} classes."
    )


_ROW = "  {:<20} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}  {}"
_HEAD = ("class", "images", "gained", "lost", "points", "lower", "upper", "verdict")


def _row(each: Comparison, decision: Decision) -> str:
    shares = (each.difference, each.low, each.high)
    asks = decision == "more images"
    return _ROW.format(
        each.label,
        each.n,
        each.gained,
        each.lost,
        *("-" if share is None else _points(share) for share in shares),
        each.verdict + (f", lacks {each.missing} images" if each.missing and asks else ""),
    )


def _flagged_row(each: Improvement) -> str:
    shown = "improved" if each.improved else "not shown to improve"
    lacks = f", lacks {each.missing} images" if each.missing else ""
    return (
        f"  {each.label}: {each.gained} gained, {each.lost} lost of {each.n},"
        f" p = {each.p:.2g}, adjusted {each.adjusted_p:.2g}: {shown}{lacks}"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
