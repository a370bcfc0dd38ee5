import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from core.errors import StatisticsError
from core.stats.evidence import (
    RATIOS,
    RATIOS_UP,
    WEIGHTS,
    alarm_threshold,
    carried_over,
    certainty,
    empty_log_m,
    evidence_of,
    recovery_step,
    step,
    weights_of,
)
from tests.bench.certainty import watch

levels = st.floats(0.02, 0.995, allow_subnormal=False)
# SciPy's binomial, which checks ours, gives up at probabilities like 1e-300.
shares = st.just(0.0) | st.floats(1e-6, 1.0, allow_subnormal=False)
log_states = st.lists(
    st.floats(-50, 12, allow_subnormal=False), min_size=len(RATIOS), max_size=len(RATIOS)
)


def mean_after_a_day(advance, log_m, level, p, n):
    """Return E[E after a day of n images] over every outcome, when right has probability p."""
    outcomes = np.arange(n + 1)
    rows = np.tile(log_m, (n + 1, 1))
    _, evidence = advance(rows, outcomes, np.full(n + 1, n), np.full(n + 1, level))
    return float(binom.pmf(outcomes, n, p) @ evidence)


class TestStep:
    """One day's bet against "this class is healthy"."""

    def test_agrees_with_the_recursion_written_out(self):
        """M <- (M + 1) L and E = sum w M, in plain floats, is the specification."""
        m, log_m = [0.0] * len(RATIOS), empty_log_m(1)
        for k, n in [(9, 10), (10, 10), (7, 10), (3, 4)]:
            likelihoods = [q**k * ((1 - 0.9 * q) / (1 - 0.9)) ** (n - k) for q in RATIOS]
            m = [(old + 1) * day for old, day in zip(m, likelihoods, strict=True)]
            log_m, evidence = step(log_m, [k], [n], np.array([0.9]))

            assert evidence[0] == pytest.approx(sum(np.array(m) * WEIGHTS))
            assert np.exp(log_m[0]) == pytest.approx(m)

    @settings(deadline=None)
    @given(log_states, levels, shares, st.integers(1, 40))
    def test_gains_at_most_one_a_day_while_a_class_is_healthy(self, log_m, level, surplus, n):
        """The alarm budget rests on this: E minus the days is a supermartingale."""
        p = level + surplus * (1 - level)
        before = np.exp(log_m) @ WEIGHTS

        assert mean_after_a_day(step, log_m, level, p, n) <= (before + 1) * (1 + 1e-9)

    def test_gains_exactly_one_a_day_at_the_reference_itself(self):
        """Nothing is given away: a bet at fair odds."""
        log_m = np.log(np.arange(1.0, len(RATIOS) + 1))

        assert mean_after_a_day(step, log_m, 0.9, 0.9, 12) == pytest.approx(
            np.exp(log_m) @ WEIGHTS + 1
        )

    def test_leaves_a_class_without_images_as_it_was(self):
        """No labels is no news: neither the daily 1 nor a factor."""
        log_m = np.vstack([empty_log_m(1), np.linspace(-3, 3, len(RATIOS))])

        after, evidence = step(log_m, [0, 0], [0, 0], np.array([0.9, 0.9]))

        assert np.array_equal(after, log_m)
        assert evidence == pytest.approx([0.0, np.exp(log_m[1]) @ WEIGHTS])

    @pytest.mark.parametrize("reference", [1e-9, 0.5, 0.995, 1 - 1e-12])
    @pytest.mark.parametrize("correct", [0, 500_000, 1_000_000])
    def test_stays_finite_with_a_million_images(self, correct, reference):
        """A backfill of a year in one day must not end in infinity, which JSON cannot hold."""
        log_m, evidence = step(empty_log_m(1), [correct], [10**6], np.array([reference]))
        log_m, evidence = step(log_m, [correct], [10**6], np.array([reference]))

        assert np.isfinite(log_m).all()
        assert 0 <= evidence[0] < math.inf

    def test_grows_when_right_answers_become_fewer(self):
        """Fewer right answers can only speak for a drop."""
        k = np.arange(11)
        _, evidence = step(empty_log_m(11), k, np.full(11, 10), np.full(11, 0.9))

        assert np.all(np.diff(evidence) < 0)

    @pytest.mark.parametrize(
        ("log_m", "correct", "reference", "ratios"),
        [
            (empty_log_m(2), [5], [0.9], RATIOS),
            (empty_log_m(1), [5, 5], [0.9], RATIOS),
            (empty_log_m(1), [5], [1.0], RATIOS),
            (empty_log_m(1), [5], [math.nan], RATIOS),
            (empty_log_m(1), [5], [0.9], (1.0, *RATIOS[1:])),
            (empty_log_m(1), [5], [0.9], ()),
            (empty_log_m(1), [11], [0.9], RATIOS),
            (np.full((1, len(RATIOS)), math.nan), [5], [0.9], RATIOS),
        ],
    )
    def test_refuses_what_does_not_fit(self, log_m, correct, reference, ratios):
        """Broadcasting would quietly hold one class to another's level."""
        with pytest.raises(StatisticsError):
            step(log_m, correct, [10] * len(correct), np.array(reference), ratios)


