"""What the gate asks for when it asks for more images."""

import pytest
from scipy.stats import binom, norm

from trainer.sample_size import images_to_show_well, pairs_to_show_repair


class TestImagesToShowWell:
    """Images of a class that let an equally good challenger pass."""

    def test_is_the_two_sided_formula_for_one_class(self):
        """For one class both errors are 5 %, so that the two quantiles are one."""
        expected = 0.04 * (2 * norm.ppf(0.95) / 0.05) ** 2

        assert images_to_show_well(0.04, 0.05) == pytest.approx(expected, abs=1)

    def test_agrees_with_the_table_of_the_gate(self):
        """5 % differing over 15 classes: 400 images give 95 %."""
        assert images_to_show_well(0.05, 0.05, classes=15) == pytest.approx(400, rel=0.06)

    def test_never_promises_what_no_agreement_can_give(self):
        """With 33 images or fewer the bound does not lie above -5 points, even undisturbed."""
        assert images_to_show_well(1e-9, 0.05) == 33


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
