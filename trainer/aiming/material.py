"""What a retraining learns from: the champion's images, and new ones of the weak classes.

Of the new training images two kinds are left out: those that nearly repeat a gate or validation
image (trainer.aiming.near), and those whose label looks wrong (trainer.aiming.suspects). What
remains of a weak class, taken since it sank, must be enough: from fewer than a few images nothing
is learnt that a gate could see, so the job says how many are missing instead. Classes that have
enough are trained for all the same.

Nothing is written here. The labels that look wrong are held back in the pool when the job has come
to something, so that a second attempt at it sees the same images as the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from core.store import image_facts, label_suspects
from core.store.database import transaction
from trainer.aiming import near, newcomers, suspects
from trainer.aiming.newcomers import Newcomers

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Engine

    from core.store.jobs import Job
    from core.store.label_suspects import Suspect
    from core.store.registry import Version
    from trainer.config import RetrainOptions
    from trainer.images.dataset import Progress
    from trainer.images.snapshot import Snapshot

_LISTED = 200  # labels that look wrong, in a job's result


@dataclass(frozen=True, slots=True)
class Material:
    """The images of a retraining.

    Attributes:
        snapshot: All of them.
        new: Those that the champion has not learnt from.
        labels: The weak classes that have enough new images; the retraining is aimed at them.
        missing: The others, each with the new training images it lacks.
        near: Per class, how many were left out because a gate or validation image is like them.
        held: Those whose label looks wrong, left out.
    """

    snapshot: Snapshot
    new: Newcomers
    labels: tuple[str, ...]
    missing: Mapping[str, int]
    near: Mapping[str, int]
    held: tuple[Suspect, ...]

    @property
    def is_enough(self) -> bool:
        """Whether there is a class to retrain for."""
        return bool(self.labels)

    def favour(self, weight: float) -> Mapping[int, float]:
        """Return how many times as often, by image number, new images of weak classes are drawn."""
        return newcomers.favoured(self.snapshot, self.new, self.labels, weight)

    def to_dict(self) -> dict[str, Any]:
        """Return what a person should know about the images, as a job's result keeps it."""
        listed = [
            {key: value for key, value in asdict(each).items() if key not in {"version", "day"}}
            for each in self.held[:_LISTED]
        ]
        return {
            "new_images": self.new.counts(),
            "missing": dict(self.missing),
            "near_duplicates": dict(self.near),
            "held_back": {"images": len(self.held), "listed": listed},
            "notes": self._notes(),
        }

    def record(self, connection: Connection, *, now: datetime) -> int:
        """Hold the doubtful labels back from now on; return how many were not held before."""
        return label_suspects.hold_back(connection, self.held, now=now)

    def _notes(self) -> list[str]:
        notes = [
            f"{n} more new training image{'s' * (n > 1)} of {label} must be labelled before it is "
            "retrained for"
            for label, n in self.missing.items()
        ]
        notes += newcomers.notes(self.new, self.labels)
        if self.near:
            notes.append(
                f"{sum(self.near.values())} new images left out: they nearly repeat gate or "
                "validation images"
            )
        if self.held:
            notes.append(
                f"{len(self.held)} new images held back: their labels look wrong; see: weakspot "
                "data suspects"
            )
        return notes


def gather(
    engine: Engine,
    champion: Version,
    job: Job,
    options: RetrainOptions,
    *,
    at: datetime,
    on_progress: Progress | None = None,
) -> Material:
    """Return what a retraining learns from, as the pool stood at a moment.

    Args:
        engine: The database.
        champion: The version that learns on.
        job: Names the weak classes.
        options: How many new images a class needs, and how many may be held back.
        at: The moment.
        on_progress: Told about images.

    Raises:
        TrainingError: There is nothing to learn from, or nothing to examine a challenger on.
        BundleError: The champion cannot be loaded.
    """
    with transaction(engine) as connection:
        snapshot, new = newcomers.since(connection, champion, at)
        fresh = {sample.id for sample in new.sides["train"]}
        old = [sample for sample in snapshot.train if sample.id not in fresh]
        repeating = near.repeating(
            connection, new.sides["train"], (*snapshot.val, *snapshot.test), old
        )
        late = _of_the_new_kind(connection, new, job)
    counted = Counter(sample.label for sample in new.sides["train"] if sample.id in repeating)
    snapshot, new = _without(snapshot, new, repeating)
    missing = lacking(new, job.labels, options.min_new_images, late)
    held: list[Suspect] = []
    # Where every class lacks images already, nobody has to look at those there are.
    if len(missing) < len(job.labels):
        with transaction(engine) as connection:
            right = label_suspects.cleared(connection, [each.id for each in new.sides["train"]])
        held = suspects.find(
            champion,
            new.sides["train"],
            right,
            day=at.date(),
            most=options.max_held_back,
            on_progress=on_progress,
        )
        snapshot, new = _without(snapshot, new, {each.image for each in held})
        missing = lacking(new, job.labels, options.min_new_images, late)
    return Material(
        snapshot=snapshot,
        new=new,
        labels=tuple(label for label in job.labels if label not in missing),
        missing=missing,
        near=dict(sorted(counted.items())),
        held=tuple(held),
    )


def lacking(
    new: Newcomers, labels: Sequence[str], least: int, late: Mapping[str, Collection[int]]
) -> dict[str, int]:
    """Return the classes with fewer new training images than the least, and how many they lack.

    Args:
        new: The new images.
        labels: The weak classes.
        least: How many each needs.
        late: Images that were taken since a class sank, of the classes of which that is known: of
            these only such images count.
    """
    counts = {
        label: sum(
            label not in late or sample.id in late[label] for sample in new.to_learn_from(label)
        )
        for label in labels
    }
    return {label: least - n for label, n in counts.items() if n < least}


def _of_the_new_kind(connection: Connection, new: Newcomers, job: Job) -> dict[str, frozenset[int]]:
    """Return the new training images that were taken since a class sank, as the job's grounds say.

    Those of before show the class as the champion knows it, and cannot repair it.
    """
    late: dict[str, frozenset[int]] = {}
    for each in job.payload.get("grounds", []):
        since = datetime.combine(date.fromisoformat(each["since"]), time(), tzinfo=UTC)
        ids = [sample.id for sample in new.to_learn_from(each["label"])]
        late[each["label"]] = image_facts.taken_since(connection, ids, since)
    return late


def _without(
    snapshot: Snapshot, new: Newcomers, images: Collection[int]
) -> tuple[Snapshot, Newcomers]:
    """Return both without some training images."""
    if not images:
        return snapshot, new
    kept = tuple(sample for sample in snapshot.train if sample.id not in images)
    learnt = [sample for sample in new.sides["train"] if sample.id not in images]
    return replace(snapshot, train=kept), Newcomers(new.sides | {"train": learnt})
