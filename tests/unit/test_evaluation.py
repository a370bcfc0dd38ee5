"""An evaluation says of every image what the version said, and loses none."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from core.bundle.runner import Runner
from core.errors import BundleError, CatalogError, UsageError
from core.evaluation import evaluate
from core.images.decode import decode
from core.images.descriptors import DESCRIPTORS, describe
from core.images.preprocess import preprocess
from core.store.images import Sample
from tests import images
from tests.tiny import LABELS, picture, tiny_bundle


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The version under test."""
    return Runner.open(tiny_bundle(tmp_path_factory.mktemp("bundles")), device="cpu")


def _sample(number: int, path: Path, label: str) -> Sample:
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "0" * 64
    return Sample(id=number, uri=str(path), sha256=digest, label=label, split="test")


def _draw(folder: Path, labels: Sequence[str]) -> list[Sample]:
    """Return one drawn JPEG for each of `labels`, in their order."""
    samples: list[Sample] = []
    for number, label in enumerate(labels):
        path = folder / f"{number}.jpg"
        path.write_bytes(images.jpeg(picture(label, size=(30, 40), seed=number)))
        samples.append(_sample(number, path, label))
    return samples


class _Counted(list[Sample]):
    """Samples that know how many of them were taken so far."""

    handed_out = 0

    def __iter__(self) -> Iterator[Sample]:
        self.handed_out = 0
        for sample in super().__iter__():
            self.handed_out += 1
            yield sample


