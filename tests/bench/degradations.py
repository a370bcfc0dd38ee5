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
from datetime import UTC, date, datetime
from pathlib import Path

from core.store import embedded
from tests.bench.photographs import Base, own_database, pictures_of, train, write_table
from tests.degradations import DAYS, FAULT_DAY, Lived, Plan, degradations, live
from tests.pool import admit

BASE = Base(learnt=80, validated=30, tested=20, at=datetime(2026, 1, 31, tzinfo=UTC))
PER_DAY = 10
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
    pictures = pictures_of(asked.photos, BASE.pictures + DAYS * PER_DAY, asked.seed)
    found: dict[str, Lived] = {}
    with tempfile.TemporaryDirectory(prefix="weakspot-degradations-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # root's Postgres runs as another user, who must get in
        with embedded.connect(home / "postgres") as server:
            with own_database(server.url, "base") as engine:
                result = train(engine, home, pictures, BASE, asked.backbone)
            sys.stderr.write(
                f"top-1 {result.metrics['test']['top1']:.3f} on {BASE.tested} a class\n"
            )
            fresh = {
                label: [path.read_bytes() for path in paths[-DAYS * PER_DAY :]]
                for label, paths in pictures.items()
            }
            for number, (name, degrade) in enumerate(WAYS.items()):
                with own_database(server.url, f"way_{number}") as engine:
                    bundle = home / "bundles" / result.version
                    admit(engine, bundle, promoted_at=datetime(2026, 2, 20, tzinfo=UTC))
                    found[name] = live(engine, home / name, fresh, plan, (name, degrade))
                sys.stderr.write(f"{name}: {found[name]}\n")
    plain = {name: dataclasses.asdict(each) for name, each in found.items()}
    sys.stdout.write(json.dumps(plain, indent=1) + "\n")
    if asked.write:
        _write(asked.write, plan, found)


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
    write_table(page, "degradations", lines)


if __name__ == "__main__":
    main()
