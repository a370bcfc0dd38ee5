"""A fortnight in the life of a classifier, for whoever shows it: real rows, made by the programs.

Ten classes are examined daily by the monitor. From day 8 on the pictures of one class look like
another's; the monitor flags it, and its retraining is refused with the gate's numbers. A new
version then takes over, and the class is recovering.

tell(engine, tmp_path)                     # up to the open flag
promote_repair(engine, tmp_path)           # and on from there
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from core.store import images, jobs, registry
from core.store.database import transaction
from core.store.images import Image
from monitor import daily
from monitor.page import MonitorOptions
from tests.images import png
from tests.pool import add_predictions, day, drawn_image, night_after, register
from tests.tiny import picture
from trainer.exams.verdict import Comparison, Improvement, Verdict

LABELS = (
    "Bear", "Bird", "Cat", "Cow", "Dog", "Elephant", "Giraffe", "Horse", "Sheep", "Zebra",
)  # fmt: skip
WEAK, TAKEN_FOR = "Elephant", "Cow"
FAULT_DAY = 8
LAST_DAY = 11

_SLIPS = 0.06  # share of pictures that look like another class on any day
_PER_LABEL = 10
_DIMMED = 0.25
_OPTIONS = MonitorOptions(per_class=_PER_LABEL, adaptive=False)


@dataclass(frozen=True, slots=True)
class Fortnight:
    """The story up to the open flag, as the fixture `fortnight` gives it: its rows and its home."""

    engine: Engine
    home: Path


def tell(
    engine: Engine, home: Path, *, labels: Sequence[str] = LABELS, days: int = LAST_DAY
) -> None:
    """Let the monitor examine `days` days; the class at the place of `WEAK` falls on day 8."""
    reference = {
        label: {"n": 300, "correct": 285, "confused": {labels[i - 1]: 12, labels[i - 2]: 3}}
        for i, label in enumerate(labels)
    }
    version = register(engine, home / "bundles", labels=labels, reference=reference)
    for number in range(1, days + 1):
        _take_pictures(engine, home, number, labels)
        if number == days:
            add_predictions(engine, version, day(number), 40)
        examine(engine, home, number)


def refuse_retraining(engine: Engine, labels: Sequence[str] = LABELS) -> None:
    """Let the retraining that the flag asked for be refused by the gate."""
    now = night_after(LAST_DAY).now()
    with transaction(engine) as connection:
        job = jobs.claim_oldest(connection, worker="test", now=now, lease_s=60, max_attempts=3)
        assert job is not None
        result = {"gate": verdict_of_the_gate(labels).to_dict()}
        ended = now + timedelta(minutes=3)
        jobs.finish(connection, job, status="refused", result=result, now=ended)


def promote_repair(engine: Engine, home: Path, *, days: int = 2) -> None:
    """Promote v2 after `LAST_DAY`, and examine it for some days on ordinary pictures."""
    register(engine, home / "bundles", name="v2", labels=LABELS, promoted_at=None)
    with transaction(engine) as connection:
        now = night_after(LAST_DAY).now() + timedelta(hours=1)
        registry.promote(connection, "v2", now=now, by="worker", reason="passed the gate")
    for number in range(LAST_DAY + 1, LAST_DAY + 1 + days):
        _take_pictures(engine, home, number, LABELS, faulty=False)
        examine(engine, home, number)


def examine(engine: Engine, home: Path, number: int) -> None:
    """Let the monitor examine the day of that number, in the night after it."""
    daily.run(
        engine,
        day(number),
        options=_OPTIONS,
        clock=night_after(number),
        holder="test",
        reports=home / "reports",
    )


def _take_pictures(
    engine: Engine, home: Path, number: int, labels: Sequence[str], *, faulty: bool = True
) -> None:
    folder = home / "pool"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    fallen = LABELS.index(WEAK) if faulty and number >= FAULT_DAY else None
    rows: list[Image] = []
    for place in range(len(labels)):
        for i in range(_PER_LABEL):
            painted = int(rng.integers(len(labels))) if rng.random() < _SLIPS else place
            if place == fallen and i > 0:
                painted = LABELS.index(TAKEN_FOR)
            seed = number * 1000 + place * 100 + i
            drawn = picture(labels[painted], labels=labels, seed=seed)
            # Dark ones: else they would be pictures of that other class under a wrong label.
            faded = place == fallen and i > 0
            data = png((drawn * _DIMMED).astype(np.uint8) if faded else drawn)
            path = folder / f"{number}-{place}-{i}.png"
            path.write_bytes(data)
            rows.append(drawn_image(path, data, labels[place], day(number), seed))
    with transaction(engine) as connection:
        images.insert(connection, rows)


def verdict_of_the_gate(labels: Sequence[str]) -> Verdict:
    """Return a verdict as the gate writes it: the class is repaired, another one is not safe."""
    weak, other = labels[LABELS.index(WEAK)], labels[LABELS.index(TAKEN_FOR)]
    return Verdict(
        decision="refuse",
        reasons=(f"{other} is shown to be worse: 16 of 300 lost, 1 gained",),
        classes=(
            Comparison(other, 300, 1, 16, -0.05, 0.0135, -0.0722, -0.0278, "worse", False, 0),
            Comparison(labels[0], 300, 3, 5, -0.0067, 0.0094, -0.0221, 0.0088, "well", True, 0),
            Comparison(weak, 300, 120, 4, 0.3867, 0.0335, 0.3316, 0.4418, "better", True, 0),
        ),
        flagged=(Improvement(weak, 300, 120, 4, 2e-31, 2e-31, True, 0),),
        overall=Comparison(
            "all images", 900, 124, 25, 0.11, 0.0131, 0.0885, 0.1315, "better", True, 0
        ),
        ece=0.031,
        ece_by_chance=0.04,
        max_ece=0.1,
        latency_ratio=1.02,
        max_latency_ratio=1.5,
        margin=0.05,
        overall_margin=0.01,
        look=1,
        alpha=0.05,
        missing={},
    )
