"""TrivialAugment does to each picture one thing, drawn evenly."""

import math

import pytest
import torch

from trainer.variation import colours
from trainer.variation.trivial import OPERATIONS, operated, trivial

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255


def _done(operation: str, strength: float, sign: float = 1.0) -> torch.Tensor:
    n = len(IMAGES)
    return operated(IMAGES, [operation] * n, torch.full((n,), strength), torch.full((n,), sign))


class TestOperations:
    """The 14 of the paper."""

    def test_are_those_of_the_wide_space(self):
        """Müller and Hutter, table 2."""
        assert len(OPERATIONS) == len(set(OPERATIONS)) == 14

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_stay_within_the_range_of_bytes_and_change_no_shape(self, operation: str):
        """At their strongest, either way."""
        for sign in (1.0, -1.0):
            varied = _done(operation, 1.0, sign)

            assert varied.shape == IMAGES.shape
            assert varied.min() >= 0
            assert varied.max() <= 255

    @pytest.mark.parametrize(
        "operation", [each for each in OPERATIONS if each not in {"autocontrast", "equalize"}]
    )
    def test_at_no_strength_change_next_to_nothing(self, operation: str):
        """Less than a rounding; solarize turns only what is as bright as can be."""
        assert (_done(operation, 0.0) - IMAGES).abs().max() < 1

    def test_turn_by_the_angle(self):
        """Two thirds of 135 degrees is a right angle: pixels land on pixels."""
        turned = _done("turn", 90 / 135)

        assert torch.allclose(turned, IMAGES.rot90(1, (2, 3)), atol=0.1)

    def test_do_to_each_image_its_own(self):
        """A batch is no unit."""
        names = ["identity", "solarize", "brightness", "shift x"]

        varied = operated(IMAGES, names, torch.full((4,), 0.5), torch.ones(4))

        assert torch.equal(varied[0], IMAGES[0])
        assert torch.equal(varied[1:2], colours.solarize(IMAGES[1:2], torch.tensor([127.5])))
        assert torch.equal(varied[2:3], colours.brightness(IMAGES[2:3], torch.tensor([1.495])))


class TestTrivial:
    """What is drawn."""

    def test_leaves_about_one_in_fourteen_alone(self):
        """Every operation is as likely as any other."""
        images = IMAGES.repeat(350, 1, 1, 1)

        varied = trivial(images, torch.Generator().manual_seed(0))

        same = (varied == images).flatten(1).all(1).float().mean()
        # At strength zero some others do nothing either, a 31st of the time.
        expected = 1 / 14 + 9 / 14 / 31
        assert float(same) == pytest.approx(expected, abs=4 * math.sqrt(expected / 1400))
