"""The weak list from a month of answers, where images that belong together are one bet."""

import numpy as np
import pytest

from core.stats.day_bet import Answers
from monitor.forecast.outlook import below_floor

CLASSES, IMAGES, FLOOR = 100, 10, 0.8


def month(rng: np.random.Generator, correlation: float, *, grouped: bool) -> list[Answers]:
    """Return thirty days of classes at the floor itself, one session of ten a day."""
    strength, owner = 1 / correlation - 1, np.arange(CLASSES)
    total = np.full(CLASSES, IMAGES)
    days: list[Answers] = []
    for _ in range(30):
        share = rng.beta(FLOOR * strength, (1 - FLOOR) * strength, CLASSES)
        correct = rng.binomial(IMAGES, share)
        days.append(Answers(correct, total, (owner, correct, total) if grouped else None))
    return days


class TestBelowFloor:
    """`below_floor`."""

    @pytest.mark.parametrize("correlation", [0.1, 0.3])
    def test_lists_healthy_classes_rarely_where_images_are_alike(self, correlation: float):
        """A hundred classes at the floor: in 1 of 20 months at most, and image by image in more."""
        shares: list[float] = []
        for grouped in (True, False):
            rng = np.random.default_rng(17)
            months = [month(rng, correlation, grouped=grouped) for _ in range(60)]
            listed = [any(below_floor(days[:n], FLOOR).size for n in (15, 30)) for days in months]
            shares.append(float(np.mean(listed)))

        assert shares[0] <= 0.05 < shares[1]

    def test_still_lists_the_class_that_is_weak(self):
        """Half of its images wrong, in sessions: found within the month."""
        rng = np.random.default_rng(18)
        owner, total = np.arange(10), np.full(10, IMAGES)
        days: list[Answers] = []
        for _ in range(30):
            share = rng.beta(np.where(owner == 4, 4.5, 8.1), np.where(owner == 4, 4.5, 0.9))
            correct = rng.binomial(IMAGES, share)
            days.append(Answers(correct, total, (owner, correct, total)))

        assert below_floor(days, FLOOR).tolist() == [4]

    def test_is_empty_before_the_first_day(self):
        """No exam, no list."""
        assert below_floor([], FLOOR).tolist() == []
