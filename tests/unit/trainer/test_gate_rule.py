"""The gate's rule on counts: how often it errs, and what it remembers from look to look."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from trainer.exams.gate_rule import bounds, score_p, shown_well, shown_worse


class TestErrorRates:
    """What the statement of the gate promises, simulated: 15 classes, a margin of 5 points."""

    @pytest.mark.parametrize(
        ("n", "differing", "passes", "worse_passes"),
        [(200, 0.02, 0.97, 0.074), (200, 0.03, 0.83, 0.056), (200, 0.05, 0.35, 0.022)],
    )
    def test_are_those_of_the_table(self, n, differing, passes, worse_passes):
        """Equal challengers pass so often, one that is 5 points worse on a class so seldom."""
        rng = np.random.default_rng(0)
        share = differing / 2
        equal = rng.multinomial(n, [share, share, 1 - differing], size=(20_000, 15))
        worse = rng.multinomial(n, [share, share + 0.05, 0.95 - differing], size=20_000)
        well = shown_well(equal[..., 0], equal[..., 1], np.full(equal.shape[:2], n), 0.05)
        hidden = shown_well(worse[:, 0], worse[:, 1], np.full(20_000, n), 0.05)

        assert well.all(axis=1).mean() == pytest.approx(passes, abs=0.015)
        assert (well[:, 1:].all(axis=1) & hidden).mean() == pytest.approx(worse_passes, abs=0.007)

    def test_twice_the_images_pay_for_disagreement(self):
        """With 5 % differing, 400 images a class let equal challengers pass 95 times in 100."""
        rng = np.random.default_rng(0)
        equal = rng.multinomial(400, [0.025, 0.025, 0.95], size=(20_000, 15))
        well = shown_well(equal[..., 0], equal[..., 1], np.full(equal.shape[:2], 400), 0.05)

        assert well.all(axis=1).mean() == pytest.approx(0.95, abs=0.01)

    @pytest.mark.parametrize("images", [20, 50, 200])
    @pytest.mark.parametrize("classes", [15, 500])
    def test_equal_classes_are_seldom_called_worse(self, images, classes):
        """A refusal must mean something, with few images and with many classes too."""
        rng = np.random.default_rng(0)
        equal = rng.multinomial(images, [0.025, 0.025, 0.95], size=(1_000, classes))
        total = np.full(equal.shape[:2], images)
        worse = shown_worse(equal[..., 0], equal[..., 1], total, 0.05, classes)

        assert worse.any(axis=1).mean() < 0.03

    def test_a_class_that_lost_twenty_points_is_called_worse(self):
        """With 100 gate images, in nine of ten exams of fifteen classes."""
        rng = np.random.default_rng(0)
        fallen = rng.multinomial(100, [0.015, 0.215, 0.77], size=2_000)
        worse = shown_worse(fallen[:, 0], fallen[:, 1], np.full(2_000, 100), 0.05, 15)

        assert worse.mean() > 0.9


class TestBounds:
    """d -+ 1.645 se."""

    def test_without_disagreement_one_image_of_doubt_remains(self):
        """100 times the same answer is no proof of equality for ever."""
        low, high = bounds(0, 0, 100)

        assert (float(low), float(high)) == pytest.approx((-0.01645, 0.01645), abs=1e-5)


class TestScoreTest:
    """What later looks ask by."""

    def test_without_disagreement_it_is_the_binomial_limit(self):
        """With b = c = 0 the likeliest q is m, so that z = sqrt(n m / (1 - m))."""
        z = np.sqrt(100 * 0.05 / 0.95)

        assert float(score_p(0, 0, 100, 0.05)) == pytest.approx(norm.sf(z))

    def test_at_the_margin_itself_it_is_even(self):
        """A drop of exactly the margin is no evidence either way."""
        assert float(score_p(5, 15, 200, 0.05)) == pytest.approx(0.5)

    @pytest.mark.parametrize(("n", "differing"), [(50, 0.02), (100, 0.03), (400, 0.02)])
    def test_errs_in_no_more_than_its_alpha(self, n, differing):
        """Where Wald's bound lets a drop of the margin pass in up to 10 of 100, exactly summed."""
        lost, gained = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
        possible = lost + gained <= n
        lost, gained = lost[possible], gained[possible]
        down, up = differing / 2 + 0.05, differing / 2
        chance = binom.pmf(lost, n, down) * binom.pmf(gained, n - lost, up / (1 - down))
        total = np.full(lost.shape, n)

        assert chance[score_p(gained, lost, total, 0.05) <= 0.05].sum() < 0.055
        assert chance[shown_well(gained, lost, total, 0.05)].sum() > 0.06
