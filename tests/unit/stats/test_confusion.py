"""Evidence that a class is called by another's name more often than it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.confusion import ODDS, Together, confusion_e_values, confusion_levels


class TestConfusionLevels:
    """How often a class may be called another, carefully."""

    def test_comes_near_the_share_when_images_are_many(self):
        """With 100,000 images only the slack of two points remains."""
        (level,) = confusion_levels([5_000], 100_000, [0.5])

        assert level == pytest.approx(0.05 + 0.02, abs=2e-3)

    def test_is_what_is_usual_for_a_class_without_images(self):
        """A class that was never examined is taken to be mistaken as classes usually are."""
        rare, usual = confusion_levels([0, 0], 0, [0.001, 0.2])

        assert (rare < 0.05, usual > 0.2) == (True, True)

    def test_lies_above_the_true_share_nine_times_in_ten(self):
        """The bet is fair only while the truth lies below the level."""
        rng = np.random.default_rng(0)
        seen = rng.binomial(60, 0.08, 1_000)

        levels = np.array([confusion_levels([m], 60, [0.05])[0] for m in seen])

        assert np.mean(levels >= 0.08) >= 0.9

    def test_refuses_a_usual_share_that_is_none(self):
        """A share above one would be a count in disguise."""
        with pytest.raises(StatisticsError, match="must be probabilities"):
            confusion_levels([1], 10, [1.5])


class TestConfusionEValues:
    """The e-process against "called j with probability q at most"."""

    def test_one_image_is_the_mean_of_the_likelihood_ratios(self):
        """By hand: on one day there is one day on which it may have begun."""
        odds = np.array(ODDS) * 0.1 / 0.9
        expected = np.mean(odds / (1 + odds) / 0.1)

        assert confusion_e_values([[1]], [1], [0.1])[0] == pytest.approx(expected)

    def test_f28_is_an_e_value_at_the_level_itself(self):
        """F28: its expectation is at most 1, and it reaches 20 in at most one of 20 cases."""
        rng = np.random.default_rng(1)
        called = rng.binomial(10, 0.1, (20_000, 7))

        found = confusion_e_values(called, [10] * 7, [0.1] * 20_000)

        # Three standard errors of the capped mean, which is smaller than the whole one.
        assert np.minimum(found, 1_000).mean() <= 1 + 3 * np.minimum(found, 1_000).std() / 141
        assert np.mean(found >= 20) <= 0.05

    def test_grows_with_every_day_that_it_goes_on(self):
        """Half of ten images a day, where one in ten is allowed."""
        days = [confusion_e_values([[5] * n], [10] * n, [0.1])[0] for n in (1, 2, 3)]

        assert 20 < days[0] < days[1] < days[2]

    def test_a_healthy_past_does_not_hide_what_began_today(self):
        """One bet starts on every day, so the past costs a factor of its length at most."""
        alone = confusion_e_values([[8]], [10], [0.05])[0]

        after_a_month = confusion_e_values([[0] * 29 + [8]], [10] * 30, [0.05])[0]

        assert after_a_month >= alone / 30

    def test_says_nothing_without_images(self):
        """An e-value of 1 is no evidence."""
        assert confusion_e_values([[0, 0]], [0, 0], [0.1]).tolist() == [1.0]

    def test_saturates_instead_of_overflowing(self):
        """JSON knows no infinity."""
        assert np.isfinite(confusion_e_values([[100_000]], [100_000], [0.01])[0])

    def test_refuses_more_called_than_there_are(self):
        """Eleven of ten images are a bug upstream."""
        with pytest.raises(StatisticsError, match="exceeds"):
            confusion_e_values([[11]], [10], [0.1])


def in_groups(day: list[int], called: list[int], total: list[int]) -> Together:
    """Return groups of images, for one other class."""
    return Together(np.array(day), np.array([called]), np.array(total))


class TestTogether:
    """Images that are one bet a group."""

    def test_a_group_is_the_mean_of_its_images_bets(self):
        """By hand: five of ten called so, in one burst."""
        odds = np.array(ODDS) * 0.1 / 0.9
        raised = odds / (1 + odds)
        expected = np.mean(0.5 * raised / 0.1 + 0.5 * (1 - raised) / 0.9)

        found = confusion_e_values([[5]], [10], [0.1], in_groups([0], [5], [10]))

        assert found[0] == pytest.approx(expected)

    @given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=12))
    def test_groups_of_one_are_images(self, images: list[tuple[int, bool]]):
        """The two bets are one where nothing belongs together."""
        day, hit = [each for each, _ in images], [int(called) for _, called in images]
        called, total = np.bincount(day, hit, 3), np.bincount(day, minlength=3)

        alone = confusion_e_values([called], total, [0.1])
        found = confusion_e_values([called], total, [0.1], in_groups(day, hit, [1] * len(day)))

        assert found == pytest.approx(alone)

    def test_f28_is_an_e_value_where_images_are_alike(self):
        """F28: a week of bursts of ten, correlated 0.3, at the level itself: 20 in one of 20."""
        rng, week = np.random.default_rng(2), np.arange(7)
        share = rng.beta(0.1 * 7 / 3, 0.9 * 7 / 3, (4_000, 7))
        called, total, level = rng.binomial(10, share), np.full(7, 10), np.full(4_000, 0.1)

        by_group = confusion_e_values(called, total, level, Together(week, called, total))
        by_image = confusion_e_values(called, total, level)

        assert np.mean(by_group >= 20) <= 0.05 < np.mean(by_image >= 20)

    @pytest.mark.parametrize(
        ("day", "called", "total"),
        [([1], [1], [2]), ([0], [3], [2]), ([0], [1], [11]), ([0], [0], [0])],
    )
    def test_refuses_groups_that_do_not_fit(
        self, day: list[int], called: list[int], total: list[int]
    ):
        """Of another day, of more images than there were, or of none."""
        with pytest.raises(StatisticsError):
            confusion_e_values([[2]], [10], [0.1], in_groups(day, called, total))
