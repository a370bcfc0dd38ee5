"""Confidence, margin and entropy, against their definitions and limits."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from core.bundle.outputs import confidence, entropy, margin


def _probabilities(n: int = 50, k: int = 7) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(k), n).astype(np.float32)


class TestConfidence:
    """The top-1 probability."""

    def test_is_the_highest_of_each_row(self):
        """What the answer says."""
        assert confidence(np.array([[0.25, 0.75]], np.float32)) == pytest.approx([0.75])


class TestMargin:
    """The lead of the first label over the second."""

    def test_is_the_difference_of_the_two_highest(self):
        """Whatever their order."""
        ordered = np.sort(_probabilities().astype(np.float64), axis=1)

        assert margin(_probabilities()) == pytest.approx(ordered[:, -1] - ordered[:, -2])

    def test_is_zero_for_a_tie(self):
        """Two labels at once, neither leads."""
        assert margin(np.array([[0.5, 0.5]], np.float32)) == pytest.approx([0])


class TestEntropy:
    """How undecided the model was, in nats."""

    def test_agrees_with_scipy(self):
        """The same formula, written by others."""
        assert entropy(_probabilities()) == pytest.approx(
            scipy_entropy(_probabilities(), axis=1), abs=1e-6
        )

    def test_is_zero_when_certain(self):
        """0 ln 0 counts as 0, and not as minus 0 either."""
        assert str(entropy(np.array([[1, 0, 0]], np.float32))[0]) == "0.0"

    def test_is_ln_k_when_all_are_equal(self):
        """Its upper limit."""
        assert entropy(np.full((1, 4), 0.25, np.float32)) == pytest.approx([np.log(4)])

    @pytest.mark.parametrize("measure", [confidence, margin, entropy])
    def test_gives_nothing_for_no_image(self, measure):
        """As the other two do."""
        assert measure(np.zeros((0, 3), np.float32)).shape == (0,)
