"""Images are decoded once and drawn evenly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TrainingError
from core.images.preprocess import Recipe, preprocess
from core.store.images import Sample
from tests.images import photo, png
from trainer.images.dataset import Batches, Pixels, decode_all, draw_order, training_weights
from trainer.images.imbalance import Sampling
from trainer.images.snapshot import limited

LABELS = ("A", "B")
RECIPE = Recipe(8, 8, resize=8)


def _sample(number: int, label: str, uri: str = "") -> Sample:
    return Sample(number, uri, f"{number:064x}", label, "train")


def _pool(folder: Path, labels: str) -> list[Sample]:
    samples: list[Sample] = []
    for number, label in enumerate(labels):
        path = folder / f"{number}.png"
        path.write_bytes(png(photo(12, 10, number)))
        samples.append(_sample(number, label, str(path)))
    return samples


def _decoded(samples: list[Sample], folder: Path) -> Pixels:
    return decode_all(samples, labels=LABELS, recipe=RECIPE, path=folder / "pixels.npy", threads=2)


class TestDecodeAll:
    """One pass over the files."""

    def test_gives_the_pixels_that_serving_gives(self, tmp_path: Path):
        """Training, serving and validation look at the same picture."""
        pixels = _decoded(_pool(tmp_path, "AB"), tmp_path)

        assert np.array_equal(pixels.take(np.array([1]))[0], preprocess(photo(12, 10, 1), RECIPE))
        assert pixels.labels.tolist() == [0, 1]

    def test_leaves_out_what_cannot_be_read(self, tmp_path: Path):
        """One broken file among many ends no training."""
        samples = _pool(tmp_path, "ABAB")
        Path(samples[1].uri).write_bytes(b"no picture")
        Path(samples[2].uri).unlink()

        pixels = _decoded(samples, tmp_path)

        assert [sample.id for sample in pixels.samples] == [0, 3]
        assert [sample.id for sample, _ in pixels.unreadable] == [1, 2]
        assert np.array_equal(pixels.take(np.array([1]))[0], preprocess(photo(12, 10, 3), RECIPE))

    def test_refuses_a_pool_that_is_mostly_gone(self, tmp_path: Path):
        """A mount that is missing is no reason to train on the rest."""
        samples = _pool(tmp_path, "ABA")
        for sample in samples[:2]:
            Path(sample.uri).unlink()

        with pytest.raises(TrainingError, match="2 of 3 images cannot be read"):
            _decoded(samples, tmp_path)

    def test_tells_how_far_it_is(self, tmp_path: Path):
        """A long wait is bearable when it is seen to end."""
        told: list[tuple[str, int, int]] = []

        decode_all(
            _pool(tmp_path, "AB"),
            labels=LABELS,
            recipe=RECIPE,
            path=tmp_path / "pixels.npy",
            threads=1,
            on_progress=lambda *report: told.append(report),
        )

        assert told[-1] == ("reading images", 2, 2)


class TestTrainingWeights:
    """How often each image comes up."""

    def test_every_class_comes_up_as_often(self, tmp_path: Path):
        """A rare class is learnt as well as a common one."""
        weights = training_weights(_decoded(_pool(tmp_path, "AAAB"), tmp_path), LABELS)

        assert weights[:3].sum() == pytest.approx(weights[3])

    def test_natural_sampling_leaves_every_image_alike(self, tmp_path: Path):
        """Then a class comes up as often as it has images."""
        pixels = _decoded(_pool(tmp_path, "AAAB"), tmp_path)

        assert training_weights(pixels, LABELS, sampling=Sampling("natural")).tolist() == [1] * 4

    def test_favoured_images_come_up_more_often(self, tmp_path: Path):
        """The new images of a weak class are what a retraining is for."""
        pixels = _decoded(_pool(tmp_path, "AABB"), tmp_path)

        weights = training_weights(pixels, LABELS, favour={2: 3.0})

        assert weights.tolist() == [1, 1, 3, 1]

    def test_names_the_class_of_which_nothing_can_be_read(self, tmp_path: Path):
        """The message says whose files are broken."""
        samples = _pool(tmp_path, "AAB")
        Path(samples[2].uri).unlink()

        with pytest.raises(TrainingError, match="'B'"):
            training_weights(_decoded(samples, tmp_path), LABELS)


class TestDrawOrder:
    """Which image comes when."""

    @given(
        weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=30),
        size=st.integers(1, 60),
        seed=st.integers(0, 9),
    )
    def test_no_image_is_off_its_share_by_a_whole_draw(
        self, weights: list[float], size: int, seed: int
    ):
        """Systematic sampling: luck decides about fractions only."""
        shares = np.array(weights) / np.sum(weights) * size

        drawn = draw_order(np.array(weights), size, np.random.default_rng(seed))

        counts = np.bincount(drawn, minlength=len(weights))
        assert counts.sum() == size
        assert np.all(np.abs(counts - shares) < 1 + 1e-6)

    def test_equal_weights_show_every_image_once(self):
        """Drawing with replacement would leave out a third of the pool in each pass."""
        drawn = draw_order(np.ones(100), 100, np.random.default_rng(0))

        assert sorted(drawn) == list(range(100))
        assert drawn.tolist() != list(range(100))


class TestBatches:
    """What the fit iterates over."""

    def test_a_pass_has_another_order_than_the_one_before(self, tmp_path: Path):
        """And the same pass of another run with this seed has the same."""
        pixels = _decoded(_pool(tmp_path, "AB" * 8), tmp_path)
        one, two = (Batches(pixels, batch_size=5, weights=np.ones(16)) for _ in range(2))

        first, second = torch.cat([y for _, y in one]), torch.cat([y for _, y in one])

        assert not torch.equal(first, second)
        assert torch.equal(first, torch.cat([y for _, y in two]))

    def test_without_weights_keeps_the_order(self, tmp_path: Path):
        """Validation answers must line up with their labels."""
        batches = Batches(_decoded(_pool(tmp_path, "ABBAB"), tmp_path), batch_size=2)

        labels = torch.cat([labels for _, labels in batches])

        assert len(batches) == 3
        assert labels.tolist() == [0, 1, 1, 0, 1]


class TestLimited:
    """At most so many of a class."""

    def test_keeps_the_first_of_each_class(self):
        """The order is by digest, so the same images stay whenever it is repeated."""
        samples = [_sample(number, label) for number, label in enumerate("ABAABB")]

        assert [sample.id for sample in limited(samples, 2)] == [0, 1, 2, 4]
        assert limited(samples, None) == samples
