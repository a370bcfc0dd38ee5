"""What is told of trainings: figures that may not be there, and groups that workers carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command

from core.store.job_rows import Job
from trainer.config import FROM_SCRATCH_RATE, RATE, RunConfig
from trainer.fitting.passes import Epoch
from trainer.pipeline import TrainResult
from weakspot import training_log, training_text
from weakspot.cli import app

METRICS: dict[str, Any] = {"top1": 0.5, "macro_f1": 0.25, "auroc": None, "ece": 0.125}


def _job(number: int, **payload: Any) -> Job:
    blank = dict.fromkeys(Job.__dataclass_fields__)
    job = Job(**blank)  # type: ignore[arg-type]
    said = {"id": number, "status": "trained", "kind": "train", "challenger": f"v{number}"}
    return replace(job, **said, payload=payload, result={"metrics": {"test": METRICS}})


def _drawn(table: Any) -> str:
    console = Console(width=200)
    with console.capture() as said:
        console.print(table)
    return said.get()


class TestReport:
    """`report`."""

    def test_has_a_dash_where_nothing_was_measured(self):
        """The version is registered by then: a class without test images must not hide that."""
        metrics = {"test": METRICS | {"per_class": {"Cat": 0.5, "Dog": None}}}

        said = training_text.report(TrainResult("v1", 3.0, metrics, True, "d"), is_champion=True)

        assert "AUROC -, ECE 0.125" in said
        assert [line.split() for line in said.splitlines()[1:3]] == [
            ["Cat", "50.0", "%"],
            ["Dog", "-"],
        ]


class TestGroups:
    """`queued_table`, `brief` and `configuration`."""

    def test_show_what_differs_and_what_came_of_it(self):
        """As a group that was not queued does."""
        group = [_job(7, backbone="a/b", seed=0, ema=0.9), _job(8, backbone="a/b", seed=1, ema=0.9)]

        said = _drawn(training_text.queued_table(group)).replace("│", " ").splitlines()

        assert [line.split() for line in said if "trained" in line] == [
            ["7", "trained", "0", "v7", "50.0", "%", "0.250", "0.125"],
            ["8", "trained", "1", "v8", "50.0", "%", "0.250", "0.125"],
        ]
        assert training_text.differing(group) == ["seed"]
        assert training_text.brief(group[1].payload, ["seed"]) == "seed 1"
        assert training_text.brief(group[1].payload, []) == "b"

    def test_a_configuration_is_what_is_said(self):
        """What was left open is left out."""
        found = training_text.configuration({"epochs": 3, "ema": None, "labels": ["A", "B"]})

        assert [line.split() for line in found] == [
            ["configuration"],
            ["epochs", "3"],
            ["labels", "A,", "B"],
        ]


class TestHelp:
    """`weakspot train --help`."""

    def test_says_the_defaults_that_a_run_has(self):
        """They are written by hand there: the verb must not load torch to be listed."""
        train = get_command(app).commands["train"]  # type: ignore[attr-defined]
        said = {each.name: str(each.show_default) for each in train.params}
        rates = f"{RATE:g}; {FROM_SCRATCH_RATE:g} from scratch"

        for name in ("epochs", "batch_size", "weight_decay", "patience", "label_smoothing", "seed"):
            assert float(said[name]) == getattr(RunConfig(), name)
        for name in ("backbone", "freeze", "schedule", "augment", "sampling", "strategy", "name"):
            assert said[name] == getattr(RunConfig(), name)
        assert said["learning_rate"] == rates.replace("0.0002", "2e-4").replace("0.002", "2e-3")


class TestLog:
    """`weakspot.training_log.told`, where stderr is no terminal."""

    def test_says_stages_and_passes(
        self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        """Half an hour without a word looks like a training that hangs."""
        monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))

        with training_log.told(as_json=False) as on_progress:
            for done in range(9):
                on_progress("decoding", done, 9)
            training_log.on_epoch(Epoch(2, 5, 0.5, 0.4, 0.9, 1e-3, 7.0))

        said = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()]
        assert said == [
            "decoding: 0 of 9, after 0 s",
            "pass 2 of 5: loss 0.5000, validation loss 0.4000, top-1 90.0 %, 7.0 s",
        ]