class TestRecoveryStep:
    """One day's bet against "this class is still weak"."""

    @settings(deadline=None)
    @given(log_states, st.floats(0.005, 0.98, allow_subnormal=False), shares, st.integers(1, 40))
    def test_gains_at_most_one_a_day_while_a_class_is_weak(self, log_m, level, share, n):
        """An alarm must not close by patience alone."""
        before = np.mean(np.exp(log_m))

        gained = mean_after_a_day(recovery_step, log_m, level, share * level, n)

        assert gained <= (before + 1) * (1 + 1e-9)

    @given(st.integers(0, 20), levels)
    def test_is_the_same_bet_on_the_mistakes(self, correct, level):
        """One recursion serves both questions."""
        assume(0 < 1 - level < 1)
        state, level = empty_log_m(1), np.array([level])

        ours = recovery_step(state, [correct], [20], level)
        mirrored = step(state, [20 - correct], [20], 1 - level, RATIOS_UP)

        assert np.array_equal(ours[0], mirrored[0])
        assert np.array_equal(ours[1], mirrored[1])


class TestWeights:
    """How much of the evidence is each alternative's."""

    @pytest.mark.parametrize("ratios", [RATIOS, RATIOS_UP, (0.5,)])
    def test_are_shares_of_the_whole(self, ratios):
        """Were they more than 1 together, the budget would be overdrawn."""
        assert weights_of(ratios).sum() == pytest.approx(1)

    def test_are_equal_where_nobody_has_weighed(self):
        """Another grid is another bet, and no place for these weights."""
        assert weights_of((0.9, 0.5)).tolist() == [0.5, 0.5]


class TestCarriedOver:
    """A class that changes its bet."""

    @given(st.lists(st.floats(0, 1e300, allow_subnormal=False), min_size=1, max_size=5))
    def test_keeps_its_evidence(self, evidence):
        """Neither a jump nor a loss, also for a class that has none."""
        log_m = carried_over(np.array(evidence), len(RATIOS))

        assert evidence_of(log_m, np.array(WEIGHTS)) == pytest.approx(evidence)


class TestCertainty:
    """How sure it is that a class has fallen."""

    def test_is_even_with_the_evidence_of_a_year(self):
        """One fall a year against the evidence of 365 days and a quarter."""
        assert certainty(0.0) == 0.0
        assert certainty(365.25) == pytest.approx(0.5)
        assert certainty(float(np.finfo(np.float64).max)) == 1.0

    def test_claims_no_more_than_is_true(self):
        """Of the alarms of simulated classes at least as many are true as is claimed of them."""
        alarms = watch(300, often=1.0)
        middling = (alarms.later > 0.8) & (alarms.later < 0.95)

        assert middling.sum() > 500
        assert alarms.fallen[middling].mean() >= alarms.later[middling].mean()


class TestAlarmThreshold:
    """From the owner's one number to the detector's."""

    def test_is_thirty_days_of_classes_over_the_budget(self):
        """The threshold is c = 30 K / b."""
        assert alarm_threshold(1000, 0.3) == pytest.approx(100_000)

    @pytest.mark.parametrize(
        ("classes", "budget"), [(0, 0.3), (5, 0.0), (5, -1.0), (5, math.inf), (5, math.nan)]
    )
    def test_refuses_a_budget_that_means_nothing(self, classes, budget):
        """A budget of 0 would switch the alarms off without a word."""
        with pytest.raises(StatisticsError, match="no threshold"):
            alarm_threshold(classes, budget)
