import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from core.errors import StatisticsError
from core.stats.separation import classifier_two_sample


class TestClassifierTwoSample:
    """Embeddings, then and now."""

    def test_tells_shifted_rows_apart_as_well_as_logistic_regression(self):
        """The closed form costs next to no power against the usual classifier."""
        rng = np.random.default_rng(11)
        reference, current = rng.normal(size=(600, 20)), rng.normal(0.15, 1, (400, 20))
        rows, labels = np.vstack([reference, current]), np.repeat([0, 1], [600, 400])
        scores = cross_val_predict(LogisticRegression(), rows, labels, method="decision_function")

        found = classifier_two_sample(reference, current, np.random.default_rng(0), 99)

        assert found.effect == pytest.approx(roc_auc_score(labels, scores), abs=0.03)
        assert found.p_value == pytest.approx(1 / 100)

    def test_flags_five_percent_of_windows_without_drift(self):
        """Permutation makes it exact even where rows are wider than they are many."""
        rng = np.random.default_rng(12)
        flagged = [
            classifier_two_sample(
                rng.normal(size=(30, 40)), rng.normal(size=(20, 40)), rng, 59
            ).p_value
            <= 0.05
            for _ in range(1000)
        ]

        assert np.mean(flagged) == pytest.approx(0.05, abs=0.015)

    def test_gives_the_same_answer_for_the_same_seed(self):
        """A day run again must yield the same rows."""
        rng = np.random.default_rng(13)
        reference, current = rng.normal(size=(50, 3)), rng.normal(size=(40, 3))

        once = classifier_two_sample(reference, current, np.random.default_rng(1))

        assert classifier_two_sample(reference, current, np.random.default_rng(1)) == once

    def test_does_not_depend_on_the_columns_units(self):
        """Brightness in 0 to 255 must not drown a ratio in 0 to 1."""
        rng = np.random.default_rng(14)
        reference, current = rng.normal(size=(50, 3)), rng.normal(size=(40, 3))
        units = np.array([1.0, 1024.0, 2.0**-10])

        plain = classifier_two_sample(reference, current, np.random.default_rng(1))
        scaled = classifier_two_sample(reference * units, current * units, np.random.default_rng(1))

        assert scaled == plain

    def test_finds_nothing_in_constant_columns(self):
        """Every ranking is a tie: half, and no significance."""
        found = classifier_two_sample(np.ones((9, 2)), np.ones((8, 2)), np.random.default_rng(1))

        assert (found.effect, found.p_value) == (0.5, 1.0)

    @pytest.mark.parametrize(
        ("current", "permutations"),
        [(np.ones((4, 2)), 9), (np.ones((9, 3)), 9), (np.ones(9), 9), (np.ones((9, 2)), 0)],
    )
    def test_refuses_what_it_cannot_compare(self, current, permutations):
        """Fewer rows than folds, other columns, or no permutation at all."""
        with pytest.raises(StatisticsError):
            classifier_two_sample(np.ones((9, 2)), current, np.random.default_rng(1), permutations)
