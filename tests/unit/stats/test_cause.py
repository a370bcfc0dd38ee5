"""Whose fault a weakness is, on clouds drawn by lot."""

import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.cause import Reference, Rows, blame, looks_as, moved_alone, movement, share_turned

DIMENSIONS, CLASSES = 16, 4


def _cloud(label: int, n: int, *, seed: int, off: float = 0.0, darker: float = 0.0) -> Rows:
    """Return images around a class's own direction; `off` pulls them to a direction of nobody."""
    rng = np.random.default_rng([seed, label])
    centre = np.zeros(DIMENSIONS)
    centre[label], centre[-1] = 1.0, off
    embedding = centre + rng.normal(0, 0.1, (n, DIMENSIONS))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    descriptors = rng.normal([label, 5.0], 1.0, (n, 2)) - [darker, 0]
    return Rows(np.full(n, label), embedding.astype(np.float32), descriptors)


def _labelled(rows: Rows, label: int) -> Rows:
    return Rows(np.full(len(rows), label), rows.embedding, rows.descriptors)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Sixty images of each class."""
    clouds = [_cloud(label, 60, seed=0) for label in range(CLASSES)]
    return Reference(
        Rows(
            np.concatenate([each.labels for each in clouds]),
            np.concatenate([each.embedding for each in clouds]),
            np.concatenate([each.descriptors for each in clouds]),
        )
    )


class TestBlame:
    """`blame`, for class 0 that is taken for class 1."""

    def test_pictures_of_another_class_are_the_labels_fault(self, reference: Reference):
        """They lie where pictures of class 1 always lay."""
        found = blame(reference, _labelled(_cloud(1, 20, seed=1), 0), np.full(20, 1))

        assert found.blame == "label"
        assert found.votes["label"] >= 16

    def test_pictures_as_they_were_are_the_models_fault(self, reference: Reference):
        """They lie where pictures of class 0 always lay, and are answered otherwise."""
        assert blame(reference, _cloud(0, 20, seed=1), np.full(20, 1)).blame == "model"

    def test_pictures_as_of_no_class_are_the_datas_fault(self, reference: Reference):
        """They lie where no picture of the reference lay."""
        found = blame(reference, _cloud(0, 20, seed=1, off=1.5), np.full(20, 1))

        assert found.blame == "data"

    def test_a_dimmed_camera_is_the_datas_fault(self, reference: Reference):
        """The embedding hardly moves; brightness does, also in what is still answered rightly."""
        said = np.array([1] * 8 + [0] * 12)

        found = blame(reference, _cloud(0, 20, seed=1, darker=4.0), said)

        assert (found.blame, found.right_from_own.moved[0]) == ("data", True)

    def test_four_wrong_images_name_nobody(self, reference: Reference):
        """Below five, nothing is concluded."""
        said = np.array([1] * 4 + [0] * 16)

        assert blame(reference, _cloud(0, 20, seed=1), said).blame is None

    def test_f25_a_class_the_reference_does_not_know_names_nobody(self, reference: Reference):
        """F25: an unseen class has nothing to be held against."""
        found = blame(reference, _labelled(_cloud(1, 20, seed=1), 9), np.full(20, 1))

        assert (found.blame, found.wrong) == (None, 0)

    def test_f27_no_images_name_nobody(self, reference: Reference):
        """F27: nothing divided by nothing is not attempted."""
        assert blame(reference, _cloud(0, 0, seed=1), np.zeros(0, np.int64)).blame is None


class TestReference:
    """The conformal p-values."""

    def test_are_uniform_for_images_of_the_class(self, reference: Reference):
        """One in twenty is unusual at the level of one in twenty, or fewer."""
        rows = _cloud(2, 2_000, seed=5)

        p = reference.p_values(rows, rows.labels)

        assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.04)
        assert p.mean() == pytest.approx(0.5, abs=0.06)

    def test_f25_a_class_of_three_borrows_the_distances_of_all(self):
        """F25: with three images no p-value could fall below a quarter."""
        few = _cloud(0, 3, seed=0)
        many = _cloud(1, 60, seed=0)
        found = Reference(
            Rows(
                np.concatenate([few.labels, many.labels]),
                np.concatenate([few.embedding, many.embedding]),
                np.concatenate([few.descriptors, many.descriptors]),
            )
        )
        strangers = _cloud(0, 10, seed=1, off=2.0)

        assert found.p_values(strangers, strangers.labels).max() <= 0.05

    def test_without_images_is_refused(self):
        """There is nothing to be usual for."""
        with pytest.raises(StatisticsError, match="without images"):
            Reference(_cloud(0, 0, seed=0))


class TestLooksAs:
    """Each wrong image by its looks."""

    def test_tells_the_three_apart(self, reference: Reference):
        """One of each: a cat called spider, a spider, and neither."""
        parts = [
            _labelled(_cloud(1, 1, seed=3), 0),
            _cloud(0, 1, seed=3),
            _cloud(0, 1, seed=3, off=2.0),
        ]
        rows = Rows(
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.embedding for part in parts]),
            np.concatenate([part.descriptors for part in parts]),
        )

        assert looks_as(reference, rows, np.full(3, 1)) == ["label", "model", "data"]


class TestMovedAlone:
    """What moved for one class beyond what moved for all."""

    def test_a_light_that_sank_for_all_is_not_its_own(self, reference: Reference):
        """The season moves every class."""
        own, others = (_cloud(label, 30, seed=7, darker=2.0) for label in (0, 1))

        assert not moved_alone(reference, own, others).moved.any()

    def test_a_light_that_sank_for_one_is(self, reference: Reference):
        """Its camera stands in the shade."""
        own, others = _cloud(0, 30, seed=7, darker=2.0), _cloud(1, 30, seed=7)

        found = moved_alone(reference, own, others)

        assert found.moved.tolist() == [True, False, False]
        assert found.effect[0] == pytest.approx(-2, abs=0.6)

    def test_f28_is_silent_when_nothing_moved(self, reference: Reference):
        """F28: 300 windows in which nothing moved, at a level of one in a hundred a family."""
        found = [
            moved_alone(reference, _cloud(0, 20, seed=s), _cloud(1, 60, seed=s)).moved.any()
            for s in range(300)
        ]

        assert np.mean(found) <= 0.02


class TestConstantColumns:
    """Pictures that are all of one size."""

    def test_f27_a_rounding_of_the_mean_is_no_movement(self):
        """F27: 0.001024 sixty times has a mean beside it, and a spread of 2e-19."""
        size = np.full((60, 1), 0.001024)
        known, now = _cloud(0, 60, seed=0), _cloud(0, 20, seed=1)
        reference = Reference(Rows(known.labels, known.embedding, size))

        found = movement(reference, Rows(now.labels, now.embedding, size[:20]), now.labels)

        assert not found.moved.any()


class TestShareTurned:
    """`share_turned`: which wrong answers may be a runtime's."""

    @pytest.mark.parametrize("deviation", [1e-6, 0.01, 0.25])
    def test_leaves_out_none_that_was_turned(self, deviation: float):
        """Ten thousand answers, each logit off by at most that much: all that turned count."""
        rng = np.random.default_rng(0)
        before = rng.normal(0, 3 * deviation, (10_000, 5))
        now = before + rng.uniform(-deviation, deviation, before.shape)
        label, said = before.argmax(axis=1), now.argmax(axis=1)
        rows = np.flatnonzero(label != said)

        leads = now[rows, said[rows]] - now[rows, label[rows]]

        assert len(rows) > 100
        assert share_turned(leads, deviation) == 1.0

    def test_is_none_of_those_far_apart(self):
        """Off by a millionth, an answer that leads by a thousandth is as it was."""
        assert share_turned(np.array([1e-3, 2.0, 9.0]), 1e-6) == 0.0

    def test_is_none_of_none(self):
        """A class without a wrong answer."""
        assert share_turned(np.zeros(0), 0.1) == 0.0
