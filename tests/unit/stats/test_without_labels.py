import math

import numpy as np
import pytest
from scipy.special import softmax

from core.errors import StatisticsError
from core.stats.calibration import fit_temperature
from core.stats.without_labels import LEAST_ANSWERS, confident_from, promises, shortfall

CLASSES, IMAGES = 5, 8_000


def answered(scale, *, seed, only=None):
    """Return answers, confidences and hits for images whose signal is weakened to `scale`.

    The model is the best there is for a scale of 1, and made honest on images of that scale.
    `only` weakens the images of one class and leaves the others at 1.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=IMAGES)
    signal = np.where((labels == only) | (only is None), scale, 1.0)
    logits = 4 * (1.6 * np.eye(CLASSES)[labels] * signal[:, None])
    logits = logits + 4 * rng.normal(0, 0.7, (IMAGES, CLASSES))
    if scale == 1:
        answered.temperature = fit_temperature(logits, labels)
    sure = softmax(logits / answered.temperature, axis=1)
    return sure.argmax(axis=1), sure.max(axis=1), sure.argmax(axis=1) == labels


class TestConfidentFrom:
    """ATC's threshold."""

    def test_lets_as_many_pass_as_are_right(self):
        """That is its definition."""
        _, sure, right = answered(1, seed=1)

        assert np.mean(sure >= confident_from(sure, right)) == pytest.approx(right.mean())

    def test_lets_nobody_pass_where_none_is_right(self):
        """A model that is always wrong is never believed."""
        sure = np.array([0.9, 0.5])

        assert not np.any(sure >= confident_from(sure, [False, False]))

    @pytest.mark.parametrize(
        ("sure", "right"), [([], []), ([0.5], [True, False]), ([math.nan], [True]), ([2], [True])]
    )
    def test_refuses_what_is_no_confidence(self, sure, right):
        """NaN would be sure of everything."""
        with pytest.raises(StatisticsError):
            confident_from(sure, right)


class TestPromises:
    """Expected accuracy by predicted class, on simulated shifts of the images."""

    def test_is_the_accuracy_where_nothing_has_shifted(self):
        """Both estimates, on images of the reference's kind that the threshold never saw."""
        _, sure, right = answered(1, seed=1)
        least = confident_from(sure, right)
        answers, sure, right = answered(1, seed=2)

        overall = promises(np.zeros(IMAGES, int), sure, right, 1, least)[0]

        assert overall.confidence == pytest.approx(right.mean(), abs=0.02)
        assert overall.confident == pytest.approx(right.mean(), abs=0.02)
        assert sum(each.n for each in promises(answers, sure, right, CLASSES, least)) == IMAGES

    @pytest.mark.parametrize("seed", range(2, 7))
    def test_falls_when_the_true_accuracy_falls(self, seed):
        """Weaker and weaker signal: accuracy, mean confidence and ATC all go down, in order."""
        _, sure, right = answered(1, seed=1)
        least = confident_from(sure, right)
        seen = [
            promises(np.zeros(IMAGES, int), sure, right, 1, least)[0]
            for _, sure, right in (answered(scale, seed=seed) for scale in (1, 0.8, 0.6, 0.4))
        ]

        accuracy = [each.correct / each.n for each in seen]
        for values in ([each.confidence for each in seen], [each.confident for each in seen]):
            assert accuracy == sorted(accuracy, reverse=True)
            assert values == sorted(values, reverse=True)
            assert values[0] - values[-1] > 0.1

    def test_falls_most_for_the_answer_whose_images_have_shifted(self):
        """Only images of class 2 lose their signal."""
        answers, sure, right = answered(1, seed=1)
        least = confident_from(sure, right)
        before = promises(answers, sure, right, CLASSES, least)
        after = promises(*answered(0.5, seed=3, only=2), CLASSES, least)

        fallen = shortfall(
            [each.n for each in after],
            [each.confidence for each in after],
            [each.confidence for each in before],
        )

        assert int(fallen.argmax()) == 2

    def test_says_nothing_of_an_answer_that_was_never_given(self):
        """No images, no promise."""
        never = promises([0], [0.9], [True], 2, 0.5)[1]

        assert (never.n, never.confidence, never.confident) == (0, None, None)

    def test_refuses_an_answer_that_is_no_class(self):
        """It would be lost in silence."""
        with pytest.raises(StatisticsError, match="answers"):
            promises([2], [0.9], [True], 2, 0.5)


class TestShortfall:
    """Whose labels are wanted first."""

    def test_is_nothing_where_nothing_is_known(self):
        """Few answers, no answers, no reference, or surer than before."""
        n = [LEAST_ANSWERS - 1, 0, 100, 100]

        assert not shortfall(n, [0.2, math.nan, 0.2, 0.99], [0.9, 0.9, math.nan, 0.9]).any()
