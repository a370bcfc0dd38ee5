import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.allocation import allocate
from core.stats.evidence import alarm_threshold, empty_log_m, step
from core.stats.how_soon import DROPS, labels_for_wish
from core.stats.how_soon_adaptive import days_to_notice_adaptive, labels_for_wish_adaptive
from core.stats.pooled import split_budget
from core.stats.proportions import posterior_means, reference_levels
from core.stats.simulated_classes import Plan
from core.stats.simulation import simulate


def threshold_of(classes):
    """Return the threshold that the simulation holds so many classes to."""
    return alarm_threshold(classes, split_budget(0.3, classes).classes)


def measured(reference, accuracy, drop, labels, *, dropped=0, runs=1000, days=80):
    """Return the median delay of one class among all the others, each of them simulated."""
    classes = len(reference)
    rng, rows = np.random.default_rng(7), np.arange(runs)
    null, truth = np.tile(reference, (runs, 1)), np.tile(accuracy, (runs, 1))
    log_m, evidence = empty_log_m(runs * classes), np.zeros((runs, classes))
    first = np.full(runs, math.inf)
    for day in range(-29, days):
        truth[:, dropped] = accuracy[dropped] - drop * (day > 0)
        total = allocate(evidence, labels)
        right = rng.binomial(total, truth)
        log_m, flat = step(log_m, right.ravel(), total.ravel(), null.ravel())
        alarm = flat >= threshold_of(classes)
        log_m[alarm] = -np.inf
        evidence = flat.reshape(runs, classes)
        spoke = alarm.reshape(runs, classes)[rows, dropped] & (day > 0)
        first = np.where(spoke, np.minimum(first, day), first)
    return float(np.quantile(first, 0.5, method="lower"))


def is_kept(foretold, found):
    """Say whether a promise was kept: within a fifth, or within a day below five days."""
    return abs(foretold - found) <= (1 if found < 5 else 0.2 * found)


def unlike(classes, *, seed=5, images=60):
    """Return levels and accuracies of unequal classes, estimated from reference images."""
    rng = np.random.default_rng(seed)
    total = np.full(classes, images)
    correct = rng.binomial(total, rng.beta(57, 3, classes))
    return reference_levels(correct, total), posterior_means(correct, total)


