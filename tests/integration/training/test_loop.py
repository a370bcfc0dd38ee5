"""The whole loop on a tiny network: a class gets worse, and nobody does anything but label."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from core.clock import FixedClock, day_bounds
from core.store import jobs, probations, registry
from core.store.database import transaction
from monitor import daily
from monitor.page import MonitorOptions
from tests.training import NOW, add, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.config import RetrainOptions
from trainer.worker import Worker

# A dozen gate images rule out no small drop; a tiny graph's latency is all noise.
OPTIONS = RetrainOptions(
    device="cpu",
    learning_rate=5e-3,
    epochs=6,
    gate_margin=0.25,
    gate_overall_margin=0.1,
    max_ece=0.9,
    max_latency_ratio=1000,
    variants="",
)
WATCH = MonitorOptions(per_class=8, adaptive=False, drift_rows=50, report_days=0)


def _live(engine: Engine, home: Path, number: int, *, dull: bool) -> None:
    """Let a day pass: eight pictures of each class to be judged by, and four to learn from."""
    day = NOW.date() + timedelta(days=number)
    start, end = day_bounds(day)
    for label in ("Blue", "Green", "Red"):
        add(
            engine,
            home / f"day{number}",
            [label],
            per_side={"train": 4, "val": 2, "test": 8},
            now=start + timedelta(hours=10),
            dull=dull and label == "Red",
            first=100 * number,
        )
    night = end + timedelta(hours=2)
    daily.run(
        engine, day, options=WATCH, clock=FixedClock(night), holder="t", reports=home / "reports"
    )
    worker = Worker(
        engine,
        options=OPTIONS,
        lease_s=600,
        max_attempts=1,
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(night + timedelta(minutes=20)),
        name="t",
        work={"retrain": pipeline.retrain},
    )
    worker.run_once(threading.Event())


def test_a_weak_class_is_repaired_and_its_repair_watched(engine: Engine, tmp_path: Path):
    """First the job says what it lacks; a night later it has it, repairs Red, and takes over."""
    add(engine, tmp_path / "pool", per_side={"train": 12, "val": 8, "test": 20})
    folders = {"bundles": tmp_path / "bundles", "runs": tmp_path / "runs"}
    pipeline.train(engine, tiny_config(tiny_backbone(tmp_path)), **folders, clock=FixedClock(NOW))
    for number in (1, 2, 3):
        _live(engine, tmp_path, number, dull=number > 1)
    _live(engine, tmp_path, 4, dull=True)

    with transaction(engine) as connection:
        repaired, short = jobs.latest(connection)
        moves = [(move.version, move.by) for move in registry.history(connection)]
        (probation,) = probations.of_version(connection, "v2")
    assert short.result is not None
    assert (short.status, short.result["missing"]) == ("more images", {"Red": 1})
    assert (repaired.status, repaired.payload["grounds"][0]["since"]) == ("promoted", "2026-03-03")
    assert moves == [("v1", "trainer"), ("v2", "worker")]
    whole = probation.evidence["whole"]
    assert (probation.status, whole["n"], whole["lost"]) == ("open", 24, 0)
    assert whole["gained"] > 0
