"""Pictures are moved to where the matrices say."""

import pytest
import torch
from torch import Tensor

from trainer.variation.warp import crops, flips, homographies, shifts, slants, warp

IMAGES = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 255
GENERATOR = torch.Generator().manual_seed(0)


def _ends(moves: Tensor) -> Tensor:
    """Where the corners of the new picture are looked up, (n, 4, 2)."""
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    found = torch.einsum("nij,kj->nki", moves, corners)
    return found[..., :2] / found[..., 2:]


class TestWarp:
    """One look-up."""

    def test_by_the_identity_changes_nothing(self):
        """Pixel centres fall on pixel centres, on pictures that are not square too."""
        still = torch.eye(3).repeat(2, 1, 1)

        assert torch.allclose(warp(IMAGES, still, outside="border"), IMAGES, atol=1e-3)

    def test_flips_as_torch_does(self):
        """Left becomes right, pixel by pixel."""
        assert torch.allclose(warp(IMAGES, flips(2), outside="border"), IMAGES.flip(3), atol=1e-3)

    def test_shifts_by_whole_pixels(self):
        """A third of the width is four of twelve columns; black comes in."""
        move = torch.eye(3).repeat(2, 1, 1)
        move[:, 0, 2] = 2 / 3

        moved = warp(IMAGES, move, outside="zeros")

        assert torch.allclose(moved[..., :8], IMAGES[..., 4:], atol=1e-3)
        assert moved[..., 9:].abs().max() == 0


class TestMoves:
    """What is drawn."""

    def test_homographies_take_corners_where_they_are_told(self):
        """The equations are solved for exactly these four points."""
        corners = torch.tensor([[[-0.8, -1.0], [0.9, -0.7], [1.0, 0.95], [-1.0, 0.75]]])

        assert torch.allclose(_ends(homographies(corners)), corners, atol=1e-5)

    @pytest.mark.parametrize("moves", [crops(500, 0.3, GENERATOR), slants(500, GENERATOR)])
    def test_crops_and_slants_stay_within_the_picture(self, moves: Tensor):
        """Nothing has to be invented at the edges."""
        assert _ends(moves).abs().max() <= 1 + 1e-5

    def test_crops_keep_between_the_smallest_share_and_all(self):
        """The area is what `crop_area` bounds."""
        moves = crops(2000, 0.3, GENERATOR)

        areas = moves[:, 0, 0] * moves[:, 1, 1]
        assert 0.25 < areas.min() < 0.33
        assert 0.9 < areas.max() <= 1

    def test_shifts_are_small(self):
        """What leaves any natural picture what it is."""
        moves = shifts(1000, GENERATOR)

        assert (moves[:, :2, 2].abs() <= 0.16).all()
        assert ((moves[:, 0, 0] - 1).abs() <= 0.1 + 1e-6).all()
