"""What a bundle states about its version, made of what the version said."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.evaluation import Evaluation
from core.store.images import Sample
from trainer.bundling.release import (
    Candidate,
    code_version,
    fit_temperature,
    metrics,
    promised,
    reference,
    spread,
)
from trainer.images.dataset import Pixels

LABELS = ("A", "B", "C")


def _evaluation(labels: list[int], predicted: list[int]) -> Evaluation:
    n = len(labels)
    probabilities = np.full((n, 3), 0.1, dtype=np.float32)
    probabilities[np.arange(n), predicted] = 0.8
    return Evaluation(
        samples=[Sample(i, "", "", LABELS[label], "val") for i, label in enumerate(labels)],
        labels=np.array(labels, dtype=np.int64),
        predicted=np.array(predicted, dtype=np.int64),
        probabilities=probabilities,
        embedding=np.zeros((n, 256), dtype=np.float32),
        descriptors=None,
        unreadable=[],
    )


class TestMetrics:
    """What `weakspot train --json` prints."""

    def test_states_recall_per_class(self):
        """The one figure that a mean hides."""
        found = metrics(_evaluation([0, 0, 1, 2], [0, 1, 1, 2]), LABELS)

        assert found["top1"] == 0.75
        assert found["per_class"] == {"A": 0.5, "B": 1.0, "C": 1.0}
        assert found["n"] == 4

    def test_a_class_without_images_has_none(self):
        """Nothing measured is not zero."""
        found = metrics(_evaluation([0, 1], [0, 1]), LABELS)

        assert found["per_class"]["C"] is None

    def test_one_class_alone_cannot_be_ranked(self):
        """The area under a curve takes two."""
        assert metrics(_evaluation([0, 0], [0, 1]), LABELS)["auroc"] is None

    def test_no_images_no_metrics(self):
        """A pool without a test split is allowed."""
        assert metrics(_evaluation([], []), LABELS) == {}


class TestReference:
    """What is normal for each class."""

    def test_counts_what_each_class_was_taken_for(self):
        """Reference levels and later confusions come from here."""
        found = reference(_evaluation([0, 0, 0, 1], [0, 1, 2, 1]), LABELS)

        assert found["A"] == {"n": 3, "correct": 1, "confused": {"B": 1, "C": 1}}
        assert found["B"] == {"n": 1, "correct": 1, "confused": {}}
        assert found["C"] == {"n": 0, "correct": 0, "confused": {}}


class TestFitTemperature:
    """Calibration from the validation split."""

    @pytest.fixture
    def logits(self) -> NDArray[np.float32]:
        """Twenty images of two classes, each three logits ahead."""
        rows = np.tile(np.array([[3.0, 0.0], [0.0, 3.0]], dtype=np.float32), (10, 1))
        rows[0] = [0.5, 0.0]
        return rows

    def test_a_model_without_a_mistake_stays_in_doubt(self, logits: NDArray[np.float32]):
        """A perfect validation split would ask for certainty in everything."""
        found = fit_temperature(logits, np.tile([0, 1], 10))

        assert 0.2 < found < 2

    def test_mistakes_ask_for_doubt(self, logits: NDArray[np.float32]):
        """Half wrong at 95 % confidence is overconfident."""
        assert fit_temperature(logits, np.repeat([0, 1], 10)) > 5


class TestSpread:
    """Which images watch over a bundle."""

    def test_takes_from_each_class_in_turn(self):
        """A class that nobody watches could break unseen."""
        labels = np.array([0, 0, 0, 0, 1, 1, 2])

        chosen = labels[spread(labels, 5)]

        assert sorted(chosen) == [0, 0, 1, 1, 2]

    def test_takes_all_of_few(self):
        """Never more than there are."""
        assert spread(np.array([0, 1]), 48).tolist() == [0, 1]


class TestCalibration:
    """Which images ranges of numbers are read off."""

    def test_takes_each_class_where_there_are_many(self):
        """The ranges of a class that is not among them are cut off."""
        labels = np.repeat(np.arange(300), 2)
        images = labels.astype(np.uint8).repeat(3).reshape(-1, 1, 1, 3)
        rows = np.arange(len(labels))
        samples = tuple(Sample(row, "", "", "A", "train") for row in rows.tolist())
        nothing: Any = None
        candidate = Candidate(
            *("classifier", nothing, "tiny", nothing, nothing, nothing, nothing, {}, {}),
            train=Pixels(samples, labels, images, rows, ()),
        )

        assert len(candidate.calibration()) == 300


class TestCodeVersion:
    """Which code trained it."""

    def test_begins_with_the_packages_version(self):
        """With or without a checkout around."""
        assert code_version()[0].isdigit()


class TestPromised:
    """What the confidences of the reference images promise, kept in the manifest."""

    def test_states_the_threshold_and_each_answer(self):
        """By predicted label: A was said twice, once wrongly."""
        found = promised(_evaluation([0, 1, 1], [0, 0, 1]), LABELS)["without_labels"]

        assert found["confident_from"] == pytest.approx(0.8)
        assert found["predicted"]["A"] == {
            "n": 2, "correct": 1, "confidence": pytest.approx(0.8), "confident": 1.0
        }  # fmt: skip
        assert found["predicted"]["C"]["confidence"] is None

    def test_no_images_no_promise(self):
        """A pool without a validation split is allowed."""
        assert promised(_evaluation([], []), LABELS) == {}
