"""F15: a training that cannot give anything usable fails with its reason, and leaves nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from core.clock import FixedClock
from core.errors import TrainingError
from core.store import registry
from core.store.database import transaction
from tests.training import LABELS, NOW, add, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.images.dataset import Progress


def _train(
    engine: Engine, folder: Path, *, on_progress: Progress | None = None, **changes: object
) -> pipeline.TrainResult:
    return pipeline.train(
        engine,
        tiny_config(tiny_backbone(folder), **changes),
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
        on_progress=on_progress,
    )


def _left(engine: Engine, folder: Path) -> tuple[list[str], list[str]]:
    """Return the versions that are registered, and the folders of runs and bundles."""
    found = [path.name for kind in ("bundles", "runs") for path in (folder / kind).glob("*")]
    with transaction(engine) as connection:
        return [version.version for version in registry.versions(connection)], found


@contextmanager
def _room_on_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond this, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestF15:
    """Each with what to do about it."""

    def test_a_loss_that_is_no_number(self, engine: Engine, tmp_path: Path):
        """Weights that have been through it are worth nothing."""
        add(engine, tmp_path / "pool", per_side={"train": 6, "val": 2, "test": 2})

        with pytest.raises(TrainingError, match=r"became .* at learning rate 1e\+30; try a lower"):
            _train(engine, tmp_path, learning_rate=1e30)

        assert _left(engine, tmp_path) == ([], [])

    def test_no_memory_left(self, engine: Engine, tmp_path: Path):
        """The allocator itself says no, and its words help nobody."""
        add(engine, tmp_path / "pool", per_side={"train": 6, "val": 2, "test": 2})

        def too_much(stage: str, _done: int, _total: int) -> None:
            if stage == "training":
                torch.empty(10**15)

        with pytest.raises(TrainingError, match=r"steps of 8 images of 16 x 16; take a smaller"):
            _train(engine, tmp_path, on_progress=too_much)

        assert _left(engine, tmp_path) == ([], [])

    def test_no_room_for_the_pixels(self, engine: Engine, tmp_path: Path):
        """Without a check a full disk is a bus error half way, and no message at all."""
        add(engine, tmp_path / "pool", per_side={"train": 6, "val": 2, "test": 2})
        backbone = tiny_backbone(tmp_path)

        with (
            _room_on_disk(10_000),
            pytest.raises(TrainingError, match=r"cannot take 18 images of 16 x 16.*make room"),
        ):
            pipeline.train(
                engine,
                tiny_config(backbone),
                bundles=tmp_path / "bundles",
                runs=tmp_path / "runs",
                clock=FixedClock(NOW),
            )

        assert _left(engine, tmp_path) == ([], [])

    def test_a_class_without_images(self, engine: Engine, tmp_path: Path):
        """Said before an hour of training."""
        add(engine, tmp_path / "pool", ["Red", "Blue"], per_side={"train": 3, "val": 2})

        with pytest.raises(TrainingError, match="no training images of 'Green'"):
            _train(engine, tmp_path, labels=LABELS)

        assert _left(engine, tmp_path) == ([], [])

    def test_a_class_whose_images_cannot_be_read(self, engine: Engine, tmp_path: Path):
        """They are in the pool, and their files are gone."""
        add(engine, tmp_path / "pool", per_side={"train": 3, "val": 2})
        for path in (tmp_path / "pool").glob("Green-train-*"):
            path.unlink()

        with pytest.raises(TrainingError, match="no training image of 'Green' can be read"):
            _train(engine, tmp_path)

        assert _left(engine, tmp_path) == ([], [])

    def test_a_pool_of_one_image(self, engine: Engine, tmp_path: Path):
        """There is nothing to tell it from."""
        add(engine, tmp_path / "pool", ["Red"], per_side={"train": 1})

        with pytest.raises(TrainingError, match="needs two classes or more"):
            _train(engine, tmp_path)

        assert _left(engine, tmp_path) == ([], [])

    def test_one_image_of_each_class_is_enough_to_begin(self, engine: Engine, tmp_path: Path):
        """Poor, and no error: steps of 2 leave one image over, of which no variance can be had."""
        add(engine, tmp_path / "pool", per_side={"train": 1, "val": 1})

        result = _train(engine, tmp_path, batch_size=2, epochs=1, variants="")

        assert result.metrics["val"]["n"] == 3
        assert result.metrics["test"] == {}
