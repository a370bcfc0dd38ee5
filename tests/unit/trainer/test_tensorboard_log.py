"""TensorBoard logs: event files as TensorBoard reads them, record by record."""

import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import UsageError
from tests.images import png
from tests.tensorboard_events import events, scalars
from tests.tiny import forge, tiny_bundle
from trainer.fitting.passes import Epoch
from trainer.tracking.tensorboard_log import both, folder_of, logged, recorded

EPOCH = Epoch(2, 5, 0.5, 0.4, 0.9, 1e-3, 7.0)


def _bundle(parent: Path) -> Path:
    """Return a bundle with figures and a picture of what was learnt from."""
    bundle = tiny_bundle(parent)
    picture = png(np.zeros((8, 6, 3), dtype=np.uint8))
    metrics = {"test": {"top1": 0.75, "auroc": None}, "val": {}}
    return forge(bundle, {"augmented.png": picture}, metrics=metrics)


class TestLog:
    """The log of one run."""

    def test_has_the_figures_of_each_pass(self, tmp_path: Path):
        """The curves that TensorBoard draws, at the pass they belong to."""
        with logged(tmp_path) as log:
            log.on_epoch(EPOCH)

        found = scalars(tmp_path)
        assert found[("loss/training", 2)] == pytest.approx(0.5)
        assert found[("accuracy/validation", 2)] == pytest.approx(0.9)
        assert found[("learning_rate", 2)] == pytest.approx(1e-3)

    def test_ends_with_the_figures_of_what_serves(self, tmp_path: Path):
        """What could not be measured is left out."""
        bundle = _bundle(tmp_path)

        with logged(tmp_path / "log") as log:
            log.on_epoch(EPOCH)
            log.finish(bundle)

        found = scalars(tmp_path / "log")
        assert found[("test/top1", 2)] == 0.75
        assert not [tag for tag, _ in found if "auroc" in tag]

    def test_shows_what_the_network_saw(self, tmp_path: Path):
        """A variation that ruins pictures is seen at once, by a person."""
        bundle = _bundle(tmp_path)

        with logged(tmp_path / "log") as log:
            log.finish(bundle)

        found = list(events(tmp_path / "log"))
        (seen,) = [v.image for e in found for v in e.summary.value if v.tag == "augmentation"]
        assert (seen.height, seen.width) == (8, 6)

    def test_is_whole_when_the_run_fails(self, tmp_path: Path):
        """A run that broke off is the one to look at."""
        with suppress(RuntimeError), logged(tmp_path) as log:
            log.on_epoch(EPOCH)
            raise RuntimeError

        assert ("loss/training", 2) in scalars(tmp_path)

    def test_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """The package is an extra."""
        monkeypatch.setitem(sys.modules, "tensorboardX", None)

        with pytest.raises(UsageError, match=r"weakspot\[tensorboard\]"), logged(tmp_path):
            pass


class TestRecorded:
    """A worker's work, logged."""

    def test_logs_each_job_in_a_folder_of_its_own(self, tmp_path: Path):
        """And the worker hears of each pass as before."""
        heard: list[Epoch] = []

        def work(_engine: Any, _job: Any, *, on_epoch: Any, **_named: Any) -> Any:
            on_epoch(EPOCH)
            return SimpleNamespace(challenger=_bundle(tmp_path).name)

        logging: Any = recorded(work, tmp_path / "log")
        logging(None, SimpleNamespace(id=4), on_epoch=heard.append, bundles=tmp_path)

        assert heard == [EPOCH]
        assert scalars(tmp_path / "log" / "job-4")[("test/top1", 2)] == 0.75

    def test_says_what_to_install_before_there_is_a_job(self, monkeypatch: pytest.MonkeyPatch):
        """Else the worker starts, and every job fails."""
        monkeypatch.setitem(sys.modules, "tensorboardX", None)

        with pytest.raises(UsageError, match=r"weakspot\[tensorboard\]"):
            recorded(lambda *_, **__: SimpleNamespace(), Path("logs"))  # pyright: ignore

    def test_nobody_who_listens_is_nobody_to_tell(self):
        """Then passes are not even summed up."""
        assert both(None, None) is None


def test_the_folder_is_named_for_the_model_the_time_and_the_run(tmp_path: Path):
    """A model's name is no path."""
    at = datetime(2026, 3, 1, 10, 5, tzinfo=UTC)
    run = tmp_path / "train-0123456789abcdef"

    found = folder_of(tmp_path, "../cats & dogs", run, at)

    assert found == tmp_path / "---cats---dogs-20260301T100500-01234567"
