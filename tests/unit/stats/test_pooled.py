import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.evidence import alarm_threshold, empty_log_m, step
from core.stats.pooled import POOLED_RATIOS, pooled_reference, split_budget


def first_alarms(truth, level, days, runs, *, seed):
    """Return the day on which each run's pool raises an alarm; infinity for none."""
    rng, log_m = np.random.default_rng(seed), empty_log_m(runs, POOLED_RATIOS)
    first, threshold = np.full(runs, np.inf), alarm_threshold(1, split_budget(0.3, 9).pooled)
    total = np.full(runs, 10 * len(truth))
    for day in range(1, days + 1):
        k = rng.binomial(10, truth, (runs, len(truth))).sum(axis=1)
        log_m, evidence = step(log_m, k, total, np.full(runs, level), POOLED_RATIOS)
        first = np.where(evidence >= threshold, np.minimum(first, day), first)
    return first


class TestSplitBudget:
    """One number of the owner's, for classes and pool."""

    @given(st.floats(1e-3, 100), st.integers(2, 2500))
    def test_gives_away_what_there_is(self, budget, classes):
        """Four fifths and one fifth."""
        split = split_budget(budget, classes)

        assert split.classes + split.pooled == pytest.approx(budget)
        assert split.classes == pytest.approx(4 * split.pooled)

    def test_leaves_all_to_a_single_class(self):
        """It is its own pool."""
        assert split_budget(0.3, 1).classes == 0.3

    @pytest.mark.parametrize(("budget", "classes"), [(0.0, 3), (np.nan, 3), (0.3, 0)])
    def test_refuses_nothing_to_split(self, budget, classes):
        """A budget of 0 would silence the detector."""
        with pytest.raises(StatisticsError, match="no budget"):
            split_budget(budget, classes)


class TestPooledReference:
    """What all classes together are held to."""

    def test_follows_the_mix_of_the_day(self):
        """A day that draws the hard class alone is no drop of the model."""
        reference = pooled_reference([990, 800], [1000, 1000])

        easy, hard = reference.level([[10, 0], [0, 10]])

        assert easy == pytest.approx(0.97, abs=0.01)
        assert hard == pytest.approx(0.77, abs=0.02)

    @settings(deadline=None)
    @given(st.integers(1, 2500), st.integers(1, 10**6))
    def test_is_a_level_to_bet_against_for_any_number_of_classes(self, classes, images):
        """From one to 2,500 classes, and from no images to a million."""
        total = np.full(classes, images)
        reference = pooled_reference(total, total)

        for today in (np.zeros(classes), total):
            assert 0 < reference.level(today) < 1

    def test_finds_two_points_less_everywhere_that_no_class_shows(self):
        """100 classes at 10 labels: noticed within a week; no class alone would for months."""
        truth = np.full(100, 0.95)
        reference = pooled_reference(np.full(100, 190), np.full(100, 200))
        level = float(reference.level(np.full(100, 10)))

        assert np.median(first_alarms(truth - 0.03, level, 15, 200, seed=41)) <= 7

    def test_keeps_its_share_of_the_budget_at_its_level(self):
        """Unequal classes whose mean is the level itself: 0.06 alarms in 30 days at most."""
        truth = np.linspace(0.85, 0.99, 15)

        alarmed = np.isfinite(first_alarms(truth, truth.mean(), 30, 4000, seed=42))

        assert alarmed.mean() <= 0.06
