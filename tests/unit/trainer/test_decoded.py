"""Decoded pixels are used again when all of them are there, and never otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.images.preprocess import Recipe
from core.store.images import Sample
from tests.images import photo, png
from trainer.images.dataset import Pixels, decode_all

RECIPE = Recipe(8, 8, resize=8)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Three pictures, one of which is none."""
    found: list[Sample] = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"no picture" if number == 1 else png(photo(12, 12, seed=number)))
        found.append(Sample(number, str(path), f"{number:064x}", "AB"[number % 2], "train"))
    return found


def _decode(samples: list[Sample], tmp_path: Path, recipe: Recipe = RECIPE) -> Pixels:
    path = tmp_path / "train.npy"
    return decode_all(samples, labels=("A", "B"), recipe=recipe, path=path, threads=2)


def _hide(samples: list[Sample]) -> None:
    for sample in samples:
        Path(sample.uri).unlink()


class TestDecodeAgain:
    """`decode_all` on a file that is there."""

    def test_takes_the_pixels_that_were_kept(self, samples: list[Sample], tmp_path: Path):
        """A resumed run reads no image."""
        first = _decode(samples, tmp_path)
        _hide(samples)

        second = _decode(samples, tmp_path)

        assert np.array_equal(first.take(np.arange(3)), second.take(np.arange(3)))
        assert [sample.id for sample in second.samples] == [0, 2, 3]
        assert second.unreadable == first.unreadable

    def test_reads_the_images_when_the_note_was_never_written(
        self, samples: list[Sample], tmp_path: Path
    ):
        """Pixels without it are those of a run that died while it decoded."""
        first = _decode(samples, tmp_path).take(np.arange(3)).copy()
        (tmp_path / "train.json").unlink()
        np.lib.format.open_memmap(tmp_path / "train.npy", mode="r+")[:] = 0

        assert np.array_equal(_decode(samples, tmp_path).take(np.arange(3)), first)

    def test_reads_the_images_when_the_recipe_is_another(
        self, samples: list[Sample], tmp_path: Path
    ):
        """Pixels of another size are no use."""
        _decode(samples, tmp_path)

        again = _decode(samples, tmp_path, Recipe(6, 6, resize=6))

        assert again.images.shape[1:] == (6, 6, 3)