class TestDaysToNoticeAdaptive:
    """A promise about the future, where labels follow the evidence."""

    @pytest.mark.parametrize(
        ("classes", "runs"), [(15, 600), (1000, 80), (2500, 40)], ids=["15", "1000", "2500"]
    )
    @pytest.mark.parametrize(("row", "drop"), list(enumerate(DROPS)))
    def test_is_kept_at_the_sizes_of_the_table(self, classes, runs, row, drop):
        """Against the simulation that docs/detection.md is measured with."""
        level = np.full(classes, 0.95)
        foretold = days_to_notice_adaptive(level, level, DROPS, 10 * classes, threshold_of(classes))

        plan = Plan(classes, drop=0.95 - drop, adaptive=True, runs=runs, seed=3)
        found = simulate(plan).outcomes[0].delay(0.5)

        # By the median itself: with many runs it is 11, 3 and 2, or 10, 3 and 2.
        assert is_kept(foretold[row, 0], found)

    @pytest.mark.parametrize(
        ("reference", "accuracy", "drop", "labels"),
        [
            (0.91, 0.95, 0.15, 10), (0.91, 0.95, 0.35, 10), (0.91, 0.95, 0.15, 40),
            (0.88, 0.95, 0.15, 10), (0.70, 0.80, 0.35, 3), (0.70, 0.80, 0.15, 30),
            (0.95, 0.95, 0.05, 30), (0.95, 0.95, 0.15, 3), (0.97, 0.99, 0.05, 40),
        ],
    )  # fmt: skip
    def test_is_kept_for_levels_below_the_truth(self, reference, accuracy, drop, labels):
        """What a class is held to is lower than what it does, in every real version."""
        levels, truths = np.full(15, reference), np.full(15, accuracy)
        foretold = days_to_notice_adaptive(levels, truths, [drop], 15 * labels, threshold_of(15))

        assert is_kept(foretold[0, 0], measured(levels, truths, drop, 15 * labels))

    @pytest.mark.parametrize("dropped", [0, 7, 22])
    def test_is_kept_among_unequal_classes(self, dropped):
        """Each class against others that stand elsewhere."""
        levels, truths = unlike(40)
        foretold = days_to_notice_adaptive(levels, truths, [0.15], 400, threshold_of(40))

        found = measured(levels, truths, 0.15, 400, dropped=dropped, runs=400, days=40)

        assert is_kept(foretold[0, dropped], found)

    def test_is_never_for_a_drop_above_the_level_and_without_labels(self):
        """Nothing shows it, or nobody looks."""
        above = days_to_notice_adaptive([0.90] * 5, [0.97] * 5, [0.05], 50, 1500)
        unseen = days_to_notice_adaptive([0.9] * 5, [0.95] * 5, [0.35], 0, 1500)

        assert np.isinf(above).all()
        assert np.isinf(unseen).all()

    def test_is_the_same_whenever_it_is_asked(self):
        """The dice are seeded, and other questions in between do not matter."""
        levels, truths = unlike(30)
        first = days_to_notice_adaptive(levels, truths, DROPS, 300, 2000.0)
        days_to_notice_adaptive(levels, truths, DROPS, 301, 2000.0)

        assert np.array_equal(first, days_to_notice_adaptive(levels, truths, DROPS, 300, 2000.0))

    def test_answers_for_2500_unequal_classes_while_somebody_waits(self):
        """Days and wish; half a second and one second on a free core, five on a busy one."""
        levels, truths = unlike(2500)
        begun = time.process_time()

        days_to_notice_adaptive(levels, truths, DROPS, 25_000, threshold_of(2500))
        labels_for_wish_adaptive(levels, truths, 0.15, 3, threshold_of(2500))

        assert time.process_time() - begun < 5

    @settings(deadline=None, max_examples=12)
    @given(
        st.lists(
            st.tuples(st.floats(0.01, 0.99), st.floats(0, 1, allow_subnormal=False)),
            min_size=1,
            max_size=4,
        ),
        st.integers(0, 20_000),
    )
    def test_is_a_number_of_days_or_never_for_any_class(self, classes, labels):
        """Never NaN, never less than a day, whatever the levels and labels."""
        reference, accuracy = np.array(classes).T

        days = days_to_notice_adaptive(reference, accuracy, [0.15, 0.35], labels, 1500.0)

        assert np.all((days >= 1) & ((days <= 365) | np.isinf(days)))

    @pytest.mark.parametrize(
        ("accuracy", "drops", "labels", "threshold"),
        [([1.1], [0.1], 9, 9), ([0.9], [2], 9, 9), ([0.9], [0.1], -1, 9), ([0.9], [0.1], 9, 0)],
    )
    def test_refuses_what_has_no_answer(self, accuracy, drops, labels, threshold):
        """An impossible question must not be answered with a date."""
        with pytest.raises(StatisticsError):
            days_to_notice_adaptive([0.9], accuracy, drops, labels, threshold)


class TestLabelsForWishAdaptive:
    """How many labels a wish costs, where they follow the evidence."""

    @pytest.mark.parametrize("classes", [15, 1000])
    def test_is_enough_and_not_much_more_than_enough(self, classes):
        """Days to notice with a fifth more are kept, with a third less they are not."""
        level, limit = np.full(classes, 0.95), threshold_of(classes)
        wish = labels_for_wish_adaptive(level, level, 0.15, 3, limit)[0]

        enough, short = (
            days_to_notice_adaptive(level, level, [0.15], int(share * wish * classes), limit)[0, 0]
            for share in (1.2, 0.65)
        )

        assert enough <= 3 < short

    def test_costs_less_than_a_plain_draw(self):
        """That is what following the evidence is for."""
        levels, truths = unlike(40)
        plain = labels_for_wish(levels, truths, 0.15, 3, threshold_of(40))

        adaptive = labels_for_wish_adaptive(levels, truths, 0.15, 3, threshold_of(40))

        assert np.all(adaptive < plain)

    def test_is_beyond_reach_where_no_number_is_enough(self):
        """A drop that ends above the level."""
        wish = labels_for_wish_adaptive([0.85, 0.9], [0.95, 0.92], 0.05, 3, 1500.0)

        assert math.isinf(wish[0])
        assert math.isfinite(wish[1])
