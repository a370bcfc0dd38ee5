"""What the gate asks for when it asks for more images."""

import numpy as np
import pytest
from scipy.stats import binom

from trainer.exams.gate_rule import score_p
from trainer.exams.sample_size import alpha_of, images_to_show_well, pairs_to_show_repair


class TestImagesToShowWell:
    """Images of a class that let an equally good challenger pass."""

    @pytest.mark.parametrize("classes", [1, 15])
    def test_are_enough_in_19_of_20_exams(self, classes):
        """Simulated: equally good challengers, all classes together, at a later look's alpha."""
        alpha = alpha_of(2)
        n = int(images_to_show_well(0.03, 0.05, classes, alpha))
        rng = np.random.default_rng(0)
        equal = rng.multinomial(n, [0.015, 0.015, 0.97], size=(5_000, classes))
        p = score_p(equal[..., 0], equal[..., 1], np.full(equal.shape[:2], n), 0.05)

        assert (p <= alpha).all(axis=1).mean() == pytest.approx(0.95, abs=0.02)

    def test_never_promises_what_no_agreement_can_give(self):
        """With 51 images or fewer a drop of 5 points is not ruled out, even undisturbed."""
        n = int(images_to_show_well(1e-9, 0.05))

        assert n == 52
        assert score_p([0, 0], [0, 0], [n - 1, n], 0.05).tolist() == pytest.approx(
            [0.0505, 0.049], abs=1e-3
        )


class TestAlpha:
    """What a look may err."""

    def test_of_all_looks_together_is_six_percent(self):
        """However often a challenger comes again."""
        assert alpha_of(1) == 0.05
        assert sum(alpha_of(look) for look in range(1, 60)) == pytest.approx(0.06)


class TestPairsToShowRepair:
    """Disagreeing images from which a repair would be seen."""

    @pytest.mark.parametrize("flagged", [1, 2, 20])
    def test_has_the_power_it_is_asked_for(self, flagged):
        """SciPy's binomial gives the chance of a significant result when 3 of 4 are gained."""
        pairs = pairs_to_show_repair(flagged)
        least = next(c for c in range(pairs + 1) if binom.sf(c - 1, pairs, 0.5) <= 0.05 / flagged)

        assert binom.sf(least - 1, pairs, 0.75) >= 0.8

    def test_grows_with_the_classes_that_share_the_error(self):
        """Holm asks more of each of many."""
        assert pairs_to_show_repair(1) < pairs_to_show_repair(5) < pairs_to_show_repair(100)
