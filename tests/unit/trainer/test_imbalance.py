"""Rare classes come up as often as they are wanted to, and the loss makes up for the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from trainer.config import RunConfig
from trainer.images.imbalance import Sampling, logit_offset, sampling

COUNTS = np.array([1000, 100, 10])


class TestSampling:
    """How often the images of each class are drawn."""

    def test_balanced_gives_every_class_as_many_draws(self):
        """Today's way, and the default."""
        assert Sampling().shares(COUNTS) == pytest.approx([1 / 3] * 3)

    def test_natural_leaves_every_image_alike(self):
        """The order of the pool, as it came."""
        assert Sampling("natural").weights(COUNTS).tolist() == [1, 1, 1]
        assert Sampling("natural").shares(COUNTS) == pytest.approx(COUNTS / 1110)

    def test_effective_is_the_formula_of_the_paper(self):
        """Cui et al., equation 2: E_n = (1 - beta^n) / (1 - beta), weights in proportion to 1/E."""
        effective = (1 - 0.99**COUNTS) / (1 - 0.99)

        weights = Sampling("effective", 0.99).weights(COUNTS)

        assert weights / weights[0] == pytest.approx(effective[0] / effective)

    @pytest.mark.parametrize(("beta", "limit"), [(0.0, "natural"), (1 - 1e-12, "balanced")])
    def test_effective_runs_from_natural_to_balanced(self, beta: float, limit: str):
        """So one number says how far to go."""
        shares = Sampling("effective", beta).shares(COUNTS)

        assert shares == pytest.approx(Sampling(limit).shares(COUNTS), rel=1e-3)

    @given(
        counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=20),
        spec=st.sampled_from(["balanced", "natural", "effective", "effective:0.9"]),
    )
    def test_weighs_one_on_average_and_rare_images_never_less(self, counts: list[int], spec: str):
        """The mean keeps favoured images comparable; a rare class is never pushed further down."""
        numbers = np.sort(np.array(counts))

        weights = sampling(spec).weights(numbers)

        assert (weights * numbers).sum() == pytest.approx(numbers.sum())
        assert np.all(np.diff(weights) <= 1e-12)

    def test_is_read_from_its_words(self):
        """What stands on the command line and in run.yaml."""
        assert sampling("effective:0.9") == Sampling("effective", 0.9)
        assert sampling("natural").scheme == "natural"

    @pytest.mark.parametrize("spec", ["fair", "natural:2", "effective:1", "effective:x", ""])
    def test_refuses_other_words(self, spec: str):
        """Before anything is loaded."""
        with pytest.raises(UsageError, match="write balanced, natural, effective"):
            RunConfig(sampling=spec)


class TestLogitOffset:
    """What is added to the logits in the loss."""

    def test_is_the_log_of_the_shares_drawn(self):
        """Menon et al., equation 10, with tau 0.5."""
        offset = logit_offset(COUNTS, Sampling("natural"), 0.5)

        assert offset == pytest.approx(0.5 * np.log(COUNTS / 1110))

    def test_with_balanced_draws_it_would_do_nothing_and_is_refused(self):
        """An option without an effect would be believed to have one."""
        assert np.ptp(logit_offset(COUNTS, Sampling(), 1.0)) == pytest.approx(0)
        with pytest.raises(UsageError, match="write sampling natural"):
            RunConfig(logit_adjustment=1.0)
