"""A training that is killed is gone on with, and ends as it would have ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.bundle import files
from core.clock import FixedClock
from tests.killed_training import die_training
from tests.training import NOW, add, tiny_backbone, tiny_config
from tests.workers import fork
from trainer import pipeline, run_file
from trainer.fitting.passes import Epoch
from trainer.pipeline import TrainResult


@pytest.fixture
def folder(engine: Engine, tmp_path: Path) -> Path:
    """Where the pool and the backbone lie; 36 pictures are five steps of eight a pass."""
    add(engine, tmp_path / "pool", per_side={"train": 12, "val": 5, "test": 4})
    tiny_backbone(tmp_path)
    return tmp_path


def _train(engine: Engine, folder: Path) -> tuple[TrainResult, list[int]]:
    passes: list[int] = []

    def look(epoch: Epoch) -> None:
        passes.append(epoch.number)

    result = pipeline.train(
        engine,
        tiny_config(folder / "tiny-resnet", epochs=3, patience=None),
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
        on_epoch=look,
    )
    return result, passes


class TestKilled:
    """F12: kill -9 while it fits."""

    def test_goes_on_after_the_last_whole_pass_and_ends_the_same(
        self, engine: Engine, database_url: str, folder: Path
    ):
        """An hour of training is not lost to a power cut, and its result is not another one."""
        killed = fork(die_training, database_url, folder, 7)
        killed.join(120)
        left = {path.name for path in (folder / "runs").glob("train-*/*")}

        resumed, its_passes = _train(engine, folder)
        whole, all_passes = _train(engine, folder)

        assert killed.exitcode == -signal.SIGKILL
        assert {"checkpoint.pt", "train.npy", "train.json", "val.npy", "val.json"} <= left
        assert (its_passes, resumed.resumed_after) == ([2, 3], 1)
        assert (all_passes, whole.resumed_after) == ([1, 2, 3], 0)
        assert resumed.version != whole.version
        assert resumed.digest == whole.digest
        assert not list((folder / "runs").glob("train-*"))

        kept = folder / "bundles" / whole.version / run_file.NAME
        again = run_file.configs(kept, given={}, otherwise={})
        assert again == [tiny_config(folder / "tiny-resnet", epochs=3, patience=None)]
        assert run_file.NAME in files.verify(kept.parent).files
