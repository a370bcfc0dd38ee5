"""Confident learning over one draw."""

import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.wrong_labels import confident_disagreements


def _sure(said: list[int], classes: int = 3, confidence: float = 0.9) -> np.ndarray:
    rest = (1 - confidence) / (classes - 1)
    p = np.full((len(said), classes), rest, dtype=np.float32)
    p[np.arange(len(said)), said] = confidence
    return p


class TestConfidentDisagreements:
    """`confident_disagreements`."""

    def test_finds_the_one_wrong_label(self):
        """The model says Dog as surely as it says Dog of dogs."""
        found = confident_disagreements(_sure([0, 0, 0, 1, 1, 1, 2]), [0, 0, 1, 1, 1, 1, 2])

        assert (found.rows.tolist(), found.suggested.tolist()) == ([2], [0])
        assert found.margin[0] == pytest.approx(0.05 - 0.9, abs=1e-6)

    def test_leaves_a_doubtful_answer_alone(self):
        """Less sure than usual of that class is no ground to suspect a label."""
        p = np.concatenate([_sure([0, 0, 0, 1, 1, 1]), _sure([0], confidence=0.5)])

        assert confident_disagreements(p, [0, 0, 0, 1, 1, 1, 1]).rows.size == 0

    def test_finds_most_of_two_classes_exchanged(self):
        """Where all labels of two classes are exchanged, all of them look wrong."""
        said = [0] * 10 + [1] * 10 + [2] * 10

        found = confident_disagreements(_sure(said), [1] * 10 + [0] * 10 + [2] * 10)

        assert sorted(found.rows.tolist()) == list(range(20))

    def test_names_the_surest_first(self):
        """A person begins at the top."""
        p = np.concatenate([_sure([0] * 4, confidence=0.8), _sure([0], confidence=0.95)])
        p = np.concatenate([p, _sure([1] * 8)])

        found = confident_disagreements(p, [0, 0, 0, 1, 1] + [1] * 8)

        assert found.rows[0] == 4

    def test_suggests_no_class_that_was_not_drawn(self):
        """A class without images has no threshold to reach."""
        assert confident_disagreements(_sure([2, 0, 1]), [0, 0, 1]).rows.size == 0

    def test_takes_no_images_at_all(self):
        """A day without labels is a day without doubts."""
        assert confident_disagreements(np.zeros((0, 3)), np.zeros(0, np.int64)).rows.size == 0

    def test_refuses_labels_that_do_not_fit(self):
        """Two labels for three images."""
        with pytest.raises(StatisticsError, match="3 rows"):
            confident_disagreements(_sure([0, 1, 2]), [0, 1])
