import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, betabinom, binom, binomtest

from core.errors import StatisticsError
from core.stats.proportions import (
    class_prior,
    confidence_sequence,
    exact_lower_tail,
    holm,
    jeffreys,
    mcnemar_exact,
    paired_difference,
    posterior_means,
    recovery_levels,
    reference_levels,
)

counts = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
p_values = st.lists(st.floats(0, 1, allow_subnormal=False), max_size=30)


class TestJeffreys:
    """The interval beside every class's day."""

    def test_agrees_with_scipy(self):
        """Quantiles of Beta(k + 1/2, n - k + 1/2)."""
        k, n = np.array([1, 8, 59, 999_990]), np.array([10, 10, 60, 1_000_000])

        low, high = jeffreys(k, n, level=0.9)

        assert low == pytest.approx(beta.ppf(0.05, k + 0.5, n - k + 0.5))
        assert high == pytest.approx(beta.ppf(0.95, k + 0.5, n - k + 0.5))

    def test_reaches_the_edge_where_all_or_none_are_right(self):
        """Ten of ten does not rule out perfection."""
        low, high = jeffreys([0, 10], [10, 10])

        assert low[0] == 0.0
        assert high[1] == 1.0
        assert 0 < high[0] < 1
        assert 0 < low[1] < 1

    def test_knows_nothing_without_images(self):
        """A class nobody labelled gets the whole range, never NaN."""
        assert np.array_equal(jeffreys([0], [0]), [[0.0], [1.0]])

    def test_takes_a_single_class_as_plain_numbers(self):
        """A line of the command's output asks for one class only."""
        low, high = jeffreys(8, 10)

        assert float(low) < 0.8 < float(high)

    @given(counts)
    def test_mirrors_when_right_and_wrong_change_places(self, pair):
        """Accuracy and error rate must tell one story."""
        k, n = pair
        low, high = jeffreys(k, n)
        mirrored_low, mirrored_high = jeffreys(n - k, n)

        assert float(low) == pytest.approx(1 - float(mirrored_high), abs=1e-9)
        assert float(high) == pytest.approx(1 - float(mirrored_low), abs=1e-9)

    @pytest.mark.parametrize("level", [0.0, 1.0, np.nan])
    def test_refuses_a_level_that_is_no_probability(self, level):
        """95 instead of 0.95 is the usual slip."""
        with pytest.raises(StatisticsError, match="level is"):
            jeffreys([8], [10], level)


class TestConfidenceSequence:
    """The band on the class page, looked at every day."""

    @settings(deadline=None)
    @given(counts)
    def test_ends_where_the_mixture_outweighs_the_likelihood(self, pair):
        """By the definition: at an inner end both sides are equal, with binomial constants."""
        k, n = pair
        low, high = confidence_sequence(k, n, alpha=0.1)
        mixture = betabinom.pmf(k, n, 0.5, 0.5)

        for end in (float(low), float(high)):
            if 0 < end < 1:
                assert binom.pmf(k, n, end) == pytest.approx(0.1 * mixture, rel=1e-6)

    @given(counts)
    def test_holds_the_share_and_the_jeffreys_interval(self, pair):
        """Being right at every look costs width over being right at one."""
        k, n = pair
        low, high = confidence_sequence(k, n)
        once_low, once_high = jeffreys(k, n)

        assert float(low) <= float(once_low) + 1e-12
        assert float(high) >= float(once_high) - 1e-12

    def test_reaches_the_edge_where_all_or_none_are_right(self):
        """And knows nothing without images."""
        low, high = confidence_sequence([0, 10, 0], [10, 10, 0])

        assert (low[0], high[1]) == (0.0, 1.0)
        assert (low[2], high[2]) == (0.0, 1.0)

    def test_closes_in_on_the_share_with_a_million_images(self):
        """Neither overflow nor a lost digit at a year's counts."""
        low, high = confidence_sequence([950_000], [1_000_000])

        assert 0.948 < low[0] < 0.95 < high[0] < 0.952

    def test_ever_misses_the_truth_in_fewer_than_alpha_of_histories(self):
        """The promise, for somebody who looks every day for two months."""
        rng, histories, days = np.random.default_rng(20267), 2000, 60
        k = rng.binomial(10, 0.9, (histories, days)).cumsum(axis=1)
        n = np.tile(10 * np.arange(1, days + 1), (histories, 1))

        low, high = confidence_sequence(k, n, alpha=0.1)

        missed = ((low > 0.9) | (high < 0.9)).any(axis=1)
        assert missed.mean() <= 0.1


