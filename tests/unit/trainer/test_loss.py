"""The loss is cross-entropy, with three corrections that can be asked for."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.fitting.loss import Loss
from trainer.fitting.module import FitOptions
from trainer.images.imbalance import Sampling

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


class TestLoss:
    """What is minimised."""

    def test_is_cross_entropy_when_nothing_is_asked_for(self):
        """The default changes nothing."""
        expected = functional.cross_entropy(LOGITS, LABELS, reduction="none")

        assert torch.equal(Loss()(LOGITS, LABELS), expected)

    def test_adjusts_the_logits_by_the_formula_of_the_paper(self):
        """Menon et al.: log[1 + sum over y' != y of (p_y' / p_y)^tau e^(f_y' - f_y)]."""
        counts, tau = np.array([70, 20, 10]), 1.5
        loss = FitOptions(1, 1.0, sampling=Sampling("natural"), logit_adjustment=tau).loss(counts)
        prior = torch.tensor(counts / 100, dtype=torch.float32)
        ratios = (prior[None] / prior[LABELS][:, None]) ** tau
        gaps = LOGITS - LOGITS.gather(1, LABELS[:, None])
        terms = (ratios * gaps.exp()).scatter(1, LABELS[:, None], 0)

        assert torch.allclose(loss(LOGITS, LABELS), torch.log1p(terms.sum(1)), atol=1e-5)

    def test_takes_shares_of_classes_for_mixed_images(self):
        """A picture that is 70 % of one class costs 70 % of that class's loss."""
        loss, shares = Loss(label_smoothing=0.1), torch.tensor([[0.7, 0.3, 0.0]])
        apart = [loss(LOGITS[:1], torch.tensor([label])) for label in (0, 1)]

        assert loss(LOGITS[:1], shares) == pytest.approx(float(0.7 * apart[0] + 0.3 * apart[1]))
