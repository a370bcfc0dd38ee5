"""Training images are varied, and stay what they show."""

import pytest
import torch
from torch import Generator, Tensor

from trainer.augment import augment


@pytest.fixture
def images() -> Tensor:
    """Sixteen equal pictures with a bright left half."""
    picture = torch.full((3, 32, 32), 50.0)
    picture[:, :, :16] = 200.0
    return picture.repeat(16, 1, 1, 1)


def _seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


class TestAugment:
    """One call varies a whole batch."""

    def test_varies_each_image_by_itself(self, images: Tensor):
        """One shift for all would teach the network less."""
        varied = augment(images, _seeded(0))

        assert varied.shape == images.shape
        assert len({float(each.mean()) for each in varied}) == 16

    def test_is_decided_by_the_generator(self, images: Tensor):
        """A run can be repeated."""
        assert torch.equal(augment(images, _seeded(3)), augment(images, _seeded(3)))

    def test_mirrors_about_half_of_the_images(self, images: Tensor):
        """Left and right mean nothing for natural pictures."""
        varied = augment(images.repeat(20, 1, 1, 1), _seeded(0))

        mirrored = varied[..., :8].mean((1, 2, 3)) < varied[..., -8:].mean((1, 2, 3))

        assert 0.4 < mirrored.float().mean() < 0.6

    def test_can_leave_left_and_right_alone(self, images: Tensor):
        """Digits and signs are not what their mirror image is."""
        varied = augment(images, _seeded(0), mirror=False)

        assert (varied[..., :8].mean((1, 2, 3)) > varied[..., -8:].mean((1, 2, 3))).all()

    def test_stays_within_the_range_of_bytes(self, images: Tensor):
        """Serving never sees other values, so training must not."""
        varied = augment(images * 1.27, _seeded(0))

        assert varied.min() >= 0
        assert varied.max() <= 255