class TestClassPrior:
    """What all classes say about one."""

    def test_follows_the_formula_for_equal_images(self):
        """The specification's moments, written out."""
        k, n = np.array([57, 48, 60, 30, 55]), 60
        mu, variance = np.mean(k / n), np.var(k / n, ddof=1)
        rho = (variance / (mu * (1 - mu)) - 1 / n) / (1 - 1 / n)
        s = 1 / rho - 1

        prior = class_prior(k, np.full(5, n))

        assert (prior.a, prior.b) == pytest.approx((mu * s, (1 - mu) * s))

    def test_finds_the_truth_whatever_the_numbers_of_images(self):
        """A long-tailed pool has 40 images of one class and 400 of another."""
        rng, classes = np.random.default_rng(20268), 20_000
        n = rng.choice([40, 100, 400], classes)
        k = rng.binomial(n, rng.beta(18, 2, classes))

        prior = class_prior(k, n)

        assert prior.a == pytest.approx(18, rel=0.1)
        assert prior.b == pytest.approx(2, rel=0.1)

    def test_is_not_overthrown_by_one_class_of_two_images(self):
        """Unweighted, a new class's two first mistakes would leave the others without a prior."""
        prior = class_prior([58] * 4 + [54] * 8 + [0], [60] * 12 + [2])

        assert prior.a + prior.b > 10

    def test_is_strong_but_not_infinite_when_classes_look_alike(self):
        """The floor of rho: even equal shares may hide small differences."""
        prior = class_prior([54, 54, 54], [60, 60, 60])

        assert prior.a + prior.b == pytest.approx(1e4 - 1)

    def test_is_never_weaker_than_jeffreys(self):
        """Half the classes perfect and half hopeless is no reason to trust ten images."""
        prior = class_prior([60, 0, 60, 0], [60, 60, 60, 60])

        assert prior.a + prior.b == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("correct", "total"), [([50], [60]), ([50, 0], [60, 0]), ([1, 0, 1], [1, 1, 1])]
    )
    def test_is_jeffreys_own_where_nothing_tells_how_classes_differ(self, correct, total):
        """One class, or one image each: no variance between classes can be seen."""
        prior = class_prior(correct, total)

        assert (prior.a, prior.b) == (0.5, 0.5)

    @pytest.mark.parametrize(("correct", "total"), [([], []), ([0, 0], [0, 0]), ([[1]], [[1]])])
    def test_refuses_a_model_without_reference_images(self, correct, total):
        """There is nothing to hold anybody to."""
        with pytest.raises(StatisticsError, match="at least one image"):
            class_prior(correct, total)


class TestReferenceLevels:
    """The accuracy each class is held to."""

    def test_follows_the_formula(self):
        """The 0.10 quantile of the posterior, less 0.02."""
        k, n = np.array([57, 48, 60, 30, 55]), np.full(5, 60)
        prior = class_prior(k, n)
        expected = beta.ppf(0.10, prior.a + k, prior.b + n - k) - 0.02

        assert reference_levels(k, n) == pytest.approx(expected)

    @settings(deadline=None)
    @given(st.lists(counts, min_size=1, max_size=20).filter(lambda c: any(n for _, n in c)))
    def test_always_gives_levels_a_detector_can_bet_against(self, pairs):
        """All right, all wrong, one class, no images: the monitor must not stop at any."""
        levels = reference_levels(*zip(*pairs, strict=True))

        assert np.all((levels >= 0.005 - 1e-12) & (levels <= 0.995))
        assert np.all((recovery_levels(levels) >= 0.005 - 1e-12) & (recovery_levels(levels) < 1))

    def test_caps_a_perfect_model(self):
        """Against 1.0 a single mistake would be infinite evidence."""
        levels = reference_levels([10**6] * 3, [10**6] * 3)

        assert np.all(levels <= 0.995)

    def test_gives_a_class_without_images_what_classes_are_like(self):
        """A new class is held to the prior's 0.10 quantile, less 0.02."""
        k, n = np.array([57, 48, 60, 0]), np.array([60, 60, 60, 0])
        prior = class_prior(k, n)

        assert reference_levels(k, n)[3] == pytest.approx(beta.ppf(0.1, prior.a, prior.b) - 0.02)

    def test_lies_below_the_truth_for_nearly_all_classes(self):
        """What keeps 1,000 unequal classes with 50 images each from paging every day."""
        rng = np.random.default_rng(20269)
        truth = rng.beta(18, 2, 1000)

        levels = reference_levels(rng.binomial(50, truth), np.full(1000, 50))

        assert np.mean(levels < truth) > 0.9


