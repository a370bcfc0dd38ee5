"""Precision, recall and calibration by week."""

from datetime import date

import pytest

from core.shown.weeks import FEWEST_CALLED, weeks
from core.store.class_history import Called
from tests.board import LAST, class_day

FIRST = date(2026, 3, 1)


def called(n: int, right: int, confidence: float = 0.9, day: int = 14) -> list[Called]:
    """Return n images that were called so on a day of March."""
    return [Called(date(2026, 3, day), confidence, i < right) for i in range(n)]


class TestWeeks:
    """Seven days each, counted back from the last."""

    def test_recall_is_of_the_class_and_precision_of_its_name(self):
        """Nine of ten dogs are called so, and half of what is called so are dogs."""
        week = weeks([class_day("Dog", 14, 9, 10)], called(18, 9), FIRST, LAST)[-1]

        assert (week.recall, week.precision, week.confidence) == (0.9, 0.5, pytest.approx(0.9))

    def test_the_first_may_be_a_part_of_one(self):
        """A range of ten days is one week and three days."""
        found = weeks([], [], date(2026, 3, 5), LAST)

        assert [(each.first.day, each.last.day) for each in found] == [(5, 7), (8, 14)]

    def test_an_honest_week_lies_below_chance(self):
        """Nine of ten right at 90 %: no error at all."""
        week = weeks([], called(20, 18), FIRST, LAST)[-1]

        assert week.error == pytest.approx(0.0)
        assert week.by_chance > 0

    def test_says_nothing_of_few_answers(self):
        """The error of nine answers is chance."""
        week = weeks([], called(FEWEST_CALLED - 1, 1), FIRST, LAST)[-1]

        assert (week.error, week.by_chance) == (None, None)
        assert week.recall is None

    def test_each_day_lies_in_one_week(self):
        """None is counted twice, none is lost."""
        days = [class_day("Dog", day) for day in range(1, 15)]

        assert sum(week.n for week in weeks(days, [], FIRST, LAST)) == sum(d.n for d in days)
