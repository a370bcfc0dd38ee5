"""Training and retraining, from the pool to the registry, on a tiny backbone."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from core.clock import FixedClock
from tests.training import NOW, add, tiny_backbone, tiny_config
from trainer import pipeline


class TestTrain:
    """The first version of a pool."""

    def test_registers_a_champion_whose_bundle_opens(self, engine: Engine, tmp_path: Path):
        add(engine, tmp_path / "pool", per_side={"train": 16, "val": 6, "test": 6})
        config = tiny_config(tiny_backbone(tmp_path))
        result = pipeline.train(
            engine,
            config,
            bundles=tmp_path / "b",
            runs=tmp_path / "r",
            clock=FixedClock(NOW),
            on_progress=print,
        )
        print(result)
        assert 0
