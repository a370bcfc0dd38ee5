"""Between the champion and its fine-tuned self, a point that repairs and harms none."""

import math

import numpy as np
import pytest
import torch

from core.errors import TrainingError
from trainer.fitting.interpolate import Point, between, choose, measure


def _point(
    alpha: float, gain: float, worst: float = 0.0, overall: float = 0.0, error: float = 0.0
) -> Point:
    return Point(alpha, gain, error, worst, overall)


class TestBetween:
    """The weights at a point."""

    def test_learnt_parameters_are_interpolated_and_statistics_are_not(self):
        """A mean of two batch norms' statistics belongs to neither network."""
        champion = {"weight": torch.tensor([0.0]), "running_mean": torch.tensor([0.0])}
        tuned = {"weight": torch.tensor([4.0]), "running_mean": torch.tensor([8.0])}

        state = between(champion, tuned, 0.25, learnt=["weight"])

        assert state["weight"].item() == 1
        assert state["running_mean"].item() == 8

    def test_leaves_both_ends_as_they_were(self):
        """The next point of the path starts from them again."""
        champion, tuned = {"weight": torch.zeros(1)}, {"weight": torch.ones(1)}

        between(champion, tuned, 0.5, learnt=["weight"])

        assert (champion["weight"].item(), tuned["weight"].item()) == (0, 1)


class TestMeasure:
    """A point against the champion."""

    def test_counts_gains_of_the_flagged_and_losses_of_the_others(self):
        """Shares of each class's own images."""
        labels = np.array([0, 0, 1, 1, 1, 1])
        champion = np.array([1, 1, 1, 1, 1, 1])
        challenger = np.array([0, 1, 1, 1, 1, 0])

        point = measure(0.5, champion=champion, challenger=challenger, labels=labels, flagged=[0])

        # One image of two is gained: a variance of 1/4, of which the mean has half.
        error = math.sqrt(0.125)
        assert point == Point(0.5, gain=0.5, gain_error=error, worst=-0.25, overall=0.0)

    def test_the_error_of_two_classes_is_that_of_their_mean(self):
        """Each class counts alike, however many images it has."""
        labels = np.array([0, 0, 1, 1, 1, 1])
        champion = np.array([1, 1, 0, 0, 0, 0])
        challenger = np.array([0, 1, 1, 0, 0, 0])

        point = measure(
            0.5, champion=champion, challenger=challenger, labels=labels, flagged=[0, 1]
        )

        assert point.gain == pytest.approx((1 / 2 + 1 / 4) / 2)
        assert point.gain_error == pytest.approx(((1 / 4) / 2 + (3 / 16) / 4) ** 0.5 / 2)

    def test_without_flagged_classes_counts_the_whole(self):
        """A retraining by hand may aim at no class."""
        labels = np.array([0, 1])

        point = measure(
            1.0, champion=np.array([1, 1]), challenger=labels, labels=labels, flagged=[]
        )

        assert point.gain == point.overall == 0.5


class TestChoose:
    """The point that goes to the gate."""

    def test_is_the_largest_gain_that_harms_nobody(self):
        """The full fine-tune costs a class nine points here."""
        path = [_point(0.5, 0.6, -0.01), _point(0.75, 0.9, -0.03), _point(1, 1.0, -0.09)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 0.75

    def test_is_the_middle_among_equals(self):
        """Less repairs less of what validation images do not show; more risks more."""
        path = [_point(0.25, 0.9), _point(0.5, 0.9), _point(0.75, 0.9), _point(1, 0.9)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 0.5

    def test_is_the_middle_where_more_is_not_shown_to_gain_more(self):
        """One image of fifty is within the standard error of four of fifty."""
        path = [_point(0.25, 0.02), _point(0.5, 0.06), _point(0.75, 0.08, error=0.038)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 0.5

    def test_is_beyond_the_middle_where_that_is_shown_to_gain_more(self):
        """A fault that takes the whole way to repair."""
        path = [_point(0.5, 0.4), _point(0.75, 0.8), _point(1, 0.9, error=0.05)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 1

    def test_is_the_nearer_to_the_champion_of_two_that_lie_as_far_from_the_middle(self):
        """Every change that gains nothing is a risk."""
        path = [_point(0.25, 0.9), _point(0.5, 0.9, worst=-0.1), _point(0.75, 0.9)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 0.25

    def test_is_the_least_harmful_where_all_harm(self):
        """The gate decides, and says why."""
        path = [_point(0.5, 0.2, -0.07), _point(1, 1.0, -0.2)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 0.5

    def test_minds_the_whole_too(self):
        """A little from every class is much in all."""
        path = [_point(0.5, 0.5, -0.01), _point(1, 0.9, -0.04, overall=-0.03)]

        assert choose(path, margin=0.05, overall_margin=0.01).alpha == 0.5

    def test_needs_a_path(self):
        """Nothing to choose from is a mistake of the caller."""
        with pytest.raises(TrainingError):
            choose([], margin=0.05, overall_margin=0.01)
