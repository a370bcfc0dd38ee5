"""Training and retraining, from the pool to the registry, on a tiny backbone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.bundle import files, profile
from core.bundle.runner import Runner
from core.clock import FixedClock
from core.errors import ConflictError, ParityError, StaleRunError, TrainingError
from core.store import images, jobs, registry
from core.store.database import transaction
from tests.training import LABELS, NOW, SIZE, add, colour, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.networks import export
from trainer.pipeline import RetrainOptions, TrainResult

LATER = NOW + timedelta(days=9)
# Twelve gate images a class can rule out no smaller drop; a tiny graph's latency is all noise.
OPTIONS = RetrainOptions(
    device="cpu",
    learning_rate=5e-3,
    epochs=8,
    gate_margin=0.25,
    gate_overall_margin=0.1,
    max_ece=0.9,
    max_latency_ratio=1000,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's pictures, bundles and runs lie."""
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def champion(module_engine: Engine, folder: Path) -> TrainResult:
    """A version trained on 12 pictures a class; it has never seen a dull one."""
    add(module_engine, folder / "pool", per_side={"train": 12, "val": 8, "test": 12})
    return _train(module_engine, folder)


@pytest.fixture
def job(module_engine: Engine, champion: TrainResult) -> Iterator[jobs.Job]:
    """A claimed job for Red, ended afterwards; the champion is the trained one again."""
    with transaction(module_engine) as connection:
        jobs.enqueue(connection, labels=["Red"], reason="weak", requested_by="me", now=LATER)
        claimed = _claim(connection)
    yield claimed
    with transaction(module_engine) as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
        connection.execute(sa.text("DELETE FROM images WHERE added_at > :now"), {"now": NOW})
        serving = registry.champion(connection)
        if serving is not None and serving.version != champion.version:
            registry.roll_back(connection, now=LATER, by="test", reason="tidy")


def _train(engine: Engine, folder: Path, **changes: object) -> TrainResult:
    return pipeline.train(
        engine,
        tiny_config(tiny_backbone(folder), **changes),
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
    )


def _retrain(
    engine: Engine, job: jobs.Job, folder: Path, options: RetrainOptions = OPTIONS
) -> pipeline.RetrainOutcome:
    outcome = pipeline.retrain(
        engine,
        job,
        options=options,
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(LATER),
    )
    if outcome.promote is not None:
        # As the worker does, in the transaction that ends the job.
        with transaction(engine) as connection:
            outcome.promote(connection, now=LATER)
    return outcome


def _claim(connection: Connection) -> jobs.Job:
    claimed = jobs.claim_oldest(connection, worker="w", now=LATER, lease_s=60, max_attempts=9)
    assert claimed is not None
    return claimed


def _dull_reds(engine: Engine, folder: Path) -> None:
    sides = {"train": 12, "val": 6, "test": 12}
    add(engine, folder / "dull", ["Red"], per_side=sides, now=LATER, dull=True)


def _champion_name(engine: Engine) -> str | None:
    with transaction(engine) as connection:
        serving = registry.champion(connection)
    return serving.version if serving else None


