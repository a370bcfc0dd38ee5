"""The charts of a class by weeks."""

from datetime import date

import pytest

from core.shown.weeks import weeks
from core.store.class_history import Called
from dashboard.pages.health import week_figures
from tests.board import LAST, class_day, one_class_of, reading


class TestFigures:
    """The two charts."""

    def test_draw_a_point_a_week_and_leave_gaps(self):
        """What is not known is not drawn as nought."""
        called = [Called(LAST, 0.9, i < 10) for i in range(20)]
        found = weeks([class_day("Dog", 14)], called, date(2026, 3, 1), LAST)
        facts = one_class_of(reading("Dog"), weeks=found)

        recall = week_figures.shares(facts)["data"][0]
        error = week_figures.calibration(facts)["data"][1]

        assert recall["y"] == [None, 0.9]
        assert error["y"] == [None, pytest.approx(0.4)]