class TestEvaluate:
    """A version over labelled images."""

    def test_says_what_the_runner_says_of_each_image(self, runner, tmp_path):
        """One image through serving and through here gives the same numbers."""
        samples = _draw(tmp_path, [LABELS[i % 3] for i in range(10)])

        found = evaluate(runner, samples, batch_size=4)

        one = decode(Path(samples[7].uri).read_bytes())
        alone = runner.run(preprocess(one, runner.recipe)[None])
        assert np.allclose(found.probabilities[7], alone.probabilities[0], atol=1e-6)
        assert np.allclose(found.embedding[7], alone.embedding[0], atol=1e-6)

    @pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (3, 2), (32, 4), (10, 1)])
    def test_does_not_depend_on_batches_and_threads(self, runner, tmp_path, batch_size, threads):
        """Order and numbers are the images' own."""
        samples = _draw(tmp_path, [LABELS[i % 3] for i in range(10)])
        plain = evaluate(runner, samples)

        found = evaluate(runner, samples, batch_size=batch_size, threads=threads)

        assert found.samples == samples
        assert np.array_equal(found.predicted, [i % 3 for i in range(10)])
        assert np.allclose(found.probabilities, plain.probabilities, atol=1e-6)

    def test_counts_what_was_named_rightly(self, tmp_path):
        """A version that calls every Spider a Cat."""
        runner = Runner.open(tiny_bundle(tmp_path / "b", confuse=("Spider", "Cat")), device="cpu")
        samples = _draw(tmp_path, ["Cat", "Spider", "Dog", "Spider"])

        found = evaluate(runner, samples)

        assert found.correct.tolist() == [True, False, True, False]
        assert [LABELS[i] for i in found.predicted] == ["Cat", "Cat", "Dog", "Cat"]

    def test_keeps_an_image_whose_label_the_model_does_not_know(self, runner, tmp_path):
        """A new class in the pool is no reason to fail, and never counts as right."""
        [known, stranger] = _draw(tmp_path, ["Cat", "Dog"])
        stranger = Sample(stranger.id, stranger.uri, stranger.sha256, "Zebra", "test")

        found = evaluate(runner, [known, stranger])

        assert found.labels.tolist() == [0, -1]
        assert found.correct.tolist() == [True, False]

    def test_sets_aside_what_cannot_be_read_and_says_why(self, runner, tmp_path):
        """Broken, gone, no image: the others are judged all the same."""
        good = _draw(tmp_path, ["Cat", "Dog", "Spider"])
        (tmp_path / "broken.jpg").write_bytes(Path(good[0].uri).read_bytes()[:200])
        (tmp_path / "text.jpg").write_text("not an image")
        names = ("broken.jpg", "gone.jpg", "text.jpg")
        bad = [_sample(10 + i, tmp_path / name, "Cat") for i, name in enumerate(names)]

        found = evaluate(runner, [bad[0], good[0], bad[1], good[1], bad[2], good[2]], batch_size=2)

        assert found.samples == good
        assert found.predicted.tolist() == [0, 1, 2]
        assert [sample for sample, _ in found.unreadable] == bad
        assert [
            word in reason
            for word, (_, reason) in zip(
                ("truncated", "nothing lies at", "no JPEG"), found.unreadable, strict=True
            )
        ] == [True] * 3

    def test_gives_arrays_of_the_right_widths_for_no_image(self, runner, tmp_path):
        """Neither an empty list nor a folder full of broken files is a special case."""
        for samples in ([], [_sample(1, tmp_path / "gone.jpg", "Cat")]):
            found = evaluate(runner, samples, describe=True)

            assert found.probabilities.shape == (0, 3)
            assert found.embedding.shape == (0, 256)
            assert found.correct.shape == found.confidence.shape == (0,)
            assert found.descriptors is not None
            assert len(found.unreadable) == len(samples)

    def test_describes_the_whole_picture_when_asked(self, runner, tmp_path):
        """Descriptors are of what was taken, not of the crop that the model sees."""
        samples = _draw(tmp_path, ["Cat", "Dog"])

        found = evaluate(runner, samples, describe=True)

        expected = [describe(decode(Path(each.uri).read_bytes())) for each in samples]
        assert found.descriptors is not None
        assert set(found.descriptors) == set(DESCRIPTORS)
        assert found.descriptors["aspect"].tolist() == [4 / 3, 4 / 3]
        assert found.descriptors["sharpness"].tolist() == [each["sharpness"] for each in expected]

    def test_computes_no_descriptors_unasked(self, runner, tmp_path):
        """They cost as much as the decoding."""
        assert evaluate(runner, _draw(tmp_path, ["Cat"])).descriptors is None

    def test_tells_its_progress_up_to_the_end(self, runner, tmp_path):
        """Unreadable images count as done too."""
        samples = [*_draw(tmp_path, ["Cat"] * 4), _sample(9, tmp_path / "gone.jpg", "Cat")]
        told: list[tuple[str, int, int]] = []

        evaluate(runner, samples, batch_size=2, on_progress=lambda *step: told.append(step))

        assert told == [("evaluating", 2, 5), ("evaluating", 4, 5), ("evaluating", 5, 5)]

    def test_asks_for_a_missing_backend_before_it_begins(self, runner, tmp_path):
        """A million images unreadable for one reason is an installation that is wrong."""
        samples = [*_draw(tmp_path, ["Cat"]), Sample(9, "oci://b/a.png", "0" * 64, "Cat", "test")]

        with pytest.raises(CatalogError, match="pip install ocifs"):
            evaluate(runner, samples)

    @pytest.mark.parametrize("knobs", [{"batch_size": 0}, {"threads": 0}])
    def test_refuses_batches_and_threads_below_one(self, runner, knobs):
        """A loop that would never end, or never begin."""
        with pytest.raises(UsageError, match="must be 1 or more"):
            evaluate(runner, [], **knobs)


class TestLookahead:
    """How far reading runs ahead of the model."""

    def test_holds_two_batches_of_images_at_most(self, runner, tmp_path):
        """A million images must not be in memory at once."""
        samples = _Counted(_draw(tmp_path, ["Cat"]) * 60)
        ahead: list[int] = []

        evaluate(
            runner,
            samples,
            batch_size=5,
            on_progress=lambda _, done, __: ahead.append(samples.handed_out - done),
        )

        assert 0 < max(ahead) <= 10

    def test_stops_reading_when_it_is_broken_off(self, runner, tmp_path):
        """No thread goes on in the background of a run that is over."""
        samples = _draw(tmp_path, ["Cat"]) * 200

        def stop(*_: object) -> None:
            raise BundleError("stop")

        with pytest.raises(BundleError, match="stop"):
            evaluate(runner, samples, batch_size=4, on_progress=stop)

        assert not [each for each in threading.enumerate() if each.name.startswith("decode")]
