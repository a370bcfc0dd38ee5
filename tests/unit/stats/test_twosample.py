import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import rel_entr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from core.errors import StatisticsError
from core.stats.twosample import (
    benjamini_hochberg,
    chi_squared,
    classifier_two_sample,
    kolmogorov_smirnov,
    population_stability_index,
)

histograms = st.integers(2, 8).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 90), min_size=bins, max_size=bins)] * 2)
)


class TestPopulationStabilityIndex:
    """PSI of two histograms."""

    def test_is_zero_for_the_same_mix_at_twice_the_traffic(self):
        """More traffic with the same class mix is no drift."""
        counts = np.array([700, 200, 100])

        assert population_stability_index(counts, 2 * counts, pseudocount=0) == 0.0

    def test_agrees_with_scipy(self):
        """PSI is the Kullback-Leibler divergence taken both ways and added."""
        p, q = np.array([50, 30, 20]), np.array([20, 30, 50])
        expected = (rel_entr(p, q) + rel_entr(q, p)).sum() / 100

        assert population_stability_index(p, q, pseudocount=0) == pytest.approx(expected)

    def test_stays_finite_with_an_empty_bin(self):
        """A class nobody sent today is no infinite drift, unless one asks for that."""
        assert population_stability_index([5, 5], [10, 0]) < np.inf
        assert population_stability_index([5, 5], [10, 0], pseudocount=0) == np.inf

    @given(histograms.filter(lambda pair: all(map(any, pair))))
    def test_is_symmetric_and_never_negative(self, pair):
        """Which of the two is called reference must not matter."""
        there, back = population_stability_index(*pair), population_stability_index(*pair[::-1])

        assert there == pytest.approx(back)
        assert there >= 0

    def test_refuses_an_empty_histogram(self):
        """A day without traffic has no shares, and is not silently 'no drift'."""
        with pytest.raises(StatisticsError, match="without observations"):
            population_stability_index(np.array([5, 5]), np.array([0, 0]))

    def test_refuses_other_bins(self):
        """Counts over other edges cannot be compared."""
        with pytest.raises(StatisticsError, match="differ in shape"):
            population_stability_index([5, 5], [5, 5, 5])

    @pytest.mark.parametrize("pseudocount", [-1.0, np.nan])
    def test_refuses_a_pseudocount_below_zero(self, pseudocount):
        """It could make a share negative."""
        with pytest.raises(StatisticsError, match="pseudocount"):
            population_stability_index([5, 5], [5, 5], pseudocount=pseudocount)


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