class TestTrain:
    """From a pool to a registered version."""

    def test_makes_the_first_version_the_champion(
        self, module_engine: Engine, champion: TrainResult
    ):
        """A service that waits for its first model finds one."""
        assert champion.promoted
        assert _champion_name(module_engine) == champion.version

    def test_leaves_a_bundle_that_opens_and_names_colours(
        self, champion: TrainResult, folder: Path
    ):
        """What was written is what a service can serve."""
        runner = Runner.open(folder / "bundles" / champion.version, device="cpu")
        images = np.stack([colour(label, 77)[:SIZE, :SIZE] for label in LABELS])

        said = runner.run(images)

        assert runner.labels == LABELS
        assert said.probabilities.argmax(axis=1).tolist() == [0, 1, 2]

    def test_measures_what_serves(self, champion: TrainResult):
        """Metrics come from the exported graph, over both splits."""
        test = champion.metrics["test"]

        assert champion.metrics["val"]["n"] == 24
        assert test["top1"] > 0.9
        assert set(test["per_class"]) == set(LABELS)

    def test_keeps_what_its_confidences_promise(self, champion: TrainResult):
        """Days without labels are held against these, by predicted class."""
        kept = champion.metrics["val"]["without_labels"]

        said = kept["predicted"]
        assert 0 < kept["confident_from"] <= 1
        assert set(said) == set(LABELS)
        assert sum(each["n"] for each in said.values()) == champion.metrics["val"]["n"]

    def test_keeps_lineage_reference_and_profile(
        self, module_engine: Engine, champion: TrainResult, folder: Path
    ):
        """From the registry one can tell what a version learnt from, and what is normal for it."""
        with transaction(module_engine) as connection:
            version = registry.get(connection, champion.version)
        manifest = files.read_manifest(Path(version.uri))
        rows = profile.read(Path(version.uri), manifest)

        assert version.snapshot == manifest.snapshot
        assert version.snapshot_at == NOW
        assert [version.reference[label]["n"] for label in LABELS] == [8, 8, 8]
        assert len(rows.predicted) == 36
        assert version.config["image_size"] == SIZE

    def test_leaves_a_card_and_the_figures_of_its_passes(self, champion: TrainResult, folder: Path):
        """Who meets the bundle alone knows what it learnt from, and how that went."""
        bundle = folder / "bundles" / champion.version
        manifest = files.verify(bundle)

        card = files.read_member(bundle, manifest, files.CARD).decode()

        assert "| Blue | 12 | 8 | 12 |" in card
        passes = manifest.training["passes"]
        assert [each["number"] for each in passes] == list(range(1, len(passes) + 1))
        assert max(each["val_accuracy"] for each in passes) == manifest.training["val_accuracy"]

    def test_leaves_no_run_behind(self, champion: TrainResult, folder: Path):
        """Decoded pixels are large; only kept features outlive a run."""
        assert champion.version
        assert not [path for path in (folder / "runs").iterdir() if path.name != "features"]

    def test_does_not_move_the_alias_when_there_is_a_champion(
        self, module_engine: Engine, champion: TrainResult, folder: Path
    ):
        """A person, or the gate, decides about the second version."""
        second = _train(module_engine, folder, seed=1, epochs=1)

        assert not second.promoted
        assert _champion_name(module_engine) == champion.version

    def test_trains_a_head_on_a_frozen_backbone(self, module_engine: Engine, folder: Path):
        """Features are kept, so that the next head needs none computed."""
        first = _train(module_engine, folder, freeze="backbone")
        stages: list[str] = []
        backbone = tiny_backbone(folder)

        second = pipeline.train(
            module_engine,
            tiny_config(backbone, freeze="backbone"),
            bundles=folder / "bundles",
            runs=folder / "runs",
            clock=FixedClock(NOW),
            on_progress=lambda stage, _done, _total: stages.append(stage),
        )

        assert second.metrics["test"]["top1"] == first.metrics["test"]["top1"] > 0.6
        assert not any(stage.startswith("computing features") for stage in stages)

    @pytest.mark.usefixtures("champion")
    def test_keeps_nothing_when_the_export_is_wrong(
        self, module_engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """F19: an export that disagrees with torch must never be served."""
        monkeypatch.setattr(export, "ALLOWED_DIFFERENCE", -1.0)
        before = sorted((folder / "bundles").iterdir())

        with pytest.raises(ParityError):
            _train(module_engine, folder, epochs=1)

        assert sorted((folder / "bundles").iterdir()) == before

    def test_names_the_class_without_training_images(self, engine: Engine, tmp_path: Path):
        """The owner learns what to import, before an hour of training."""
        add(engine, tmp_path / "pool", ["Red", "Blue"], per_side={"train": 3, "val": 2})
        add(engine, tmp_path / "more", ["Green"], per_side={"val": 2})

        with pytest.raises(TrainingError, match="no training images of 'Green'"):
            _train(engine, tmp_path)

    def test_says_when_the_learning_rate_is_too_high(
        self, module_engine: Engine, champion: TrainResult, folder: Path
    ):
        """Weights that went through a NaN are worth nothing, and are not exported."""
        with pytest.raises(TrainingError, match=r"became .*; try a lower one"):
            _train(module_engine, folder, learning_rate=1e30)

        assert _champion_name(module_engine) == champion.version


class TestRetrain:
    """From a job to a challenger, and to a new champion if it is better."""

    def test_repairs_the_class_and_takes_over(
        self, module_engine: Engine, champion: TrainResult, job: jobs.Job, folder: Path
    ):
        """The point of all of it."""
        _dull_reds(module_engine, folder)

        outcome = _retrain(module_engine, job, folder, replace(OPTIONS, also="safetensors"))

        assert outcome.status == "promoted"
        assert _champion_name(module_engine) == outcome.challenger
        assert outcome.result["gate"]["flagged"][0]["gained"] >= 5
        assert outcome.result["new_images"]["Red"] == {"train": 12, "val": 6, "test": 12}
        assert outcome.result["also"]["largest_difference"]["safetensors"] == 0
        with transaction(module_engine) as connection:
            assert registry.get(connection, str(outcome.challenger)).parent == champion.version

    def test_refuses_a_challenger_that_is_no_better(
        self, module_engine: Engine, champion: TrainResult, job: jobs.Job, folder: Path
    ):
        """Without anything new to learn the champion stays, and the numbers are kept."""
        options = replace(OPTIONS, learning_rate=1e-7, min_new_images=0)
        outcome = _retrain(module_engine, job, folder, options)

        assert outcome.status in {"refused", "more images"}
        assert outcome.result["gate"]["passed"] is False
        assert "only 0 new training images of Red" in outcome.result["notes"][0]
        assert _champion_name(module_engine) == champion.version

    def test_says_how_many_images_are_missing_instead_of_training_on_nothing(
        self, module_engine: Engine, champion: TrainResult, job: jobs.Job, folder: Path
    ):
        """No version, no exam, no hour lost: the job ends with the number to label."""
        before = sorted((folder / "bundles").iterdir())

        outcome = _retrain(module_engine, job, folder)

        assert (outcome.status, outcome.challenger) == ("more images", None)
        assert outcome.result["missing"] == {"Red": OPTIONS.min_new_images}
        assert sorted((folder / "bundles").iterdir()) == before

    def test_writes_nothing_when_another_worker_has_the_job(
        self, module_engine: Engine, champion: TrainResult, job: jobs.Job, folder: Path
    ):
        """A worker that was thought dead must not overrule the one that took over."""
        before = sorted((folder / "bundles").iterdir())

        with pytest.raises(StaleRunError):
            _retrain(
                module_engine,
                replace(job, fence=job.fence - 1),
                folder,
                replace(OPTIONS, min_new_images=0),
            )

        assert sorted((folder / "bundles").iterdir()) == before
        assert _champion_name(module_engine) == champion.version

    def test_refuses_to_promote_over_another_champion(
        self, module_engine: Engine, job: jobs.Job, folder: Path
    ):
        """The exam was against a champion that serves no longer."""
        _dull_reds(module_engine, folder)
        other = _train(module_engine, folder, epochs=1, seed=5)
        outcome = pipeline.retrain(
            module_engine,
            job,
            options=OPTIONS,
            bundles=folder / "bundles",
            runs=folder / "runs",
            clock=FixedClock(LATER),
        )
        with transaction(module_engine) as connection:
            registry.promote(connection, other.version, now=LATER, by="x", reason="x")

        assert outcome.promote is not None
        with pytest.raises(ConflictError, match=other.version):  # noqa: SIM117
            with transaction(module_engine) as connection:
                outcome.promote(connection, now=LATER)

    def test_refuses_a_class_that_the_champion_does_not_know(
        self, module_engine: Engine, job: jobs.Job, folder: Path
    ):
        """A new class is no weak class."""
        with pytest.raises(TrainingError, match="does not know 'Pink'"):
            _retrain(module_engine, replace(job, labels=["Pink"]), folder)

    def test_learns_on_with_a_frozen_backbone(
        self, module_engine: Engine, champion: TrainResult, job: jobs.Job, folder: Path
    ):
        """A champion whose head alone was trained gets a new head, in a moment."""
        frozen = _train(module_engine, folder, freeze="backbone")
        _dull_reds(module_engine, folder)
        with transaction(module_engine) as connection:
            registry.promote(connection, frozen.version, now=LATER, by="x", reason="x")

        outcome = _retrain(module_engine, job, folder)

        assert outcome.result["champion"] == frozen.version
        assert outcome.result["path"][-1]["gain"] > 0
        with transaction(module_engine) as connection:
            registry.promote(connection, champion.version, now=LATER, by="x", reason="x")

    def test_says_that_there_is_no_champion(self, engine: Engine, job: jobs.Job, folder: Path):
        """A job asked for too early fails with what to do."""
        with pytest.raises(TrainingError, match="weakspot train"):
            _retrain(engine, job, folder)


def test_images_added_later_are_not_learnt_from(engine: Engine, tmp_path: Path):
    """A snapshot is frozen at a moment."""
    add(engine, tmp_path / "pool", per_side={"train": 2, "val": 1})
    add(engine, tmp_path / "later", per_side={"train": 3}, now=LATER, dull=True)

    with transaction(engine) as connection:
        assert len(images.samples(connection, split="train", added_by=NOW)) == 6
