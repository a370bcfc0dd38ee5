"""A search through options, over tiny runs, kept in Postgres."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy import Engine

from core.clock import FixedClock
from core.errors import TrainingError, UsageError
from core.store import registry, trials
from core.store.database import transaction
from core.store.trials import Study
from tests.training import NOW, add, tiny_backbone, tiny_config
from trainer import run_file
from trainer.config import RunConfig
from trainer.search import studies, tune
from trainer.search.search_space import parse
from trainer.search.tune import Plan
from weakspot.commands import tune as verb

optuna = pytest.importorskip("optuna")

ROOT = Path(__file__).resolve().parents[3]
SPACE = {
    "learning_rate": {"low": "1e-4", "high": "3e-2", "log": True},
    "augment": ["none", "light"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures and runs lie."""
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def base(module_engine: Engine, folder: Path) -> RunConfig:
    """A run of three passes over eighteen pictures."""
    add(module_engine, folder / "pool", per_side={"train": 6, "val": 6})
    return tiny_config(tiny_backbone(folder), epochs=3, patience=None)


@pytest.fixture(scope="module")
def found(module_engine: Engine, folder: Path, base: RunConfig) -> Study:
    """A search of three trials."""
    return _search(module_engine, folder, base, Plan("first", 3, prune=False))


def _search(
    engine: Engine,
    folder: Path,
    base: RunConfig,
    plan: Plan,
    space: dict[str, object] | None = None,
) -> Study:
    return tune.search(
        engine,
        base,
        parse(space or SPACE, base),
        plan,
        runs=folder / "runs",
        clock=FixedClock(NOW),
    )


class TestSearch:
    """Trials, until there are enough."""

    def test_keeps_every_trial_with_its_options_and_passes(self, found: Study):
        """What a table or a chart of the search is made of."""
        assert [each.state for each in found.trials] == ["COMPLETE"] * 3
        for each in found.trials:
            assert 1e-4 <= each.options["learning_rate"] <= 3e-2
            assert [number for number, _ in each.passes] == [1, 2, 3]
            assert each.accuracy == pytest.approx(max(value for _, value in each.passes))

    def test_says_which_was_best_and_what_mattered(self, found: Study, base: RunConfig):
        """The best can be trained as it was."""
        assert found.best is not None
        assert found.best.accuracy == max(each.accuracy or 0 for each in found.trials)
        assert tune.best_run(found, base) == replace(base, **found.best.options)
        assert [value for _, value in found.history()] == sorted(v for _, v in found.history())

    def test_registers_nothing(self, module_engine: Engine, found: Study):
        """Trials are trials."""
        assert found.trials
        with transaction(module_engine) as connection:
            assert registry.versions(connection) == []

    def test_leaves_no_run_behind(self, found: Study, folder: Path):
        """Decoded pixels are large."""
        assert found.trials
        assert not [each for each in (folder / "runs").iterdir() if each.name != "features"]

    def test_goes_on_by_its_name(
        self, module_engine: Engine, folder: Path, base: RunConfig, found: Study
    ):
        """Trials made are not made again."""
        again = _search(module_engine, folder, base, Plan("first", 4, prune=False))

        assert again.trials[:3] == found.trials
        assert len(again.trials) == 4
        assert again.facts["snapshot"] == found.facts["snapshot"]

    def test_refuses_another_space_under_the_same_name(
        self, module_engine: Engine, folder: Path, base: RunConfig, found: Study
    ):
        """Its trials could not be compared."""
        assert found.trials
        with pytest.raises(UsageError, match="begun with another space; give this one another"):
            _search(module_engine, folder, base, Plan("first", 9), {"ema": [None, 0.9]})

    def test_sees_the_images_it_began_with(
        self, module_engine: Engine, folder: Path, base: RunConfig, found: Study
    ):
        """An image that is gone makes it another search; one that is new does not."""
        assert found.trials
        with transaction(module_engine) as connection:
            connection.execute(sa.text("UPDATE images SET split = 'test' WHERE id = 1"))

        try:
            with pytest.raises(TrainingError, match="images of the search 'first' have changed"):
                _search(module_engine, folder, base, Plan("first", 9))
        finally:
            with transaction(module_engine) as connection:
                connection.execute(sa.text("UPDATE images SET split = 'train' WHERE id = 1"))

    def test_ends_trials_early_that_lag_behind(
        self, module_engine: Engine, folder: Path, base: RunConfig
    ):
        """Beside a dozen that were always right, one that learns nothing ends after a pass."""
        # By its name and number, this trial is in the bracket that is looked at after one pass.
        plan, space = Plan("slow", 13, sampler="random"), {"learning_rate": [1e-9, 1e-8]}
        with studies.opened(module_engine, plan, parse(space, base), epochs=3) as study:
            for _ in range(12):
                study.add_trial(_perfect())

        found = _search(module_engine, folder, base, plan, space)

        assert [each.state for each in found.trials[:12]] == ["COMPLETE"] * 12
        assert found.trials[12].state == "PRUNED"
        assert [number for number, _ in found.trials[12].passes] == [1]

    def test_a_grid_takes_each_combination_once(
        self, module_engine: Engine, folder: Path, base: RunConfig
    ):
        """And then it is over, however many trials were asked for."""
        space = {"freeze": ["backbone", "stages:1"], "ema": [None]}
        plan = Plan("grid", 9, sampler="grid", prune=False)

        found = _search(module_engine, folder, base, plan, space)

        assert sorted(each.options["freeze"] for each in found.trials) == ["backbone", "stages:1"]
        assert all(each.state == "COMPLETE" for each in found.trials)

    def test_a_trial_that_fails_does_not_end_the_search(
        self,
        module_engine: Engine,
        folder: Path,
        base: RunConfig,
        capfd: pytest.CaptureFixture[str],
    ):
        """At too high a rate training diverges; that is a finding."""
        space = {"learning_rate": [1e30, 5e-3]}
        plan = Plan("failing", 2, sampler="grid", prune=False)

        found = _search(module_engine, folder, base, plan, space)

        by_rate = {each.options["learning_rate"]: each for each in found.trials}
        assert by_rate[1e30].state == "FAIL"
        assert "try a lower one" in by_rate[1e30].error
        assert tune.best_run(found, base).learning_rate == 5e-3
        assert "Traceback" not in capfd.readouterr().err
        said = "".join(map(str, verb._in_text(found, []).renderables[1:]))
        assert f"trial {by_rate[1e30].number} failed: " in said

    def test_the_best_run_is_made_as_the_settings_say(self, monkeypatch: pytest.MonkeyPatch):
        """Its variants and forms, too."""
        monkeypatch.setenv("WEAKSPOT_TRAINER_VARIANTS", "")
        monkeypatch.setenv("WEAKSPOT_TRAINER_ALSO", "torchscript")

        base = verb._base(None, None)

        assert (base.variants, base.also) == ("", "torchscript")

    def test_begins_no_trial_after_its_time(
        self, module_engine: Engine, folder: Path, base: RunConfig
    ):
        """A night is over in the morning."""
        found = _search(module_engine, folder, base, Plan("late", 3, timeout_s=0))

        assert found.trials == []
        with pytest.raises(TrainingError, match="no trial of 'late' was complete"):
            tune.best_run(found, base)

    def test_takes_one_device_a_trial(self, module_engine: Engine, folder: Path, base: RunConfig):
        """Several devices are several processes of the same search."""
        with pytest.raises(UsageError, match="a trial takes one device, not 2"):
            _search(module_engine, folder, replace(base, devices=2), Plan("devices", 1))

    def test_says_when_no_trial_came_to_an_end(self, base: RunConfig):
        """By what the last one said."""
        failed = trials.Trial(0, "FAIL", {}, None, [], None, None, "the loss became nan")

        with pytest.raises(TrainingError, match="the loss became nan"):
            tune.best_run(Study("x", {}, [failed]), base)


