"""`weakspot train`: groups of runs, runs repeated from their bundle, and comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Engine

from core.store import jobs, registry
from core.store.database import transaction
from tests.tensorboard_events import scalars
from tests.training import SIZE, add, tiny_backbone
from trainer.config import RunConfig
from weakspot import front
from weakspot.cli import app

Weakspot = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def weakspot(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Weakspot:
    """Run the command in this process, on this test's database: exit code, and what it printed."""
    monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))
    monkeypatch.setenv("WEAKSPOT_DATABASE_URL", database_url)
    monkeypatch.setenv("WEAKSPOT_TRAINER_DEVICE", "cpu")
    monkeypatch.setenv("WEAKSPOT_TRAINER_VARIANTS", "")

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            front.run(app, [*words, "--json"])
        return int(str(ended.value.code)), json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def options(engine: Engine, tmp_path: Path) -> str:
    """What every run of these tests has in common, as YAML; the pool is there."""
    add(engine, tmp_path / "pool", per_side={"train": 6, "val": 3, "test": 3})
    backbone = tiny_backbone(tmp_path)
    return (
        f"backbone: {backbone}\nimage_size: {SIZE}\nbatch_size: 8\nlearning_rate: 5e-3\nepochs: 1\n"
    )


class TestConfig:
    """`--config`."""

    def test_runs_a_grid_and_any_run_of_it_again(
        self, weakspot: Weakspot, options: str, tmp_path: Path
    ):
        """One run that fails does not end the night, and the best one is made again at will."""
        (tmp_path / "grid.yaml").write_text(options + "grid: {freeze: [none, 'stages:9']}\n")

        code, told = weakspot("train", "--config", str(tmp_path / "grid.yaml"))

        first, second = told["runs"]
        assert (code, first["options"], second["options"]["freeze"]) == (
            1,
            {"freeze": "none"},
            "stages:9",
        )
        assert "has 2 stages" in second["error"]

        kept = tmp_path / "bundles" / first["version"] / "run.yaml"
        code, again = weakspot("train", "--config", str(kept))
        assert (code, again["digest"]) == (0, first["digest"])
        assert again["version"] != first["version"]

    def test_leaves_a_group_to_the_workers(
        self, weakspot: Weakspot, options: str, tmp_path: Path, engine: Engine
    ):
        """A grid of a night on the machine that has the GPU."""
        (tmp_path / "grid.yaml").write_text(options + "labels: [Red, Blue]\ngrid: {seed: [1, 2]}\n")

        _, told = weakspot("train", "--config", str(tmp_path / "grid.yaml"), "--queue")

        with transaction(engine) as connection:
            queued = [jobs.get(connection, number) for number in told["jobs"]]
        assert [job.kind for job in queued] == ["train", "train"]
        read = [TypeAdapter(RunConfig).validate_python(job.payload) for job in queued]
        assert [(run.seed, run.labels) for run in read] == [
            (1, ("Red", "Blue")),
            (2, ("Red", "Blue")),
        ]

    def test_refuses_an_option_that_there_is_not(self, weakspot: Weakspot, tmp_path: Path):
        """With the one that was meant."""
        (tmp_path / "run.yaml").write_text("epoch: 3\n")

        code, told = weakspot("train", "--config", str(tmp_path / "run.yaml"))

        assert (code, told["error"]) == (2, "UsageError")
        assert "no option 'epoch'; the nearest is 'epochs'" in told["detail"]


class TestTensorboard:
    """`WEAKSPOT_TRAINER_TENSORBOARD`."""

    def test_a_run_that_goes_on_goes_on_with_its_log(
        self,
        weakspot: Weakspot,
        options: str,
        tmp_path: Path,
        engine: Engine,
        monkeypatch: pytest.MonkeyPatch,
    ):
        """Its curve is one curve, with the passes from before it was broken off."""
        monkeypatch.setenv("WEAKSPOT_TRAINER_TENSORBOARD", "True")
        (tmp_path / "run.yaml").write_text(options)
        words = ("train", "--config", str(tmp_path / "run.yaml"))
        rename = "ALTER TABLE versions RENAME COLUMN {} TO {}"
        with transaction(engine) as connection:
            connection.execute(sa.text(rename.format("code_version", "gone")))

        broken, _ = weakspot(*words)
        with transaction(engine) as connection:
            connection.execute(sa.text(rename.format("gone", "code_version")))
        code, told = weakspot(*words)

        (log,) = (tmp_path / "tensorboard").iterdir()
        found = scalars(log)
        assert (broken, code, told["resumed_after"]) == (1, 0, 1)
        assert ("loss/training", 1) in found
        assert found[("test/top1", 1)] == pytest.approx(told["metrics"]["test"]["top1"])


class TestCompare:
    """`--compare`."""

    def test_tells_what_to_expect_of_each_and_registers_nothing(
        self, weakspot: Weakspot, options: str, tmp_path: Path, engine: Engine
    ):
        """The small experiment that predicts the large one."""
        (tmp_path / "run.yaml").write_text(options)
        backbones = f"{tmp_path / 'tiny-resnet'},{tmp_path / 'none'}"

        code, told = weakspot(
            *("train", "--config", str(tmp_path / "run.yaml"), "--compare", backbones),
            *("--limit-per-class", "4", "--classes", "Red,Blue"),
        )

        found, failed = told["backbones"]
        assert code == 1
        assert (found["n"], found["error"]) == (6, "")
        assert 0 <= found["accuracy"] <= 1
        assert found["parameters"] == 1_766
        assert min(found["seconds_per_epoch"], found["latency_ms"]) > 0
        assert "no folder that holds an image classifier" in failed["error"]
        with transaction(engine) as connection:
            assert registry.versions(connection) == []
        assert {path.name for path in (tmp_path / "runs").iterdir()} <= {"features"}

    def test_takes_one_configuration(self, weakspot: Weakspot, tmp_path: Path):
        """A table of everything against everything is a grid of backbones."""
        (tmp_path / "run.yaml").write_text("grid: {epochs: [1, 2]}\n")

        code, told = weakspot(
            "train", "--config", str(tmp_path / "run.yaml"), "--compare", "microsoft/resnet-50"
        )

        assert (code, "not a group of 2" in told["detail"]) == (2, True)
