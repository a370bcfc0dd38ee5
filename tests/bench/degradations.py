"""Measures days to alarm on real photographs: five degradations, thirty days each.

    python -m tests.bench.degradations --photos DIR --backbone DIR --write docs/detection.md

DIR holds train/, val/ and test/, or class folders alone; 430 pictures of each class are used. A
ResNet50 whose backbone is frozen learns 80 of each class, 50 more set its reference, and the other
300 arrive over thirty days, ten a day. Then one class gets worse in one way, from day 11 on. With
`--write` the table replaces the part of the file between its marks.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql
from sqlalchemy import Engine, make_url

from core import catalog
from core.clock import FixedClock
from core.store import database, embedded
from tests.degradations import DAYS, FAULT_DAY, Lived, Plan, degradations, live
from tests.pool import admit
from trainer import pipeline

BEGIN, END = "<!-- degradations: begin -->", "<!-- degradations: end -->"
LEARNT, VALIDATED, TESTED, PER_DAY = 80, 30, 20, 10
TRAINED_AT = datetime(2026, 1, 31, tzinfo=UTC)
WAYS = degradations(blur=8, light=0.08, kept=0.35)


def main() -> None:
    """Train once, live through thirty days for each degradation, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--backbone", default="microsoft/resnet-50")
    parser.add_argument("--weak", default="Spider")
    parser.add_argument("--donor", default="Beetle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    plan = Plan(asked.weak, asked.donor, date(2026, 3, 1), PER_DAY)
    pictures = _pictures(asked.photos, asked.seed)
    found: dict[str, Lived] = {}
    with tempfile.TemporaryDirectory(prefix="weakspot-degradations-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # root's Postgres runs as another user, who must get in
        with embedded.connect(home / "postgres") as server:
            with _database(server.url, "base") as engine:
                result = _train(engine, home, pictures, asked.backbone)
            sys.stderr.write(f"top-1 {result.metrics['test']['top1']:.3f} on {TESTED} a class\n")
            fresh = {
                label: [path.read_bytes() for path in paths[-DAYS * PER_DAY :]]
                for label, paths in pictures.items()
            }
            for number, (name, degrade) in enumerate(WAYS.items()):
                with _database(server.url, f"way_{number}") as engine:
                    bundle = home / "bundles" / result.version
                    admit(engine, bundle, promoted_at=datetime(2026, 2, 20, tzinfo=UTC))
                    found[name] = live(engine, home / name, fresh, plan, (name, degrade))
                sys.stderr.write(f"{name}: {found[name]}\n")
    plain = {name: dataclasses.asdict(each) for name, each in found.items()}
    sys.stdout.write(json.dumps(plain, indent=1) + "\n")
    if asked.write:
        _write(asked.write, plan, found)


def _pictures(folder: Path, seed: int) -> dict[str, list[Path]]:
    """Return the files of each class, in an order that the seed alone decides."""
    by_label: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
            by_label.setdefault(path.parent.name, []).append(path)
    needed = LEARNT + VALIDATED + TESTED + DAYS * PER_DAY
    rng = np.random.default_rng(seed)
    for label, paths in by_label.items():
        if len(paths) < needed:
            sys.exit(f"{label} has {len(paths)} pictures, and {needed} are needed")
        by_label[label] = [paths[i] for i in rng.permutation(len(paths))[:needed]]
    return by_label


def _train(
    engine: Engine, home: Path, pictures: dict[str, list[Path]], backbone: str
) -> pipeline.TrainResult:
    lines = ["path,label,split"]
    for label, paths in pictures.items():
        sides = ["train"] * LEARNT + ["val"] * VALIDATED + ["test"] * TESTED
        lines += [f"{path},{label},{side}" for path, side in zip(paths, sides, strict=False)]
    listing = home / "base.csv"
    listing.write_text("\n".join(lines), encoding="utf-8")
    catalog.import_images(engine, str(listing), added_at=TRAINED_AT)
    config = pipeline.RunConfig(backbone=backbone, freeze="backbone")
    return pipeline.train(
        engine,
        config,
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(TRAINED_AT),
        on_progress=lambda stage, done, total: None,
    )


@contextmanager
def _database(url: str, name: str) -> Iterator[Engine]:
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    address = make_url(url).set(database=name).render_as_string(hide_password=False)
    database.upgrade(address)
    engine = database.create_engine(address)
    yield engine
    engine.dispose()


def _write(page: Path, plan: Plan, found: dict[str, Lived]) -> None:
    lines = [
        f"| {plan.weak} from day {FAULT_DAY} | right before | right after | days to alarm | "
        f"false alarms in {DAYS} days, all classes |",
        "|---|---|---|---|---|",
    ]
    for name, each in found.items():
        alarm = each.alarm_day if each.alarm_day is not None else f"none in {DAYS - FAULT_DAY + 1}"
        wrong = ", ".join(f"{label} (day {day})" for day, label in each.false_alarms) or "none"
        lines.append(
            f"| {name} | {100 * each.before:.0f} % | {100 * each.after:.0f} % | {alarm} | {wrong} |"
        )
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    table = "\n".join(lines)
    page.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
