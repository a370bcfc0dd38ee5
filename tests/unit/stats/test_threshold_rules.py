import numpy as np
import pytest

from core.stats.proportions import exact_lower_tail
from core.stats.threshold_rules import RULES, ThresholdRules
from core.stats.twosample import benjamini_hochberg


def days_of(counts):
    """Return each rule's alarms for one model of three classes of ten images, day by day."""
    rules, total = ThresholdRules(np.full((1, 3), 0.95)), np.full((1, 3), 10)
    days = [rules.update(np.array([day]), total) for day in counts]
    return {name: [day[i][0].tolist() for day in days] for i, name in enumerate(RULES)}


class TestThresholdRules:
    """What others page for."""

    def test_raise_an_alarm_once_for_a_stretch_of_bad_days(self):
        """They would look even worse if every bad day counted."""
        alarms = days_of([[7, 8, 10], [7, 8, 10], [8, 7, 10]])["day < 0.80"]

        assert alarms == [[True, False, False], [False, False, False], [False, True, False]]

    def test_wait_for_a_whole_week(self):
        """The mean of a first day is no mean of a week."""
        alarms = days_of([[5, 10, 10]] * 8)

        for name in RULES[1:]:
            assert [day[0] for day in alarms[name]] == [False] * 6 + [True, False]
            assert not any(day[1] or day[2] for day in alarms[name])

    @pytest.mark.parametrize("seed", range(5))
    def test_reject_what_benjamini_and_hochberg_reject(self, seed):
        """The exact rule, held against the adjusted p-values."""
        rng, total = np.random.default_rng(seed), np.full((1, 40), 70)
        reference = np.full((1, 40), 0.95)
        correct = rng.binomial(70, np.where(np.arange(40) < 8, 0.86, 0.95))[None]
        rules = ThresholdRules(reference)
        for _ in range(6):
            rules.update(np.full((1, 40), 0), np.full((1, 40), 0))

        found = rules.update(correct, total)[3][0]

        adjusted = benjamini_hochberg(exact_lower_tail(correct, total, reference)[0])
        assert found.tolist() == (adjusted <= 0.05).tolist()
