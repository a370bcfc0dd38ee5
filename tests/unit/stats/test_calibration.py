import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from core.errors import StatisticsError
from core.stats.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    error_by_chance,
    expected_accuracy,
    expected_calibration_error,
    fit_temperature,
)


def drawn(images, classes, *, seed):
    """Return honest logits and labels drawn from the very probabilities they state."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (images, classes))
    noise = rng.gumbel(size=(images, classes))
    return logits, (logits + noise).argmax(axis=1)


class TestFitTemperature:
    """One number that makes confidences honest."""

    @pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
    def test_undoes_a_known_over_or_underconfidence(self, temperature):
        """Honest logits times T ask for T."""
        logits, labels = drawn(20_000, 5, seed=1)

        assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.03)

    def test_is_the_minimum_of_the_log_loss(self):
        """No other temperature on a fine grid does better, by scikit-learn's loss."""
        logits, labels = drawn(300, 4, seed=2)
        best = fit_temperature(logits, labels)
        losses = {t: log_loss(labels, softmax(logits / t, axis=1)) for t in np.linspace(0.3, 3, 50)}

        assert log_loss(labels, softmax(logits / best, axis=1)) <= min(losses.values()) + 1e-12

    def test_stays_in_bounds_when_the_model_is_always_right_or_knows_nothing(self):
        """A perfect validation split must not divide logits by zero."""
        logits, labels = 5 * np.eye(3), np.arange(3)

        assert LOWEST_TEMPERATURE <= fit_temperature(logits, labels) < 0.2
        assert fit_temperature(-logits, labels) == pytest.approx(HIGHEST_TEMPERATURE, rel=1e-3)

    def test_does_not_overflow_on_large_logits(self):
        """Float16 backbones give logits in the thousands now and then."""
        logits, labels = drawn(2_000, 3, seed=3)

        assert fit_temperature(logits * 10 + 60_000, labels) == pytest.approx(10, rel=0.1)

    @pytest.mark.parametrize(
        ("logits", "labels"),
        [
            (np.zeros((2, 3)), [0]),
            (np.zeros((2, 3)), [0, 3]),
            (np.zeros((0, 3)), []),
            (np.zeros(3), [0, 1, 2]),
            ([[0.0, np.nan]], [0]),
        ],
    )
    def test_refuses_what_cannot_be_fitted(self, logits, labels):
        """A NaN temperature would end up inside the exported graph."""
        with pytest.raises(StatisticsError):
            fit_temperature(logits, labels)


class TestExpectedCalibrationError:
    """How far confidence is from accuracy."""

    def test_agrees_with_the_sum_written_out(self):
        """Two bins of (low, high], by hand."""
        probabilities = [[0.5, 0.5], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]]
        # Up to 0.5: confident 0.5 and right. Above: confident 2.3 in all and right once.
        expected = (abs(1 - 0.5) + abs(1 - 2.3)) / 4

        assert expected_calibration_error(probabilities, [0, 1, 1, 1], bins=2) == pytest.approx(
            expected
        )

    def test_is_small_for_honest_and_large_for_boastful_confidences(self):
        """The gate's budget on it must separate the two."""
        logits, labels = drawn(20_000, 5, seed=4)

        assert expected_calibration_error(softmax(logits, axis=1), labels) < 0.015
        assert expected_calibration_error(softmax(3 * logits, axis=1), labels) > 0.1

    def test_is_the_gap_itself_in_a_single_bin(self):
        """With one bin it is |accuracy - mean confidence|."""
        probabilities = np.array([[0.9, 0.1], [0.7, 0.3]])

        assert expected_calibration_error(probabilities, [0, 1], bins=1) == pytest.approx(0.3)

    def test_takes_confidences_of_exactly_zero_and_one(self):
        """Saturated float32 softmax gives both, and 1.0000001."""
        probabilities = np.array([[1.0 + 1e-7, 0.0], [1.0, 0.0]])

        assert expected_calibration_error(probabilities, [0, 0]) == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("bins", [0, -1])
    def test_refuses_no_bins(self, bins):
        """Nothing can be put into them."""
        with pytest.raises(StatisticsError, match="bins"):
            expected_calibration_error([[1.0, 0.0]], [0], bins=bins)

    def test_refuses_logits(self):
        """The usual slip: unnormalised scores have no calibration."""
        with pytest.raises(StatisticsError, match="probability"):
            expected_calibration_error([[7.0, -3.0]], [0])


class TestErrorByChance:
    """What few images show without any fault."""

    @pytest.mark.parametrize("images", [50, 1_000])
    def test_is_the_binomial_one_where_all_are_equally_sure(self, images):
        """Then there is one bin, and |share - 0.9| exceeds 1.96 of its errors in 5 of 100."""
        expected = 1.96 * np.sqrt(0.9 * 0.1 / images)

        assert error_by_chance(np.full(images, 0.9), draws=4_000) == pytest.approx(
            expected, rel=0.1
        )

    def test_is_exceeded_by_honest_models_in_so_many_exams(self):
        """In one of ten where one of ten is asked for."""
        over = 0
        for seed in range(200):
            logits, labels = drawn(80, 4, seed=seed)
            shares = softmax(logits, axis=1)
            limit = error_by_chance(shares.max(axis=1), chance=0.1)
            over += expected_calibration_error(shares, labels) > limit

        assert 0.05 < over / 200 < 0.17

    def test_is_no_more_than_nothing_where_nothing_is_in_doubt(self):
        """Who is sure of everything may not be wrong once."""
        assert error_by_chance([1.0] * 20) == 0


class TestExpectedAccuracy:
    """The accuracy of a day nobody labelled."""

    def test_foretells_the_accuracy_of_honest_confidences(self):
        """Where calibration holds, the estimate holds."""
        logits, labels = drawn(20_000, 5, seed=5)
        confidences = np.exp(log_softmax(logits, axis=1)).max(axis=1)

        foretold = expected_accuracy(confidences)

        assert foretold == pytest.approx(np.mean(logits.argmax(axis=1) == labels), abs=0.01)

    @pytest.mark.parametrize("confidences", [[], [1.2], [np.nan], [[0.5]]])
    def test_refuses_what_is_no_row_of_confidences(self, confidences):
        """A day without predictions has no expected accuracy."""
        with pytest.raises(StatisticsError):
            expected_accuracy(confidences)
