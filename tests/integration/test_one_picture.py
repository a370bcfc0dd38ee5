"""One picture, three ways to the model: training, validation and serving see the same bits."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from core.bundle.runner import Runner
from core.evaluation import evaluate
from core.store.images import Sample
from tests.images import jpeg, photo
from tests.pool import register
from tests.serving import serving
from trainer.images.dataset import decode_all


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Whatever any runner is given from here on; it still answers."""
    given: list[np.ndarray] = []
    answer = Runner.run

    def watched(self: Runner, images: np.ndarray):
        given.append(images.copy())
        return answer(self, images)

    monkeypatch.setattr(Runner, "run", watched)
    return given


class TestOnePicture:
    """A JPEG on its side, larger than the model's input."""

    def test_is_the_same_to_training_validation_and_serving(
        self, engine: Engine, tmp_path: Path, seen: list[np.ndarray]
    ):
        """Training and serving that drift apart cost accuracy nobody can find again."""
        version = register(engine, tmp_path / "bundles")
        data = jpeg(photo(301, 203, seed=7), exif_orientation=6)
        path = tmp_path / "picture.jpg"
        path.write_bytes(data)
        sample = Sample(1, str(path), "0" * 64, version.labels[0], "train")
        runner = Runner.open(Path(version.uri))

        trained_on = decode_all(
            [sample],
            labels=version.labels,
            recipe=runner.recipe,
            path=tmp_path / "pixels.npy",
            threads=1,
        ).take(np.array([0]))
        seen.clear()
        evaluate(runner, [sample])
        validated = seen[-1]
        with serving(engine, tmp_path) as service:
            seen.clear()
            service.post("/v1/predict", content=data).raise_for_status()
            served = seen[-1]

        assert np.array_equal(trained_on, validated)
        assert np.array_equal(trained_on, served)
