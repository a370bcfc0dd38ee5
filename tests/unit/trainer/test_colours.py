"""Colours change as Pillow changes them; Pillow's pictures are the expected ones."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from trainer.variation import colours

_PIXELS = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
_PIXELS[:12] //= 3
PICTURE = Image.fromarray(_PIXELS)
DIM = PICTURE.point(lambda value: 40 + value // 2)


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


IMAGES = _pixels(PICTURE)


def _one(value: float) -> Tensor:
    return torch.tensor([value])


class TestExact:
    """Operations on whole bytes are Pillow's to the bit."""

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (colours.equalize(IMAGES), ImageOps.equalize(PICTURE)),
            (colours.autocontrast(_pixels(DIM)), ImageOps.autocontrast(DIM)),
            (colours.posterize(IMAGES, _one(3)), ImageOps.posterize(PICTURE, 3)),
            (colours.solarize(IMAGES, _one(100)), ImageOps.solarize(PICTURE, 100)),
        ],
        ids=["equalize", "autocontrast", "posterize", "solarize"],
    )
    def test_as_pillow_has_it(self, ours: Tensor, theirs: Image.Image):
        """TrivialAugment's paper means these."""
        assert torch.allclose(ours, _pixels(theirs), atol=1)


class TestBlended:
    """Operations between a picture and a poorer one of itself."""

    @pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.9])
    @pytest.mark.parametrize(
        ("operation", "enhancer"),
        [
            (colours.brightness, ImageEnhance.Brightness),
            (colours.contrast, ImageEnhance.Contrast),
            (colours.saturation, ImageEnhance.Color),
            (colours.sharpness, ImageEnhance.Sharpness),
        ],
    )
    def test_as_pillow_has_it(
        self, operation: Callable[[Tensor, Tensor], Tensor], enhancer: type, factor: float
    ):
        """Within Pillow's own rounding to whole numbers in between."""
        expected = _pixels(enhancer(PICTURE).enhance(factor))

        assert (operation(IMAGES, _one(factor)) - expected).abs().max() < 2


class TestFlat:
    """A picture of one colour."""

    @pytest.mark.parametrize("operation", [colours.equalize, colours.autocontrast])
    def test_stays_as_it_is(self, operation: Callable[[Tensor], Tensor]):
        """There is nothing to stretch, and nothing to divide by."""
        flat = torch.full((2, 3, 8, 8), 77.0)

        assert torch.equal(operation(flat), flat)


class TestBlur:
    """A Gaussian blur."""

    def test_takes_detail_away_and_leaves_the_mean(self):
        """Each picture by its own width."""
        blurred = colours.blur(IMAGES.repeat(8, 1, 1, 1), torch.Generator().manual_seed(0))

        assert len({round(float(each.std()), 3) for each in blurred}) == 8
        assert all(each.std() <= IMAGES.std() for each in blurred)
        assert torch.allclose(blurred.mean((2, 3)), IMAGES.mean((2, 3)), atol=4)

    def test_is_a_gaussian(self):
        """A single bright point becomes the kernel itself: symmetric, and one in sum."""
        point = torch.zeros(1, 3, 15, 15)
        point[:, :, 7, 7] = 1.0

        seen = colours.blur(point, torch.Generator().manual_seed(3))[0, 0]

        assert float(seen.sum()) == pytest.approx(1, abs=1e-4)
        assert torch.allclose(seen, seen.T)
        ratios = (seen[7, 8] / seen[7, 7]) ** 4, seen[7, 9] / seen[7, 7]
        assert float(ratios[0]) == pytest.approx(float(ratios[1]), rel=1e-2)
