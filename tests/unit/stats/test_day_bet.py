import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from core.errors import StatisticsError
from core.judging.likeness import in_groups
from core.stats.day_bet import (
    GROUP_WEIGHTS,
    Answers,
    bet_on_recovery,
    day_bet_step,
    intraclass_correlation,
    needs_day_bet,
)
from core.stats.evidence import RATIOS, RATIOS_UP, empty_log_m, evidence_of, step

levels = st.floats(0.02, 0.995, allow_subnormal=False)
states = st.lists(
    st.floats(-50, 12, allow_subnormal=False), min_size=len(RATIOS), max_size=len(RATIOS)
)


@st.composite
def days_of_groups(draw):
    """Draw the groups of one day, of up to three classes: owner, right answers, images."""
    groups = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2), st.integers(1, 10**6), st.floats(0, 1, allow_subnormal=False)
            ),
            max_size=12,
        )
    )
    rows = [(owner, int(share * n), n) for owner, n, share in groups]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def advance(log_m, rows, reference):
    """Return what a day of groups, given as rows, makes of the state."""
    return day_bet_step(log_m, tuple(np.array(rows, dtype=np.int64).reshape(-1, 3).T), reference)


class TestAnswers:
    """What classes answered on one day."""

    @pytest.mark.parametrize("grouped", [True, False])
    def test_of_some_classes_are_bet_on_as_among_all(self, grouped):
        """To the last bit: what nobody asks of a class need not be computed."""
        rng = np.random.default_rng(5)
        total, level = rng.integers(0, 30, 40), rng.uniform(0.5, 0.99, 40)
        correct = rng.binomial(total, 0.8)
        shared = {i: [[2, 1]] for i in range(0, 40, 3) if 0 < correct[i] < total[i]}
        groups = in_groups(correct, total, shared) if grouped else None
        answers, chosen = Answers(correct, total, groups), rng.random(40) < 0.3
        log_m = rng.normal(size=(40, len(RATIOS_UP)))

        whole = bet_on_recovery(log_m, answers, level)
        some = bet_on_recovery(log_m[chosen], answers.of(chosen), level[chosen])

        assert 0 < chosen.sum() < 40
        for every, few in zip(whole, some, strict=True):
            np.testing.assert_array_equal(every[chosen], few)


