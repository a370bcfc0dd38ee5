import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.errors import StatisticsError
from core.stats.twosample import (
    benjamini_hochberg,
    chi_squared,
    kolmogorov_smirnov,
    shift_of_shares,
)

histograms = st.integers(2, 8).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 90), min_size=bins, max_size=bins)] * 2)
)


class TestKolmogorovSmirnov:
    """One quantity, two samples."""

    @pytest.mark.parametrize(("n", "m"), [(7, 50), (1000, 999), (3000, 40)])
    def test_agrees_with_scipy(self, n, m):
        """Exact for small samples, the limit law for large ones."""
        rng = np.random.default_rng(8)
        reference, current = rng.normal(size=n), rng.normal(0.2, 1, m)
        method = "exact" if max(n, m) <= 1000 else "asymp"
        expected = stats.ks_2samp(reference, current, method=method)

        found = kolmogorov_smirnov(reference, current)

        assert (found.statistic, found.p_value) == (expected.statistic, expected.pvalue)
        assert (found.reference_size, found.current_size) == (n, m)

    def test_flags_five_percent_of_windows_without_drift(self):
        """The false-alarm rate asked for is the one got."""
        rng = np.random.default_rng(9)
        flagged = [
            kolmogorov_smirnov(rng.normal(size=300), rng.normal(size=200)).p_value <= 0.05
            for _ in range(1000)
        ]

        assert np.mean(flagged) == pytest.approx(0.05, abs=0.015)

    def test_flags_five_percent_where_values_repeat(self):
        """Pictures come in a few sizes; the usual law would flag one window in a hundred."""
        rng, shares = np.random.default_rng(9), [0.1, 0.2, 0.4, 0.3]
        pairs = [(rng.choice(4, 300, p=shares), rng.choice(4, 200, p=shares)) for _ in range(1000)]

        shuffled = [kolmogorov_smirnov(*pair, ties=rng).p_value <= 0.05 for pair in pairs]
        plain = [kolmogorov_smirnov(*pair).p_value <= 0.05 for pair in pairs]

        assert np.mean(shuffled) == pytest.approx(0.05, abs=0.015)
        assert np.mean(plain) < 0.02

    def test_shuffles_do_not_limit_how_sure_it_is(self):
        """A thousand shuffles end at p = 0.001; all pictures of another size is surer."""
        found = kolmogorov_smirnov(np.zeros(300), np.ones(200), ties=np.random.default_rng(1))

        assert found.p_value < 1e-50

    @pytest.mark.parametrize("current", [[], [np.nan], [[1.0]]])
    def test_refuses_what_is_no_sample(self, current):
        """A window without values has no distribution."""
        with pytest.raises(StatisticsError, match="current sample"):
            kolmogorov_smirnov([1.0, 2.0], current)


class TestChiSquared:
    """The mix of predicted classes, then and now."""

    @given(histograms.filter(lambda pair: all(map(any, pair))))
    def test_agrees_with_scipy(self, pair):
        """Pearson's test of homogeneity, bins empty in both left out."""
        table = np.array(pair)
        expected = stats.chi2_contingency(table[:, table.any(axis=0)], correction=False)

        found = chi_squared(*pair)

        assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
        assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)

    def test_measures_an_effect_that_does_not_grow_with_the_traffic(self):
        """A tenth of the traffic moved, whether of a hundred images or a million."""
        few = chi_squared([50, 50], [60, 40])
        many = chi_squared([500_000, 500_000], [600_000, 400_000])

        assert few.effect == pytest.approx(0.1)
        assert many.effect == pytest.approx(0.1)
        assert many.p_value < few.p_value

    def test_finds_nothing_when_one_class_is_all_there_is(self):
        """One bin has no shares that could differ."""
        found = chi_squared([100, 0], [30, 0])

        assert (found.statistic, found.p_value, found.effect) == (0.0, 1.0, 0.0)

    def test_flags_five_percent_of_windows_without_drift(self):
        """The false-alarm rate asked for is the one got."""
        rng, shares = np.random.default_rng(10), np.full(10, 0.1)
        flagged = [
            chi_squared(rng.multinomial(2000, shares), rng.multinomial(300, shares)).p_value <= 0.05
            for _ in range(1000)
        ]

        assert np.mean(flagged) == pytest.approx(0.05, abs=0.015)


class TestShiftOfShares:
    """Cohen's w, less what chance adds."""

    def test_agrees_with_its_definition_where_there_is_no_chance(self):
        """A million images: w^2 = sum d^2 / p over the shares of both together."""
        p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
        both = (p + q) / 2

        found = shift_of_shares(p * 1_000_000, q * 1_000_000)

        assert found == pytest.approx(np.sqrt(((q - p) ** 2 / both).sum()), abs=1e-4)

    @given(histograms.filter(lambda pair: all(map(any, pair))))
    def test_is_at_least_twice_the_share_that_moved(self, pair):
        """Why one floor does for any number of classes (Cauchy, Schwarz)."""
        before, now = (1_000_000 * np.array(side) for side in pair)
        moved = np.abs(before / before.sum() - now / now.sum()).sum() / 2

        assert shift_of_shares(before, now) >= 2 * moved - 0.01

    @pytest.mark.parametrize("classes", [2, 15, 1000])
    def test_is_nothing_in_the_long_run_when_nothing_moved(self, classes):
        """However many classes: their noise, which adds up, is taken off."""
        rng, shares = np.random.default_rng(7), np.full(classes, 1 / classes)
        n = 400 + 40 * classes
        squares = [
            shift_of_shares(rng.multinomial(n, shares), rng.multinomial(n, shares)) ** 2
            for _ in range(200)
        ]

        assert np.mean(squares) < 0.01


class TestBenjaminiHochberg:
    """Many drift checks, few false findings."""

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30))
    def test_agrees_with_scipy(self, values):
        """The step-up procedure."""
        expected = stats.false_discovery_control(values, method="bh")

        assert benjamini_hochberg(values) == pytest.approx(expected)

    def test_has_nothing_to_say_of_no_tests(self):
        """A day without a drift check is no error."""
        assert benjamini_hochberg([]).tolist() == []

    def test_equal_weights_change_nothing(self):
        """A weight of one is the plain procedure."""
        p = [0.001, 0.02, 0.03, 0.8]

        assert benjamini_hochberg(p, np.ones(4)) == pytest.approx(benjamini_hochberg(p))

    def test_a_heavier_test_needs_less_and_the_whole_family_keeps_its_level(self):
        """Genovese, Roeder and Wasserman: any weights of mean 1, chosen beforehand."""
        rng, weights = np.random.default_rng(15), np.array([2.0, 0.5, 0.5])
        false = [np.any(benjamini_hochberg(rng.random(3), weights) <= 0.1) for _ in range(4000)]

        assert benjamini_hochberg([0.03, 0.9, 0.9], weights)[0] == pytest.approx(0.045)
        assert np.mean(false) == pytest.approx(0.1, abs=0.015)

    @pytest.mark.parametrize("weights", [[1.0], [2.0, 0.0], [1.0, 2.0]])
    def test_refuses_weights_that_are_none(self, weights):
        """Their mean is 1, or the level would not be what it says."""
        with pytest.raises(StatisticsError, match="weights"):
            benjamini_hochberg([0.1, 0.2], weights)
