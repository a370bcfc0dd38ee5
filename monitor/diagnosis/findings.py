"""What a diagnosis says: its parts, and their form in JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.escaping import one_line
from core.images.descriptors import DESCRIPTORS
from core.stats.cause import FEWEST_WRONG

if TYPE_CHECKING:
    from datetime import date

    from core.stats.cause import Movement, Verdict

Cause = Literal["runtime", "label", "data", "model", "unclear"]

COLUMNS = (*DESCRIPTORS, "embedding")


@dataclass(frozen=True, slots=True)
class Confused:
    """What a class is now mistaken for.

    Attributes:
        label: The other class.
        times: Images called so, on the days since the class sank and before, as far as counted.
        images: Images of the class on these days.
        reference_share: Share called so at the reference.
        level: What that share may be, carefully.
        e_value: Evidence that it is more now.
        chosen_from: Number of classes that it was chosen from.
        e_value_chosen: The e-value divided by that number: evidence after the choice.
    """

    label: str
    times: int
    images: int
    reference_share: float
    level: float
    e_value: float
    chosen_from: int
    e_value_chosen: float


@dataclass(frozen=True, slots=True)
class Moved:
    """How far one column moved, in standard deviations of its class.

    Attributes:
        what: A descriptor, or `embedding`: how far out images lie among those of their class.
        effect: Of the class, against its own reference.
        adjusted_p: Its p-value, corrected over the columns.
        moved: Whether both say so.
        effect_alone: Beyond what all other classes moved.
        adjusted_p_alone: Its p-value, corrected over the columns.
        alone: Whether the class moved alone in it.
    """

    what: str
    effect: float
    adjusted_p: float
    moved: bool
    effect_alone: float
    adjusted_p_alone: float
    alone: bool


@dataclass(frozen=True, slots=True)
class WorstImage:
    """A wrong image beside the nearest right one of its class.

    Attributes:
        image: Its number in the pool.
        predicted: What it was taken for.
        confidence: How surely.
        nearest: Number of the nearest reference image of its own class that was answered
            rightly; None without any in the pool.
        distance: Between the two embeddings, 0 to 2; None without one.
    """

    image: int
    predicted: str
    confidence: float
    nearest: int | None
    distance: float | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that looks wrong."""

    image: int
    suggested: str
    margin: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a class has sunk.

    Attributes:
        cause: Whose fault it is.
        label: The class.
        sentences: The same in words.
        confused: What it is mistaken for; None when it never was.
        moved: Each column of COLUMNS; empty without reference.
        worst: Up to five wrong images, the surest first.
        doubts: Labels of the class that look wrong, the surest first.
        verdict: What core.stats.cause found; None without reference.
        sentinels: What the frozen set said: `{"verdict", "day", "detail"}`; None if never asked.
        version: The version examined.
        until: The last day that was looked at.
    """

    cause: Cause
    label: str
    sentences: tuple[str, ...] = ()
    confused: Confused | None = None
    moved: tuple[Moved, ...] = ()
    worst: tuple[WorstImage, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    verdict: Verdict | None = field(default=None, repr=False)
    sentinels: dict[str, Any] | None = None
    version: str = ""
    until: date | None = None

    @property
    def is_founded(self) -> bool:
        """Whether enough images are wrong to conclude anything from."""
        return self.verdict is not None and self.verdict.wrong >= FEWEST_WRONG

    @property
    def refusal(self) -> str | None:
        """Why no retraining is asked for, in words; None when one is."""
        return refusal_of(self.cause, self.label)

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence as JSON holds it."""
        verdict = self.verdict
        return {
            "cause": self.cause,
            "sentences": list(self.sentences),
            "retraining_refused": self.refusal,
            "confused": asdict(self.confused) if self.confused else None,
            "moved": [asdict(each) for each in self.moved],
            "images": [asdict(each) for each in self.worst],
            "doubtful_labels": [asdict(each) for each in self.doubts],
            "wrong_images": verdict.wrong if verdict else 0,
            "looks_as": dict(verdict.votes) if verdict else {},
            "moved_from_predicted": _table(verdict.from_predicted) if verdict else [],
            "moved_of_right": _table(verdict.right_from_own) if verdict else [],
            "sentinels": self.sentinels,
            "version": self.version,
            "until": self.until.isoformat() if self.until else None,
        }


def refusal_of(named: str, label: str) -> str | None:
    """Return why no retraining is asked for a class with this cause; None when one is.

    Retraining on wrong labels teaches them; under a broken runtime it repairs nothing.
    """
    shown = one_line(label)
    if named == "runtime":
        return (
            f"no retraining for {shown}: the runtime gives other answers than before, and another "
            "model would run on it too"
        )
    if named == "label":
        return (
            f"no retraining for {shown}: its labels look wrong, and would be learnt; look through "
            "weakspot data suspects"
        )
    return None


def _table(movement: Movement) -> list[dict[str, Any]]:
    columns = zip(
        COLUMNS,
        movement.effect.tolist(),
        movement.adjusted.tolist(),
        movement.moved.tolist(),
        strict=True,
    )
    return [
        {"what": name, "effect": effect, "adjusted_p": p, "moved": moved}
        for name, effect, p, moved in columns
    ]
