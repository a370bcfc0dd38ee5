"""A world in which exams arrive, and labels are corrected, in any order, and days are replayed.

world = World(engine, two_versions(engine, bundles))
world.begin(random_pictures(seed), frozenset())
world.examine(3)
world.replay(1, 3)
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import FixedClock
from core.store import class_days, images, registry, validations
from core.store.database import transaction
from core.store.images import Image
from core.store.registry import Version
from core.store.validations import Draw, Judgement
from monitor import validation
from monitor.judgement import judging
from monitor.page import MonitorOptions
from monitor.replay import Replayed
from monitor.replay import replay as replay_days
from tests.pool import day, drawn_image, register

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LABELS = ("Cat", "Dog", "Spider")
DAYS, PER_CLASS = 9, 10
SWITCH, ROLLBACK = 4, 7  # v2 serves from the one day on, v1 again from the other
REFERENCE = {label: {"n": 400, "correct": 380, "confused": {}} for label in LABELS}
_ROWS = ("class_days", "class_state", "model_days", "shadow_days")
_ALL = (
    *("validations", "validation_results", "images", "flags", "alerts", "audit", "runs"),
    *_ROWS,
)


@dataclass(frozen=True)
class Picture:
    """One labelled image, and what is said of it: of the day, the class, and whichever."""

    number: int
    label: str
    place: int
    wrong: bool
    session: str | None = None

    @property
    def predicted(self) -> str:
        """What the version answers."""
        return "Dog" if self.wrong and self.label != "Dog" else self.label


def random_pictures(seed: int) -> list[Picture]:
    """Return a pool in which v1 takes spiders for dogs, and v2 is not quite over it.

    Pools of odd seeds are taken in sessions of three, whose pictures are mistaken together.
    """
    rng = np.random.default_rng(seed)
    slips = {2: 0.8, 3: 0.8, 4: 0.2, 5: 0.2, 6: 0.2}
    if seed % 2:
        return [
            Picture(number, label, place, wrong, f"{number} {label} {place // 3}")
            for number in range(1, DAYS + 1)
            for label in LABELS
            for share in [slips.get(number, 0.1) if label == "Spider" else 0.1]
            for place, wrong in enumerate(np.repeat(rng.random(3) < share, 3)[: rng.integers(10)])
        ]
    return [
        Picture(number, label, place, bool(rng.random() < share))
        for number in range(1, DAYS + 1)
        for label in LABELS
        for share in [slips.get(number, 0.05) if label == "Spider" else 0.05]
        for place in range(int(rng.integers(0, PER_CLASS + 1)))
    ]


class World:
    """A database in which days arrive, and labels are corrected, in any order."""

    def __init__(self, engine: Engine, versions: tuple[Version, Version]) -> None:
        self.engine = engine
        self.versions = versions
        self.options = MonitorOptions()

    def begin(self, pictures: list[Picture], mislabelled: frozenset[int]) -> None:
        """Empty the database and fill the pool; some images have a wrong label at first."""
        self.pictures = pictures
        with transaction(self.engine) as connection:
            connection.execute(sa.text(f"TRUNCATE {', '.join(_ALL)} RESTART IDENTITY CASCADE"))
            images.insert(connection, [self._image(i, mislabelled) for i in range(len(pictures))])

    def _image(self, index: int, mislabelled: frozenset[int]) -> Image:
        picture = self.pictures[index]
        label = "Cat" if index in mislabelled else picture.label
        name = str(index).encode()
        drawn = drawn_image(Path("x.png"), name, label, day(picture.number), index)
        return replace(drawn, session=picture.session)

    def examine(self, number: int) -> None:
        """Let one day's exam arrive, as the daily run writes it down."""
        version = self.versions[SWITCH <= number < ROLLBACK]
        with transaction(self.engine) as connection:
            samples = [
                sample
                for index, picture in enumerate(self.pictures)
                if picture.number == number
                and (sample := images.get(connection, index + 1)) is not None
            ]
            draw = Draw(day(number), version.version, PER_CLASS, False, NOW)
            exam = validations.record_draw(connection, draw, samples)
            said = [
                Judgement(sample.id, self.pictures[sample.id - 1].predicted, 0.9)
                for sample in samples
            ]
            validations.record_judgements(connection, exam, said)
            answers = validations.answers(connection, exam)
            class_days.write(connection, validation.count(exam, version.labels, answers))
            validations.finish(connection, exam, status="done", unreadable=0, now=NOW)
            judging.judge(
                connection, version, day(number), options=self.options, now=NOW, by="monitor"
            )

    def correct(self, index: int) -> None:
        """Give an image the label that it should have had."""
        with transaction(self.engine) as connection:
            label = self.pictures[index].label
            images.relabel(connection, index + 1, label, now=NOW, by="anna")

    def replay(self, first: int = 1, last: int = DAYS) -> Replayed:
        """Compute days anew."""
        return replay_days(
            self.engine,
            day(first),
            day(last),
            options=self.options,
            clock=FixedClock(NOW),
            by="anna",
        )

    def rows(self) -> dict[str, list[str]]:
        """Return what all judgement rests on, and what follows from it, to the last bit."""
        with transaction(self.engine) as connection:
            return {
                name: sorted(
                    repr(row)
                    for row in connection.execute(sa.text(f"SELECT * FROM {name}"))  # noqa: S608
                )
                for name in _ROWS
            }

    def ask(self, question: Any, *arguments: Any) -> Any:
        """Ask the store one question."""
        with transaction(self.engine) as connection:
            return question(connection, *arguments)


def two_versions(engine: Engine, bundles: Path) -> tuple[Version, Version]:
    """Register two versions, the second serving until it is rolled back."""
    first = register(engine, bundles, reference=REFERENCE)
    second = register(engine, bundles, name="v2", reference=REFERENCE, promoted_at=None)
    with transaction(engine) as connection:
        for name, number in (("v2", SWITCH), ("v1", ROLLBACK)):
            moment = datetime(2026, 3, number, tzinfo=UTC)
            registry.promote(connection, name, now=moment, by="test", reason="test")
    return first, second
