"""Two pictures in one, and labels that say how much of each."""

import pytest
import torch
from torch import Tensor

from trainer.variation.augment import AugmentOptions, mix
from trainer.variation.mixing import cutmix, mixup

CLASSES = 4
# Each image has the colour of its own class, so that what is seen can be told from the pixels.
LABELS = torch.arange(CLASSES).repeat(4)
IMAGES = LABELS.float().view(-1, 1, 1, 1).expand(-1, 3, 12, 10).contiguous()
SHARES = torch.nn.functional.one_hot(LABELS, CLASSES).float()


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestMixUp:
    """One picture laid over another."""

    def test_mixes_pixels_and_labels_alike(self):
        """A pixel's expected colour under its label is the colour it has."""
        images, shares = mixup(IMAGES, SHARES, _seeded(1))

        seen = shares @ torch.arange(CLASSES).float()
        assert torch.allclose(images[:, 0, 0, 0], seen, atol=1e-5)
        assert torch.allclose(shares.sum(1), torch.ones(len(shares)))


class TestCutMix:
    """A box of one picture in another."""

    @pytest.mark.parametrize("seed", range(8))
    def test_gives_each_class_its_share_of_the_pixels(self, seed: int):
        """Counted, not taken from the share that was drawn: edges cut boxes off."""
        images, shares = cutmix(IMAGES, SHARES, _seeded(seed))

        for image, share in zip(images, shares, strict=True):
            seen = torch.bincount(image[0].long().flatten(), minlength=CLASSES) / 120
            assert torch.allclose(seen, share, atol=1e-5)


class TestMix:
    """How often a batch is mixed."""

    def _mixed(self, options: AugmentOptions) -> Tensor:
        generator = _seeded(0)
        targets = [mix(IMAGES, LABELS, CLASSES, generator, options)[1] for _ in range(200)]
        return torch.tensor([float(each.ndim == 2) for each in targets])

    def test_follows_both_probabilities(self):
        """A fifth and two fifths are three fifths."""
        mixed = self._mixed(AugmentOptions(mixup=0.2, cutmix=0.4))

        assert 0.5 < mixed.mean() < 0.7

    def test_never_happens_unasked(self):
        """Labels stay class numbers."""
        assert self._mixed(AugmentOptions()).sum() == 0
