import math

import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.simulated_classes import Plan
from core.stats.simulation import Outcome, simulate


class TestSimulate:
    """The detector, put to the test by lot."""

    def test_gives_the_same_for_the_same_seed_and_another_for_another(self):
        """A figure in the docs can be had again."""
        once, again, other = (simulate(Plan(classes=9, runs=40, seed=s)) for s in (1, 1, 2))

        assert np.array_equal(once.outcomes[0].delays, again.outcomes[0].delays)
        assert not np.array_equal(once.outcomes[0].delays, other.outcomes[0].delays)

    @pytest.mark.parametrize(
        ("classes", "drop", "adaptive", "median", "late"),
        [
            (15, 0.4, False, 1, 2), (15, 0.6, False, 2, 3), (15, 0.8, False, 5, 10),
            (15, 0.8, True, 3, 6), (15, 0.9, True, 12, 25),
        ],
    )  # fmt: skip
    def test_meets_the_goals_at_fifteen_classes(self, classes, drop, adaptive, median, late):
        """Median and 90th percentile; docs/detection.md has the rest of the table."""
        found = simulate(
            Plan(classes=classes, drop=drop, adaptive=adaptive, days=90, runs=1000, seed=3)
        ).outcomes[0]

        assert found.delay(0.5) <= median
        assert found.delay(0.9) <= late
        assert found.false_alarms <= 0.1

    @pytest.mark.parametrize(("adaptive", "median", "late"), [(False, 8, 14), (True, 4, 7)])
    def test_meets_the_goals_at_a_thousand_classes(self, adaptive, median, late):
        """More labels in the right place halve the delay."""
        found = simulate(Plan(classes=1000, adaptive=adaptive, days=45, runs=200, seed=1)).outcomes[
            0
        ]

        assert found.delay(0.5) <= median
        assert found.delay(0.9) <= late

    def test_keeps_the_budget_for_images_that_are_alike(self):
        """Bursts: the day bet takes over by itself, and 0.2 false alarms are not passed."""
        report = simulate(Plan(classes=1000, correlation=0.1, days=60, runs=30, seed=5))

        assert report.day_bet
        assert report.correlation == pytest.approx(0.1, abs=0.03)
        assert report.outcomes[0].false_alarms <= 0.2

    def test_keeps_the_budget_for_unequal_classes_with_estimated_levels(self):
        """A plug-in level would give twenty false alarms here."""
        plan = Plan(classes=1000, heterogeneous=True, reference_images=200, runs=10, seed=6)

        report = simulate(plan)

        assert report.outcomes[0].false_alarms <= 0.3
        assert report.pooled_false_alarms == 0

    def test_measures_the_rules_that_others_use_on_the_same_answers(self):
        """The comparison in docs/detection.md: a constant floods, a mean of a week is late."""
        report = simulate(Plan(classes=15, runs=400, seed=7), rules=True)
        ours, constant, mean, wilson, exact = report.outcomes

        assert constant.false_alarms == pytest.approx(15 * 30 * 0.0115, rel=0.1)
        assert mean.delay(0.5) > ours.delay(0.5)
        assert wilson.false_alarms > exact.false_alarms > ours.false_alarms

    def test_takes_a_single_class(self):
        """K = 1 has no pool beside it, and false alarms are counted before the drop."""
        report = simulate(Plan(classes=1, runs=200, adaptive=True, seed=8))

        assert report.threshold == pytest.approx(100)
        assert report.outcomes[0].false_alarms < 0.3
        assert report.pooled_false_alarms == 0

    def test_tells_how_far_it_has_come(self):
        """Half a minute without a word looks like a hang."""
        heard = []

        simulate(Plan(classes=3, runs=5, days=31), on_progress=lambda *told: heard.append(told))

        assert heard == [(day, 31) for day in range(1, 32)]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"classes": 0}, {"days": 30}, {"drop": 1.0}, {"base": 0.0}, {"correlation": 1.0},
            {"unlikeness": 0.0}, {"runs": 0}, {"per_day": 0}, {"budget": 0.0},
        ],
    )  # fmt: skip
    def test_refuses_an_impossible_plan(self, wrong):
        """Nothing is simulated by half."""
        with pytest.raises(StatisticsError):
            simulate(Plan(**{"classes": 2} | wrong))


class TestOutcome:
    """Delays of runs, some of them without end."""

    def test_gives_percentiles_where_some_never_noticed(self):
        """Infinity is a delay like any other, and never averaged into NaN."""
        outcome = Outcome("e-SR", 0.0, 0.0, np.array([3.0, math.inf, 1.0, 2.0]))

        assert outcome.delay(0.5) == 2
        assert outcome.delay(0.9) == math.inf
        assert outcome.never == 1

    def test_says_how_sure_a_median_is(self):
        """Three hundred runs do not tell 8 days from 9."""
        outcome = Outcome("e-SR", 0.0, 0.0, np.repeat([7.0, 8.0, 9.0, 10.0], [70, 77, 77, 76]))

        assert outcome.delay(0.5) == 9
        assert outcome.delay_interval(0.5) == (8, 9)
