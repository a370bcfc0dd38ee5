import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.evidence import empty_log_m, step
from core.stats.weak_list import (
    EPOCH_DAYS,
    e_benjamini_hochberg,
    e_values,
    epoch_of,
    weak_list,
)

some_values = st.lists(st.floats(0, 1e6, allow_subnormal=False), max_size=40)


def listed_over_an_epoch(truth, *, runs, seed):
    """Return who is on the list after 30 days of ten images, shape (runs, K), floor 0.80."""
    rng, rows = np.random.default_rng(seed), runs * len(truth)
    log_m, n, floor = empty_log_m(rows), np.full(rows, 10), np.full(rows, 0.8)
    for _ in range(EPOCH_DAYS):
        log_m, evidence = step(log_m, rng.binomial(10, np.tile(truth, runs)), n, floor)
    return np.array([e_benjamini_hochberg(row) for row in e_values(evidence).reshape(runs, -1)])


class TestEBenjaminiHochberg:
    """From e-values to findings."""

    @given(some_values, st.floats(0.01, 0.5))
    def test_agrees_with_the_definition(self, values, share):
        """The largest k with e_(k) >= K / (q k), counted by hand."""
        falling = sorted(values, reverse=True)
        fits = [k for k in range(1, len(values) + 1) if falling[k - 1] >= len(values) / (share * k)]
        expected = [bool(fits) and value >= falling[max(fits) - 1] for value in values]

        assert e_benjamini_hochberg(values, share).tolist() == expected

    def test_takes_all_when_all_have_a_twentieth(self):
        """With everybody weak, 20 is enough for each, also at 2,500."""
        assert e_benjamini_hochberg(np.full(2500, 20.0)).all()
        assert not e_benjamini_hochberg(np.full(2500, 19.9)).any()

    @pytest.mark.parametrize("values", [[-1.0], [np.nan], [[1.0]]])
    def test_refuses_what_is_no_e_value(self, values):
        """NaN compares as false and would pass for healthy."""
        with pytest.raises(StatisticsError):
            e_benjamini_hochberg(values)

    @pytest.mark.parametrize("share", [0.0, 1.0, np.nan])
    def test_refuses_a_share_that_is_none(self, share):
        """At 0 nothing is ever found."""
        with pytest.raises(StatisticsError, match="share"):
            e_benjamini_hochberg([1.0], share)


class TestEpoch:
    """Thirty days, then from nothing."""

    def test_begins_every_thirty_days(self):
        """Counted from the version's first day."""
        assert [epoch_of(day) for day in (0, 29, 30, 59, 60)] == [0, 0, 30, 30, 60]

    def test_lists_a_false_class_in_one_of_twenty_at_most(self):
        """All classes at the floor itself: whatever is on the list is there by chance."""
        listed = listed_over_an_epoch(np.full(15, 0.8), runs=600, seed=51)

        assert listed.any(axis=1).mean() <= 0.05

    def test_lists_the_classes_that_are_below(self):
        """Three of twenty at 60 %: found within the epoch, nearly always."""
        truth = np.array([0.6] * 3 + [0.9] * 17)

        listed = listed_over_an_epoch(truth, runs=100, seed=52)

        assert listed[:, :3].mean() > 0.95
        assert not listed[:, 3:].any()


class TestWeakList:
    """The list in its order."""

    def test_ranks_by_what_is_known_of_each_class(self):
        """1 of 2 right is a smaller sample, not a weaker class."""
        evidence = np.array([1e6, 1e6, 0.0, 1e6])

        ranked = weak_list(evidence, [36, 1, 57, 40], [60, 2, 60, 60])

        assert ranked.tolist() == [0, 3, 1]

    def test_is_empty_on_a_first_day(self):
        """No evidence, no images, no list, no error."""
        assert weak_list(np.zeros(5), np.zeros(5), np.zeros(5)).tolist() == []

    def test_refuses_counts_of_other_classes(self):
        """The evidence of 15 classes does not rank 14."""
        with pytest.raises(StatisticsError, match="differ"):
            weak_list(np.zeros(2), [1], [1])

    def test_refuses_negative_evidence(self):
        """A product of fair bets is never below zero."""
        with pytest.raises(StatisticsError, match="negative"):
            e_values([-1.0])
