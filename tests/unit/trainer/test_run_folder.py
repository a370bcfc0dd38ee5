"""A run's folder is found again, shared with nobody, and gone when the run is over."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import StaleRunError, StoreError, TrainingError
from trainer.run_folder import begun, run_folder

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _left_by(error: BaseException, runs: Path) -> bool:
    with pytest.raises(type(error)), run_folder(runs, "job-1") as folder:  # noqa: PT012
        (folder / "checkpoint.pt").write_text("half way")
        raise error
    return (runs / "job-1" / "checkpoint.pt").exists()


class TestRunFolder:
    """`run_folder`."""

    def test_is_gone_when_the_run_is_over(self, tmp_path: Path):
        """Decoded pixels are large."""
        with run_folder(tmp_path / "runs", "train-1") as folder:
            (folder / "train.npy").write_text("pixels")

        assert not folder.exists()

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), StoreError("away")])
    def test_is_kept_when_another_try_may_fare_better(self, tmp_path: Path, error: BaseException):
        """A worker that is told to stop puts its job back, and the next one goes on."""
        assert _left_by(error, tmp_path)

    @pytest.mark.parametrize("error", [TrainingError("NaN"), StaleRunError("another has it")])
    def test_is_gone_when_it_would_only_fail_again(self, tmp_path: Path, error: BaseException):
        """Nobody asks for it again."""
        assert not _left_by(error, tmp_path)

    def test_is_given_to_one_process_at_a_time(self, tmp_path: Path):
        """One that sleeps may wake, and two must never write into one file."""
        with run_folder(tmp_path, "job-1") as first, run_folder(tmp_path, "job-1") as second:
            assert first != second
            assert second.is_dir()

        assert list(tmp_path.iterdir()) == []

    def test_is_removed_when_nobody_came_back_for_a_week(self, tmp_path: Path):
        """The runs of a machine that was reinstalled do not fill its disk."""
        for name, days in (("job-1", 8), ("job-2", 6), ("features", 99)):
            (tmp_path / name).mkdir()
            then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
            os.utime(tmp_path / name, (then, then))

        with run_folder(tmp_path, "job-3"):
            left = {path.name for path in tmp_path.iterdir()}

        assert left == {"job-2", "job-3", "features"}

    def test_takes_features_with_it_that_nobody_has_used_for_a_month(self, tmp_path: Path):
        """Each backbone leaves 8 KB an image, and a comparison of ten leaves ten of them."""
        kept = tmp_path / "features"
        kept.mkdir()
        for name, days in (("old.npz", 31), ("half.tmp-12", 31), ("used.npz", 29)):
            (kept / name).write_text("features")
            then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
            os.utime(kept / name, (then, then))

        with run_folder(tmp_path, "job-3"):
            left = [path.name for path in kept.iterdir()]

        assert left == ["used.npz"]


class TestBegun:
    """`begun`."""

    def test_is_the_moment_of_the_first_attempt(self, tmp_path: Path):
        """Images that came in between two attempts would make it another run."""
        assert begun(tmp_path, NOW) == NOW
        assert begun(tmp_path, NOW + timedelta(hours=1)) == NOW

    def test_is_now_when_the_note_is_damaged(self, tmp_path: Path):
        """A note that cannot be read is no reason to fail."""
        (tmp_path / "begun.json").write_text("{")

        assert begun(tmp_path, NOW) == NOW
