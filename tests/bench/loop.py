"""Runs the whole loop on real photographs: a class gets worse, and nobody does anything.

    python -m tests.bench.loop --photos DIR --backbone DIR --write docs/training.md

DIR holds class folders (below train/, val/ and test/, or alone) with 435 pictures of each class. A
ResNet50 whose backbone is frozen learns 95 of each. Ten more arrive every day, labelled; from day
4 on those of one class are degraded. Monitor and worker do the rest: flag, retrain, examine,
promote. A hundred pictures of each class are kept away from all of it, the weak class's degraded,
and say what the loop was worth. With `--write` the table replaces the part of the file between its
marks.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from PIL import Image
from sqlalchemy import Engine

from core import catalog
from core.bundle.runner import Runner
from core.clock import FixedClock, day_bounds
from core.images.decode import decode
from core.images.preprocess import preprocess
from core.store import embedded, jobs, registry
from core.store.database import transaction
from monitor import daily
from monitor.page import MonitorOptions
from tests.bench.photographs import (
    Base,
    Pictures,
    own_database,
    pictures_of,
    train,
    write_table,
)
from tests.degradations import degradations
from trainer import pipeline
from trainer.config import RetrainOptions
from trainer.worker import Worker

BASE = Base(learnt=95, validated=40, tested=100, at=datetime(2026, 2, 27, tzinfo=UTC))
KEPT, PER_DAY, DAYS, FAULT_DAY = 100, 10, 10, 4
FIRST = date(2026, 3, 1)
ARRIVING_SPLIT = (0.6, 0.1, 0.3)
WAYS = degradations(blur=8, light=0.08, kept=0.35)
CASES = {
    "Spider": "blur",
    "Cat": "crop",
    "Elephant": "darkness",
    "Butterfly": "blur",
    "Lizard": "crop",
}


@dataclass(frozen=True)
class Found:
    """What became of one case.

    Attributes:
        way: How the class was degraded.
        flagged: Day of its flag, counted from the fault; None without one.
        promoted: Day of the first promotion, likewise.
        before: Accuracy of the first champion on degraded pictures that nobody has seen.
        after: And of the last.
        worst: The other class that lost most on its kept pictures.
        lost: By how much.
        jobs: How they ended, in order, and where on the path from the champion.
        seconds: What it took.
    """

    way: str
    flagged: int | None
    promoted: int | None
    before: float
    after: float
    worst: str
    lost: float
    jobs: list[str]
    seconds: float


def main() -> None:
    """Train once, let the loop run for each case, and print what it was worth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--backbone", default="microsoft/resnet-50")
    parser.add_argument("--classes", default=",".join(CASES))
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    pictures = pictures_of(asked.photos, BASE.pictures + KEPT + DAYS * PER_DAY, asked.seed)
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(prefix="weakspot-loop-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # root's Postgres runs as another user, who must get in
        with embedded.connect(home / "postgres") as server:
            with own_database(server.url, "base") as engine:
                result = train(engine, home, pictures, BASE, asked.backbone)
            sys.stderr.write(f"trained in {result.seconds:.0f} s: {result.metrics['test']}\n")
            for label in asked.classes.split(","):
                with own_database(server.url, f"loop_{label.lower()}", "base") as engine:
                    case = _Case(engine, home, pictures, label, CASES[label], asked.margin)
                    found[label] = case.run()
                sys.stderr.write(f"{label}: {found[label]}\n")
    plain = {label: dataclasses.asdict(each) for label, each in found.items()}
    sys.stdout.write(json.dumps(plain, indent=1) + "\n")
    if asked.write:
        _write(asked.write, found)


class _Case:
    """One class that gets worse."""

    def __init__(
        self,
        engine: Engine,
        home: Path,
        pictures: Pictures,
        weak: str,
        way: str,
        margin: float,
    ) -> None:
        self._engine, self._home, self._pictures = engine, home, pictures
        self._weak, self._way = weak, way
        self._folder = home / f"case-{weak}"
        # Nothing here serves, so that no variants are needed.
        self._options = RetrainOptions(gate_margin=margin, variants="")
        self._at = FixedClock(BASE.at)

    def run(self) -> Found:
        """Live through the days."""
        begun = time.monotonic()
        first = self._champion()
        flagged = promoted = None
        for number in range(1, DAYS + 1):
            today = FIRST + timedelta(days=number - 1)
            self._arrive(number, today)
            self._at = FixedClock(day_bounds(today)[1] + timedelta(hours=2))
            report = daily.run(
                self._engine,
                today,
                options=MonitorOptions(per_class=PER_DAY),
                clock=self._at,
                holder="bench",
                reports=self._folder / "reports",
            )
            if self._weak in report.opened and flagged is None:
                flagged = number - FAULT_DAY + 1
            self._work()
            if promoted is None and self._champion() != first:
                promoted = number - FAULT_DAY + 1
        before, after = (self._kept(uri) for uri in (first, self._champion()))
        lost = {label: before[label] - after[label] for label in before if label != self._weak}
        worst = max(lost, key=lambda label: lost[label])
        with transaction(self._engine) as connection:
            ended = [_told(job) for job in reversed(jobs.latest(connection))]
        return Found(
            self._way,
            flagged,
            promoted,
            before[self._weak],
            after[self._weak],
            worst,
            lost[worst],
            ended,
            round(time.monotonic() - begun, 1),
        )

    def _champion(self) -> str:
        with transaction(self._engine) as connection:
            serving = registry.champion(connection)
        assert serving is not None
        return serving.uri

    def _work(self) -> None:
        worker = Worker(
            self._engine,
            options=self._options,
            lease_s=600,
            max_attempts=1,
            bundles=self._folder / "bundles",
            runs=self._home / "runs",
            clock=self._at,
            name="bench",
            work={"retrain": pipeline.retrain},
        )
        while worker.run_once(threading.Event()):
            pass

    def _arrive(self, number: int, today: date) -> None:
        folder = self._folder / f"day-{number:02}"
        folder.mkdir(parents=True)
        noon = day_bounds(today)[0] + timedelta(hours=12)
        lines = ["path,label,captured_at"]
        for label, paths in self._pictures.items():
            start = BASE.pictures + KEPT + (number - 1) * PER_DAY
            for path in paths[start : start + PER_DAY]:
                worse = label == self._weak and number >= FAULT_DAY
                placed = folder / f"{label}-{path.name}"
                placed.write_bytes(self._degraded(path) if worse else path.read_bytes())
                lines.append(f"{placed},{label},{noon.isoformat()}")
        listing = folder / "day.csv"
        listing.write_text("\n".join(lines), encoding="utf-8")
        catalog.import_images(
            self._engine, str(listing), split=ARRIVING_SPLIT, added_at=noon + timedelta(hours=1)
        )

    def _degraded(self, path: Path) -> bytes:
        with Image.open(path) as picture:
            return WAYS[self._way](picture)

    def _kept(self, uri: str) -> dict[str, float]:
        """Return a version's accuracy on the kept pictures of each class."""
        runner = Runner.open(Path(uri))
        found: dict[str, float] = {}
        for label, paths in self._pictures.items():
            start = BASE.pictures
            right = 0
            for path in paths[start : start + KEPT]:
                data = self._degraded(path) if label == self._weak else path.read_bytes()
                image = preprocess(decode(data), runner.recipe)
                said = runner.run(image[None]).logits.argmax()
                right += runner.labels[int(said)] == label
            found[label] = right / KEPT
        return found


def _told(job: jobs.Job) -> str:
    alpha = (job.result or {}).get("alpha")
    return str(job.status) if alpha is None else f"{job.status} at {alpha:g}"


def _write(page: Path, found: Mapping[str, Found]) -> None:
    lines = [
        "| class | from day 4 on | flagged, days | promoted, days | right before | right after | "
        "other class that lost most | jobs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for label, each in found.items():
        lines.append(
            f"| {label} | {each.way} | {each.flagged or 'never'} | {each.promoted or 'never'} | "
            f"{100 * each.before:.0f} % | {100 * each.after:.0f} % | "
            f"{each.worst}, {100 * each.lost:.1f} points | {', '.join(each.jobs) or 'none'} |"
        )
    write_table(page, "loop", lines)


if __name__ == "__main__":
    main()
