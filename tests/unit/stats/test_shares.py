import numpy as np
import pytest
from scipy import stats

from core.errors import StatisticsError
from core.stats.shares import shares_two_sample
from core.stats.twosample import chi_squared, shift_of_shares


class TestSharesTwoSample:
    """The mix of predicted classes, then and now."""

    @pytest.mark.parametrize("classes", [2, 15, 100])
    def test_flags_five_percent_of_windows_without_drift(self, classes):
        """Two tests in one, and rare classes among them: the shuffles keep the level."""
        rng, shares = np.random.default_rng(20), np.full(classes, 1 / classes)
        flagged = [
            shares_two_sample(
                rng.multinomial(400, shares), rng.multinomial(200, shares), rng
            ).p_value
            <= 0.05
            for _ in range(500)
        ]

        assert np.mean(flagged) == pytest.approx(0.05, abs=0.025)

    def test_sees_one_class_that_moved_where_chi_squared_alone_does_not(self):
        """A class at a fifth of the traffic goes to three tenths, among fifteen."""
        before = np.array([180, *[51] * 14])
        now = np.array([143, *[25] * 10, *[26] * 3, 29])
        rng = np.random.default_rng(21)

        assert shares_two_sample(before, now, rng).p_value < chi_squared(before, now).p_value

    def test_sees_many_classes_that_moved_a_little(self):
        """Half of a hundred classes a fifth up, the others a fifth down."""
        before, now = np.full(100, 100), np.repeat([120, 80], 50)

        found = shares_two_sample(before, now, np.random.default_rng(22))

        assert found.p_value == 1 / 4001
        assert found.effect == shift_of_shares(before, now)

    def test_finds_nothing_when_one_class_is_all_there_is(self):
        """One bin has no shares that could differ."""
        found = shares_two_sample(np.array([100, 0]), np.array([30, 0]), np.random.default_rng(1))

        assert (found.statistic, found.p_value, found.effect) == (0.0, 1.0, 0.0)

    def test_of_two_classes_is_counted_without_a_shuffle(self):
        """Fisher's exact test, less half of the chance of a shift as large as the one seen."""
        before, now = np.array([12, 8]), np.array([4, 16])
        law = stats.hypergeom(40, 16, 20)
        fisher = stats.fisher_exact([before, now]).pvalue

        found = shares_two_sample(before, now, np.random.default_rng(1))

        assert found.p_value == pytest.approx(fisher - (law.pmf(4) + law.pmf(12)) / 2)

    def test_takes_more_counts_than_can_be_shuffled(self):
        """A day of a billion predictions."""
        before, now = np.array([5, 5]) * 10**8, np.array([6, 4]) * 10**8

        assert shares_two_sample(before, now, np.random.default_rng(1)).p_value < 1e-100

    def test_refuses_an_empty_histogram(self):
        """A day without traffic has no shares."""
        with pytest.raises(StatisticsError, match="without observations"):
            shares_two_sample(np.array([5, 5]), np.array([0, 0]), np.random.default_rng(1))
