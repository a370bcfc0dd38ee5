"""What an owner may wish for, and which way of foretelling is asked."""

import math

import numpy as np
import pytest

from core.errors import UsageError
from core.stats.evidence import alarm_threshold
from core.stats.how_soon import DROPS, days_to_notice
from core.stats.how_soon_adaptive import days_to_notice_adaptive
from monitor.forecast.foresight import Given, Wish, days_until_noticed, labels_wished, told

THRESHOLD = alarm_threshold(10, 0.24)


def given(rate: list[float], *, adaptive: bool = True) -> Given:
    """Return equal classes with so many labels a day each."""
    n = len(rate)
    return Given(np.full(n, 0.92), np.full(n, 0.95), np.array(rate), THRESHOLD, adaptive)


class TestWish:
    """`weakspot health --wish`."""

    @pytest.mark.parametrize(
        ("text", "points", "days"),
        [
            ("15 points in 3 days", 15, 3), ("7.5 points within 1 day", 7.5, 1),
            (" 20 % in 10 days ", 20, 10), ("5 Percent In 30 Days", 5, 30),
        ],
    )  # fmt: skip
    def test_is_read_as_it_is_said(self, text: str, points: float, days: int):
        """Nobody looks up a grammar for one sentence."""
        assert Wish.parse(text) == Wish(points, days)

    @pytest.mark.parametrize("text", ["", "soon", "15 points", "3 days", "fifteen in 3 days"])
    def test_says_how_it_is_written(self, text: str):
        """The message is the documentation."""
        with pytest.raises(UsageError, match="15 points in 3 days"):
            Wish.parse(text)

    @pytest.mark.parametrize(
        "text", ["0 points in 3 days", "101 points in 3 days", "5 points in 0 days",
                 "5 points in 366 days"]
    )  # fmt: skip
    def test_has_limits(self, text: str):
        """A drop of nothing, and a day of never."""
        with pytest.raises(UsageError, match="cannot be wished for"):
            Wish.parse(text)


class TestDaysUntilNoticed:
    """Which way of foretelling holds for which class."""

    def test_is_the_shared_one_where_labels_follow_the_evidence(self):
        """Ten classes at ten a day share a hundred."""
        asked = given([10.0] * 10)

        found = days_until_noticed(asked)

        expected = days_to_notice_adaptive(asked.reference, asked.accuracy, DROPS, 100, THRESHOLD)
        assert np.array_equal(found, expected)

    def test_is_the_plain_one_for_the_plain_draw_and_for_one_class(self):
        """Nothing can follow anything there."""
        plain, alone = given([10.0] * 10, adaptive=False), given([10.0])

        for asked in (plain, alone):
            steady = days_to_notice(
                asked.reference, asked.accuracy, DROPS[1], asked.labels_a_day, THRESHOLD
            )
            assert np.array_equal(days_until_noticed(asked)[1], steady)

    def test_goes_by_its_own_labels_for_a_class_that_is_short_of_images(self):
        """One image a week cannot rise in rank, and none at all is never."""
        found = days_until_noticed(given([10.0] * 8 + [1.0, 0.0]))

        assert found[1, 0] < found[1, 8] < math.inf
        assert np.isinf(found[:, 9]).all()

    def test_is_never_before_the_first_label(self):
        """The first morning."""
        assert np.isinf(days_until_noticed(given([0.0] * 3))).all()


class TestWished:
    """What a wish costs."""

    def test_costs_more_in_less_time(self):
        """Sooner is dearer, and so is smaller."""
        asked = given([10.0] * 10)

        costs = [labels_wished(asked, wish)[0] for wish in (Wish(15, 2), Wish(15, 6), Wish(35, 6))]

        assert costs == sorted(costs, reverse=True)

    def test_is_summed_up_over_the_classes(self):
        """Half of the classes, all that can, and those that cannot."""
        cost = told(Wish(), np.array([8.0, 12.0, 30.0, math.inf]))

        assert cost == {
            "points": 15.0, "days": 3, "labels_a_day": 12.0, "labels_a_day_at_most": 30.0,
            "out_of_reach": 1,
        }  # fmt: skip

    def test_is_none_where_no_class_can(self):
        """JSON has no infinity."""
        assert told(Wish(), np.array([math.inf]))["labels_a_day"] is None
