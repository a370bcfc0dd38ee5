import numpy as np
import pytest
from scipy import stats

from core.errors import StatisticsError
from core.stats.means import Moments, means_two_sample, moments_of, together


def _moments(values: np.ndarray) -> Moments:
    """Return the moments of each row."""
    mean = values.mean(axis=1)
    n = np.full(len(values), values.shape[1])
    return Moments(n, mean, ((values - mean[:, None]) ** 2).sum(axis=1))


class TestMomentsOf:
    """Sums of rows, by group."""

    def test_are_those_of_each_group_alone_without_what_is_missing(self):
        """A row of an older release lacks a column; its others still count."""
        rng = np.random.default_rng(1)
        values, group = rng.normal(5, 2, (300, 2)), rng.integers(0, 3, 300)
        values[:50, 1] = np.nan

        found = moments_of(values, group, 4)

        for label in range(3):
            part = values[group == label]
            assert found.n[label].tolist() == np.isfinite(part).sum(axis=0).tolist()
            assert found.mean[label] == pytest.approx(np.nanmean(part, axis=0))
            assert found.squares[label] == pytest.approx(np.nanvar(part, axis=0) * found.n[label])
        assert (found.n[3].tolist(), found.mean[3].tolist()) == ([0, 0], [0.0, 0.0])


class TestTogether:
    """Days added up."""

    def test_is_what_all_rows_at_once_would_give(self):
        """A class that was absent on one of the days among them."""
        rng = np.random.default_rng(2)
        values, group = rng.normal(1e4, 0.1, (900, 3)), rng.integers(0, 5, 900)
        days = np.where(group == 4, 2, rng.integers(0, 3, 900))

        parts = [moments_of(values[days == day], group[days == day], 5) for day in range(3)]
        found, whole = together(parts), moments_of(values, group, 5)

        assert (found.n == whole.n).all()
        assert found.mean == pytest.approx(whole.mean)
        assert found.squares == pytest.approx(whole.squares, rel=1e-6)

    def test_refuses_nothing(self):
        """No day has no mean."""
        with pytest.raises(StatisticsError, match="nothing"):
            together([])


class TestMeansTwoSample:
    """t by sums."""

    def test_is_welchs_where_the_small_sample_is_the_wide_one(self):
        """SciPy, on the rows themselves."""
        rng = np.random.default_rng(3)
        before, now = rng.normal(0, 1, (5, 400)), rng.normal(0.3, 3, (5, 100))
        scipy = stats.ttest_ind(now, before, axis=1, equal_var=False)

        found = means_two_sample(_moments(before), _moments(now))

        assert found.statistic == pytest.approx(scipy.statistic)
        assert found.p_value == pytest.approx(scipy.pvalue)

    def test_effect_is_cohens_d(self):
        """Half a standard deviation is 0.5, whatever the sample."""
        rng = np.random.default_rng(4)
        before, now = rng.normal(0, 2, (1, 200_000)), rng.normal(1, 2, (1, 200_000))

        assert means_two_sample(_moments(before), _moments(now)).effect[0] == pytest.approx(
            0.5, abs=0.02
        )

    @pytest.mark.parametrize("sizes", [(400, 400), (4_000, 400), (400, 4_000)])
    def test_flags_at_most_five_percent_without_drift(self, sizes: tuple[int, int]):
        """Skewed values among them; the careful error costs up to two points of the five."""
        rng = np.random.default_rng(5)
        sides = [_moments(rng.exponential(size=(4_000, n))) for n in sizes]

        p_value = means_two_sample(sides[0], sides[1]).p_value

        assert 0.03 <= np.mean(p_value <= 0.05) <= 0.06

    def test_far_tails_of_skewed_values_are_no_alarms(self):
        """Thousands of classes ask for p near a millionth; Welch alone is wrong there."""
        rng = np.random.default_rng(6)
        before = _moments(rng.exponential(size=(20_000, 1_000)))
        now = _moments(rng.exponential(size=(20_000, 100)))

        assert (means_two_sample(before, now).p_value <= 1e-5).sum() <= 1

    def test_where_nothing_varies_the_answer_is_finite(self):
        """F27: a stuck camera; the same picture, or another one."""
        constant = Moments(np.array([100, 100]), np.array([0.5, 0.5]), np.zeros(2))
        other = Moments(np.array([100, 100]), np.array([0.5, 0.7]), np.zeros(2))

        found = means_two_sample(constant, other)

        assert (found.p_value[0], found.effect[0]) == (1.0, 0.0)
        assert found.p_value[1] < 1e-100
        assert np.isfinite([*found.statistic, *found.effect]).all()

    @pytest.mark.parametrize(("n", "words"), [([1, 5], "fewer than 2"), ([5], "do not pair")])
    def test_refuses_groups_that_cannot_be_compared(self, n: list[int], words: str):
        """One value has no spread, and two groups no partner."""
        sound = Moments(np.array([5, 5]), np.zeros(2), np.ones(2))
        odd = Moments(np.array(n), np.zeros(len(n)), np.ones(len(n)))

        with pytest.raises(StatisticsError, match=words):
            means_two_sample(sound, odd)