class TestKilled:
    """A search whose process died."""

    def test_is_gone_on_with_by_the_same_words(
        self, module_engine: Engine, folder: Path, base: RunConfig, monkeypatch: pytest.MonkeyPatch
    ):
        """The trial under way is tried again, from the pass it had come to."""
        base = replace(base, epochs=12)
        (folder / "run.yaml").write_text(run_file.text(asdict(base)))
        (folder / "killed.yaml").write_text(yaml.safe_dump(SPACE))
        words = ["--space", "killed.yaml", "--config", "run.yaml", "--trials", "1", "--no-prune"]
        _kill_in_the_midst(module_engine, folder, words)
        monkeypatch.setattr(studies, "_GRACE_S", 1)
        time.sleep(1.5)

        found = _search(module_engine, folder, base, Plan("killed", 1, prune=False))

        assert [each.state for each in found.trials] == ["FAIL", "COMPLETE"]
        assert found.trials[1].options == found.trials[0].options
        assert [number for number, _ in found.trials[1].passes] == list(range(1, 13))


class TestStudies:
    """Processes that search together."""

    def test_two_processes_do_not_propose_the_same(self, module_engine: Engine, base: RunConfig):
        """Both begin with no trial made, and would else draw the same numbers."""
        plan, space = Plan("seats", 9, sampler="random"), parse(SPACE, base)

        with (
            studies.opened(module_engine, plan, space, epochs=3) as one,
            studies.opened(module_engine, plan, space, epochs=3) as other,
            pytest.warns(UserWarning, match="Heartbeat"),
        ):
            first, second = (space.suggest(study.ask()) for study in (one, other))

        assert first != second

    def test_there_is_none_before_the_first(self, engine: Engine):
        """The schema is made by the first search, and read by pages before it."""
        with transaction(engine) as connection:
            assert trials.studies(connection) == []
            assert trials.study(connection, "x") is None


def _perfect() -> optuna.trial.FrozenTrial:
    """Return a trial that named every image rightly after each pass, in Hyperband's own words."""
    return optuna.trial.create_trial(
        value=1.0,
        params={"learning_rate": 1e-8},
        distributions={"learning_rate": optuna.distributions.CategoricalDistribution([1e-9, 1e-8])},
        intermediate_values={1: 1.0, 2: 1.0, 3: 1.0},
        system_attrs={"completed_rung_0": 1.0, "completed_rung_1": 1.0},
    )


def _kill_in_the_midst(engine: Engine, folder: Path, words: list[str]) -> None:
    """Start `weakspot tune`, and kill it without a warning when its first trial has made passes."""
    url = engine.url.render_as_string(hide_password=False)
    searching = subprocess.Popen(
        [sys.executable, "-m", "weakspot", "tune", *words],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "WEAKSPOT_DATABASE_URL": url, "WEAKSPOT_HOME": str(folder)},
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and searching.poll() is None:
            with transaction(engine) as connection:
                study = trials.study(connection, "killed")
            if study and study.trials and len(study.trials[0].passes) > 2:
                return
            time.sleep(0.05)
        searching.kill()
        raise AssertionError((searching.communicate()[1] or b"").decode())
    finally:
        searching.kill()
        searching.communicate()
