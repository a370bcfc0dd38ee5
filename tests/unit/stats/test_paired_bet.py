"""Whether a version is worse than the one it replaced, looked at every day."""

import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.paired_bet import STAKES, paired_evidence
from core.stats.paired_simulation import simulate_promotions


class TestPairedEvidence:
    """`paired_evidence`."""

    def test_is_one_where_nothing_was_seen(self):
        """Nobody has won anything yet."""
        found = paired_evidence([], [], [], classes=2, alpha=0.01)

        assert (found.whole, found.classes.tolist(), found.is_worse) == (1, [1, 1], False)

    def test_is_the_mean_of_the_bets_written_out(self):
        """The formula, pair by pair: three for the old version, one for the new."""
        found = paired_evidence([-1, 1, 0], [3, 1, 50], [0, 0, 0], classes=1, alpha=0.01)

        expected = np.mean([(1 + s) ** 3 * (1 - s) for s in STAKES])
        assert found.whole == pytest.approx(expected)
        assert found.classes == pytest.approx([expected])

    def test_is_fair_while_neither_is_better(self):
        """The expected capital after a discordant pair is the capital before it."""
        after = [paired_evidence([d], [1], [0], classes=1, alpha=0.01).whole for d in (-1, 1)]

        assert np.mean(after) == pytest.approx(1)

    def test_a_group_of_one_opinion_is_one_bet(self):
        """Ten pictures of one burst are one reason to doubt, not ten."""
        burst = paired_evidence([-1], [1], [0], classes=1, alpha=0.01)
        single = paired_evidence([-1], [10], [0], classes=1, alpha=0.01)

        assert single.whole > 50 * burst.whole

    def test_shares_the_risk_between_the_whole_and_the_classes(self):
        """A version that is nowhere worse is rolled back once in a hundred times at most."""
        found = paired_evidence([], [], [], classes=15, alpha=0.01)

        assert (found.whole_threshold, found.class_threshold) == (200, 3000)

    def test_names_the_class_that_is_worse(self):
        """Thirty images only the old version names; the other class is as it was."""
        found = paired_evidence([-1, -1, 1], [30, 3, 3], [1, 0, 0], classes=2, alpha=0.01)

        assert found.worse_classes.tolist() == [1]
        assert found.is_worse

    def test_stays_finite_however_sure_it_is(self):
        """Evidence is shown and stored; infinity can be neither."""
        assert np.isfinite(paired_evidence([-1], [1e6], [0], classes=1, alpha=0.01).whole)

    @pytest.mark.parametrize(
        ("difference", "number", "alpha", "said"),
        [
            ([1.5], [0], 0.01, "outside -1 to 1"),
            ([np.nan], [0], 0.01, "outside -1 to 1"),
            ([0.5], [2], 0.01, "outside 0 to 1"),
            ([0.5], [0], 1.0, "alpha 1.0"),
        ],
    )
    def test_refuses_what_is_no_difference(self, difference, number, alpha, said):
        """A bug upstream must not move the champion."""
        with pytest.raises(StatisticsError, match=said):
            paired_evidence(difference, [1], number, classes=2, alpha=alpha)


class TestErrorRate:
    """What is promised, simulated: fifteen classes, ten images of each a day, fourteen days."""

    def _share(self, only_new: float, only_old: float, *, of_one: float | None = None):
        lost = np.full(15, only_old)
        if of_one is not None:
            lost[3] = of_one
        return simulate_promotions(
            np.random.default_rng(7),
            only_new=np.full(15, only_new),
            only_old=lost,
            images=10,
            days=14,
            alpha=0.01,
            promotions=2_000,
        )

    def test_an_equal_version_is_rolled_back_less_often_than_alpha(self):
        """Looked at on fourteen days, with 6 % of the answers differing."""
        assert self._share(0.03, 0.03).share <= 0.01

    def test_a_version_five_points_worse_is_rolled_back_within_days(self):
        """Everywhere: half of them by the fifth day."""
        found = self._share(0.02, 0.07)

        assert (found.share > 0.99, found.day_quantile(0.5) <= 5) == (True, True)

    def test_a_class_that_is_lost_is_enough(self):
        """Thirty points worse in one class of fifteen, the others as they were."""
        found = self._share(0.02, 0.02, of_one=0.32)

        assert (found.share > 0.9, found.day_quantile(0.5) <= 10) == (True, True)

    def test_a_better_version_is_never_rolled_back(self):
        """What the loop is for."""
        assert self._share(0.06, 0.02).share == 0
