import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.evidence import alarm_threshold, empty_log_m, step
from core.stats.how_soon import DROPS, days_to_notice, labels_for_wish

C15, C1000 = alarm_threshold(15, 0.24), alarm_threshold(1000, 0.24)


def simulated_median(reference, accuracy, drop, labels, threshold):
    """Return the median days to notice of 1,000 classes, after 30 healthy days."""
    rng, runs = np.random.default_rng(61), 1000
    log_m, null = empty_log_m(runs), np.full(runs, reference)
    total, first = np.full(runs, labels), np.full(runs, math.inf)
    for day in range(-29, 100):
        p = accuracy if day <= 0 else accuracy - drop
        log_m, evidence = step(log_m, rng.binomial(labels, p, runs), total, null)
        spoke = evidence >= threshold
        log_m[spoke] = -np.inf
        first = np.where(spoke & (day > 0), np.minimum(first, day), first)
    return float(np.quantile(first, 0.5, method="lower"))


def some(most: float) -> st.SearchStrategy[float]:
    """Return numbers from 0 on; training may have taken subnormal ones from this process."""
    return st.floats(0, most, allow_subnormal=False)


class TestDaysToNotice:
    """A promise about the future, made before anything has happened."""

    @pytest.mark.parametrize(
        ("reference", "accuracy", "drop", "labels", "threshold"),
        [
            (0.95, 0.95, 0.35, 10, C15), (0.95, 0.95, 0.15, 10, C15), (0.95, 0.95, 0.05, 10, C15),
            (0.95, 0.95, 0.35, 10, C1000), (0.95, 0.95, 0.15, 10, C1000),
            (0.95, 0.95, 0.05, 10, C1000), (0.91, 0.95, 0.15, 10, C15),
            (0.91, 0.95, 0.15, 40, C1000), (0.88, 0.95, 0.15, 10, C1000),
            (0.70, 0.80, 0.15, 40, C1000), (0.70, 0.80, 0.35, 3, C1000),
            (0.97, 0.99, 0.05, 40, C15), (0.97, 0.99, 0.15, 3, C1000),
            (0.91, 0.95, 0.15, 3, C15), (0.95, 0.95, 0.05, 200, C1000),
        ],
    )  # fmt: skip
    def test_is_kept_within_a_fifth(self, reference, accuracy, drop, labels, threshold):
        """The median of simulated classes, for answers up to two months."""
        foretold = days_to_notice([reference], [accuracy], drop, [labels], threshold)[0]

        measured = simulated_median(reference, accuracy, drop, labels, threshold)

        assert foretold == pytest.approx(measured, rel=0.2)

    def test_is_never_for_a_drop_that_ends_above_the_reference(self):
        """What the level forgives is not noticed, and nobody should think it is."""
        assert days_to_notice([0.90], [0.97], 0.05, [10], C15)[0] == math.inf

    def test_is_never_without_labels(self):
        """Nobody looks."""
        assert days_to_notice([0.9], [0.95], 0.35, [0], C15)[0] == math.inf

    def test_counts_the_days_between_rare_labels(self):
        """One image every fourth day takes four times the days of one a day."""
        daily, rare = days_to_notice([0.9] * 2, [0.95] * 2, 0.35, [1, 0.25], C15)

        assert rare == 4 * daily

    @settings(deadline=None, max_examples=30)
    @given(
        st.lists(
            st.tuples(st.floats(0.01, 0.99), some(1), some(10_000)),
            min_size=1,
            max_size=3,
        ),
        st.sampled_from(DROPS),
        st.integers(1, 2500),
    )
    def test_is_a_number_of_days_or_never_for_any_class(self, classes, drop, budgeted):
        """One class or 2,500, at any level and rate: never NaN, never less than a day."""
        reference, accuracy, labels = np.array(classes).T
        threshold = alarm_threshold(budgeted, 0.3)

        days = days_to_notice(reference, accuracy, drop, labels, threshold)

        assert np.all(days >= 1)
        assert np.all((days <= 365) | np.isinf(days))

    def test_shrinks_with_the_size_of_the_drop(self):
        """A larger fault is seen sooner."""
        days = [days_to_notice([0.93], [0.95], drop, [10], C15)[0] for drop in DROPS]

        assert days == sorted(days, reverse=True)

    @pytest.mark.parametrize(
        ("accuracy", "drop", "labels", "threshold"),
        [([1.1], 0.1, [1], 9), ([0.9], -1, [1], 9), ([0.9], 0.1, [-1], 9), ([0.9], 0.1, [1], 0)],
    )
    def test_refuses_what_has_no_answer(self, accuracy, drop, labels, threshold):
        """An impossible question must not be answered with a date."""
        with pytest.raises(StatisticsError, match="no answer"):
            days_to_notice([0.9], accuracy, drop, labels, threshold)

    def test_refuses_rows_that_do_not_pair(self):
        """Levels of 15 classes and rates of 14."""
        with pytest.raises(StatisticsError, match="differ"):
            days_to_notice([0.9, 0.9], [0.9], 0.1, [1], 9)


class TestLabelsForWish:
    """How many labels a wish costs."""

    def test_is_the_least_number_that_is_enough(self):
        """15 points within 3 days: the number fulfils it, one less does not."""
        wish = labels_for_wish([0.93, 0.6], [0.95, 0.7], 0.15, 3, C15)

        enough = days_to_notice([0.93, 0.6], [0.95, 0.7], 0.15, wish, C15)
        short = days_to_notice([0.93, 0.6], [0.95, 0.7], 0.15, wish - 1, C15)

        assert np.all(enough <= 3)
        assert np.all(short > 3)

    def test_is_beyond_reach_where_no_number_is_enough(self):
        """A drop that ends above the reference."""
        assert labels_for_wish([0.85], [0.95], 0.05, 3, C15)[0] == math.inf