class TestDayBetStep:
    """One bet a group."""

    def test_agrees_with_the_formula_written_out(self):
        """M <- (M + 1) prod (1 + lambda (r - k/n)), in plain floats."""
        log_m, evidence = advance(empty_log_m(1), [(0, 7, 10), (0, 3, 3)], np.array([0.95]))
        stakes = [(1 - ratio) / 0.05 for ratio in RATIOS]
        m = [(1 + s * (0.95 - 0.7)) * (1 + s * (0.95 - 1)) for s in stakes]

        assert np.exp(log_m[0]) == pytest.approx(m)
        assert evidence[0] == pytest.approx(np.dot(m, GROUP_WEIGHTS))

    @settings(deadline=None)
    @given(
        states,
        levels,
        st.floats(0, 1, allow_subnormal=False),
        st.integers(1, 30),
        st.floats(0.001, 0.9),
    )
    def test_gains_at_most_one_a_day_however_alike_images_are(self, log_m, level, up, n, alike):
        """The single-image bet fails exactly here: 42 false alarms instead of 0.03."""
        p, strength = min(level + up * (1 - level), 1 - 1e-6), 1 / alike - 1
        rows = [(k, k, n) for k in range(n + 1)]
        _, evidence = advance(np.tile(log_m, (n + 1, 1)), rows, np.full(n + 1, level))
        chances = betabinom.pmf(np.arange(n + 1), n, p * strength, (1 - p) * strength)
        before = evidence_of(np.array([log_m]), np.array(GROUP_WEIGHTS))[0]

        assert chances @ evidence <= (before + 1) * (1 + 1e-6)

    @given(st.integers(1, 30), levels)
    def test_is_a_fair_bet_at_the_reference_itself(self, n, level):
        """Nothing is given away for independent images either."""
        rows = [(k, k, n) for k in range(n + 1)]
        _, evidence = advance(empty_log_m(n + 1), rows, np.full(n + 1, level))

        assert binom.pmf(np.arange(n + 1), n, level) @ evidence == pytest.approx(1)

    @given(days_of_groups(), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_arrival(self, rows, shuffler):
        """Late labels and replays must give the same bits."""
        mixed = rows.tolist()
        shuffler.shuffle(mixed)
        before, reference = empty_log_m(3), np.array([0.9, 0.5, 0.99])

        ours, theirs = advance(before, rows, reference), advance(before, mixed, reference)

        assert np.array_equal(ours[0], theirs[0])
        assert np.array_equal(ours[1], theirs[1])

    @given(days_of_groups())
    def test_leaves_classes_without_groups_untouched_and_stays_finite(self, rows):
        """Absent classes have no news; a million images are no infinity."""
        before = np.vstack([np.full(len(RATIOS), 1.5)] * 3)

        after, evidence = advance(before, rows, np.array([0.9, 0.5, 0.99]))

        absent = np.setdiff1d(np.arange(3), rows[:, 0])
        assert np.array_equal(after[absent], before[absent])
        assert np.isfinite(after).all()
        assert np.isfinite(evidence).all()

    @pytest.mark.parametrize("row", [(1, 5, 10), (0, 11, 10), (0, 0, 0), (-1, 5, 10)])
    def test_refuses_impossible_groups(self, row):
        """A group of nobody, or of a class that is not there, is a join gone wrong."""
        with pytest.raises(StatisticsError):
            advance(empty_log_m(1), [row], np.array([0.9]))

    @given(st.integers(0, 40), st.integers(0, 40), levels)
    def test_is_the_bet_on_images_where_nobody_belongs_together(self, right, wrong, level):
        """A group of one is an image, so a model without sessions loses nothing but weights."""
        rows = [(0, 1, 1)] * right + [(0, 0, 1)] * wrong
        reference = np.array([level])

        in_groups, _ = advance(empty_log_m(1), rows, reference)
        alone, _ = step(empty_log_m(1), [right], [right + wrong], reference)

        assert in_groups == pytest.approx(alone, rel=1e-9, abs=1e-9)

    def test_refuses_a_state_of_other_alternatives(self):
        """The pooled detector's memory means something else."""
        with pytest.raises(StatisticsError, match="alternatives"):
            advance(empty_log_m(1, (0.99, 0.5)), [(0, 5, 10)], np.array([0.9]))


class TestIntraclassCorrelation:
    """How alike images of a session are."""

    @pytest.mark.parametrize("alike", [0.0, 0.02, 0.1, 0.5])
    def test_finds_the_correlation_that_was_put_in(self, alike):
        """Groups of 1 to 19 images, in classes of unequal difficulty."""
        rng, groups = np.random.default_rng(31), 20_000
        stratum = np.arange(groups) % 50
        mean = np.linspace(0.8, 0.98, 50)[stratum]
        strength = 1 / alike - 1 if alike else 1
        p = rng.beta(mean * strength, (1 - mean) * strength) if alike else mean
        total = rng.integers(1, 20, groups)

        found = intraclass_correlation(rng.binomial(total, p), total, stratum)

        assert found == pytest.approx(alike, abs=0.015)

    def test_does_not_take_unequal_classes_for_correlation(self):
        """An easy class and a hard one, each perfectly steady."""
        assert intraclass_correlation([9, 9, 5, 5], [10] * 4, [0, 0, 1, 1]) == 0

    @pytest.mark.parametrize("total", [[], [7], [1, 1, 1], [0, 0]])
    def test_is_zero_where_nothing_can_be_compared(self, total):
        """A first day has one session; every image alone has no company."""
        assert intraclass_correlation([0] * len(total), total, [0] * len(total)) == 0

    def test_decides_the_bet_above_two_hundredths(self):
        """The limit itself still counts as independent."""
        assert [needs_day_bet(alike) for alike in (0, 0.02, 0.021)] == [False, False, True]

    def test_refuses_groups_that_do_not_pair(self):
        """One stratum too few would shift all others."""
        with pytest.raises(StatisticsError, match="one row each"):
            intraclass_correlation([1, 1], [2, 2], [0])