class TestPosteriorMeans:
    """What the weak list is ranked by."""

    def test_draws_few_images_further_towards_the_others(self):
        """1 of 2 is bad luck more often than it is a class worse than 36 of 60."""
        means = posterior_means([1, 36, 57, 55, 58, 52, 56, 50], [2] + [60] * 7)

        assert means[0] > means[1]

    def test_gives_a_class_without_images_the_priors_mean(self):
        """Unknown is ordinary until shown otherwise."""
        prior = class_prior([57, 48, 0], [60, 60, 0])

        assert posterior_means([57, 48, 0], [60, 60, 0])[2] == pytest.approx(
            prior.a / (prior.a + prior.b)
        )


class TestExactLowerTail:
    """How rare so few right answers are."""

    @given(counts, st.just(0.0) | st.floats(1e-6, 1, allow_subnormal=False))
    def test_agrees_with_scipy(self, pair, reference):
        """P(Bin(n, r) <= k), to the ends of every range."""
        k, n = pair

        ours = float(exact_lower_tail(k, n, reference))

        assert ours == pytest.approx(binom.cdf(k, n, reference), abs=1e-9)

    def test_takes_a_reference_for_each_class(self):
        """Each class has its own level."""
        tails = exact_lower_tail([8, 8], [10, 10], [0.8, 0.95])

        assert tails == pytest.approx(binom.cdf(8, 10, [0.8, 0.95]))

    @pytest.mark.parametrize("reference", [-0.1, 1.1, np.nan])
    def test_refuses_a_reference_that_is_no_probability(self, reference):
        """A NaN would come back as a NaN, and compare as healthy."""
        with pytest.raises(StatisticsError, match="reference"):
            exact_lower_tail([8], [10], reference)


class TestMcNemarExact:
    """Whether the challenger is better on the same images."""

    @given(st.integers(0, 200), st.integers(0, 200))
    def test_agrees_with_scipys_binomial_test(self, gained, lost):
        """Among disagreements, a fair coin is the null."""
        expected = 1.0
        if gained + lost:
            expected = binomtest(gained, gained + lost, alternative="greater").pvalue

        assert float(mcnemar_exact(gained, lost)) == pytest.approx(expected, abs=1e-12)

    def test_refuses_unequal_shapes(self):
        """Gains of 15 classes and losses of 14 are no pairs."""
        with pytest.raises(StatisticsError, match="differ in shape"):
            mcnemar_exact([1, 2], [1])


class TestPairedDifference:
    """By how much the challenger is better, and how sure that is."""

    def test_agrees_with_the_spread_of_the_paired_scores(self):
        """Per image the difference is +1, -1 or 0; se is its standard error."""
        scores = np.array([1] * 9 + [-1] * 4 + [0] * 187)

        difference, error = paired_difference([9], [4], [200])

        assert difference[0] == pytest.approx(scores.mean())
        assert error[0] == pytest.approx(scores.std() / np.sqrt(200))

    def test_is_never_perfectly_sure(self):
        """Without one disagreement the error is that of a single one."""
        difference, error = paired_difference([0, 200], [0, 0], [200, 200])

        assert difference.tolist() == [0.0, 1.0]
        assert error == pytest.approx([1 / 200, 1 / 200])

    @pytest.mark.parametrize(
        ("gained", "lost", "total"), [([1], [1], [1]), ([0], [0], [0]), ([1], [1, 2], [9])]
    )
    def test_refuses_counts_that_cannot_be_pairs(self, gained, lost, total):
        """More disagreements than images, none at all, or other classes."""
        with pytest.raises(StatisticsError):
            paired_difference(gained, lost, total)


class TestHolm:
    """Many flagged classes, one verdict."""

    @given(p_values)
    def test_rejects_what_stepping_down_rejects(self, values):
        """Smallest first against 0.05 / m, then 0.05 / (m - 1), until one fails."""
        rejected, m = set(), len(values)
        for rank, position in enumerate(sorted(range(m), key=values.__getitem__)):
            if values[position] * (m - rank) > 0.05:
                break
            rejected.add(position)

        assert set(np.flatnonzero(holm(values) <= 0.05)) == rejected

    @given(p_values)
    def test_lies_between_the_p_value_and_bonferroni(self, values):
        """Never bolder than one test, never more timid than Bonferroni."""
        adjusted = holm(values)

        assert np.all(adjusted >= values)
        assert np.all(adjusted <= np.minimum(np.array(values) * len(values), 1))
