"""One training with every option of the fit turned away from its default."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import Engine

from core.bundle import files
from core.clock import FixedClock
from core.errors import TrainingError
from core.store import registry
from core.store.database import transaction
from core.store.registry import Version
from tests.training import NOW, SIZE, add, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.fitting.module import PICTURES
from trainer.images.snapshot import freeze
from trainer.pipeline import TrainResult

OPTIONS = {
    "epochs": 2,
    "freeze": "gradual",
    "schedule": "cosine",
    "warm_up": 0.1,
    "ema": 0.9,
    "label_smoothing": 0.1,
    "sampling": "natural",
    "logit_adjustment": 1.0,
    "min_per_class": 5,
    "augment": "strong,mixup=0.5",
}


@pytest.fixture(scope="module")
def trained(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, Version]:
    """A version of two classes; the third has too few pictures to learn from."""
    home = tmp_path_factory.mktemp("fitting")
    add(module_engine, home / "pool", ["Blue"], per_side={"train": 12, "val": 5, "test": 5})
    add(module_engine, home / "pool", ["Green"], per_side={"train": 8, "val": 5, "test": 5})
    add(module_engine, home / "pool", ["Red"], per_side={"train": 4, "val": 5, "test": 5})
    result = pipeline.train(
        module_engine,
        tiny_config(tiny_backbone(home), **OPTIONS),
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(NOW),
    )
    with transaction(module_engine) as connection:
        return result, registry.get(connection, result.version)


class TestTraining:
    """What came of it."""

    def test_leaves_out_the_class_with_too_few_images_and_says_so(
        self, trained: tuple[TrainResult, Version]
    ):
        """In what is told, and in what is kept."""
        result, version = trained

        assert result.left_out == {"Red": 4}
        assert list(version.labels) == ["Blue", "Green"]
        manifest = files.verify(Path(version.uri))
        assert manifest.training["left_out_classes"] == {"Red": 4}
        assert manifest.training["images"] == {"train": 20, "val": 10, "test": 10}

    def test_keeps_every_option(self, trained: tuple[TrainResult, Version]):
        """A retraining, and whoever asks in a year, must know."""
        _, version = trained

        assert {name: version.config[name] for name in OPTIONS} == OPTIONS

    def test_keeps_a_picture_of_what_the_network_saw(self, trained: tuple[TrainResult, Version]):
        """In the bundle, under its digest."""
        folder = Path(trained[1].uri)

        picture = files.read_member(folder, files.read_manifest(folder), PICTURES)

        assert Image.open(io.BytesIO(picture)).width == 8 * (SIZE + 4) + 4


class TestFreeze:
    """Classes with few images."""

    def test_that_leave_fewer_than_two_are_refused(
        self, module_engine: Engine, trained: tuple[TrainResult, Version]
    ):
        """One class is no classifier; the message names the limit."""
        with (
            transaction(module_engine) as connection,
            pytest.raises(TrainingError, match="fewer than 10 training images each"),
        ):
            freeze(connection, at=NOW, min_per_class=10)
