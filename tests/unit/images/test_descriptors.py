"""Six numbers about a picture, each checked where its value is known."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from core.images.descriptors import DESCRIPTORS, describe
from tests.images import photo


def _flat(red: int, green: int, blue: int) -> dict[str, float]:
    return describe(np.full((8, 16, 3), (red, green, blue), np.uint8))


class TestDescribe:
    """What is logged with every prediction."""

    @pytest.mark.parametrize("size", [(1, 1), (2, 2), (10_000, 1), (1, 3), (13, 169), (1100, 900)])
    @pytest.mark.parametrize("level", [0, 255, None])
    def test_is_finite_for_every_picture(self, size: tuple[int, int], level: int | None):
        """A NaN in the log would poison every average made of it."""
        image = photo(*size)
        if level is not None:
            image[:] = level

        described = describe(image)

        assert tuple(described) == DESCRIPTORS
        assert all(type(value) is float and math.isfinite(value) for value in described.values())

    def test_knows_black_from_white(self):
        """Brightness runs from 0 to 1."""
        assert _flat(0, 0, 0)["brightness"] == 0
        assert _flat(255, 255, 255)["brightness"] == pytest.approx(1)
        assert _flat(0, 255, 0)["brightness"] == pytest.approx(0.587)

    def test_measures_contrast_as_a_standard_deviation(self):
        """Half black and half white is as much as there can be."""
        image = np.zeros((10, 10, 3), np.uint8)
        image[:5] = 255

        assert describe(image)["contrast"] == pytest.approx(0.5)
        assert _flat(90, 90, 90)["contrast"] == pytest.approx(0, abs=1e-6)

    def test_knows_grey_from_pure_colour(self):
        """Saturation runs from 0 to 1, and black has none."""
        assert _flat(0, 0, 0)["saturation"] == 0
        assert _flat(77, 77, 77)["saturation"] == 0
        assert _flat(200, 0, 0)["saturation"] == 1
        assert _flat(200, 100, 100)["saturation"] == 0.5

    def test_agrees_with_scipy_on_sharpness(self):
        """The Laplacian is the ordinary four-neighbour one."""
        noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        luma = noise @ np.array([0.299, 0.587, 0.114]) / 255

        expected = ndimage.laplace(luma)[1:-1, 1:-1].std()

        assert describe(noise)["sharpness"] == pytest.approx(expected, rel=1e-5)

    def test_falls_with_blur(self):
        """A lens out of focus is what sharpness is logged for."""
        noise = np.random.default_rng(1).integers(0, 256, (120, 90, 3), dtype=np.uint8)
        blurred = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)))

        assert describe(blurred)["sharpness"] < describe(noise)["sharpness"] / 5

    def test_gives_the_size_of_the_picture_itself(self):
        """Not of the reduction that the rest is taken from."""
        described = describe(photo(3000, 2000))

        assert described["aspect"] == 1.5
        assert described["megapixels"] == 6.0

    def test_hardly_depends_on_the_size_of_the_same_picture(self):
        """A larger camera is no drift in brightness, contrast or saturation."""
        small, large = describe(photo(400, 300)), describe(photo(2400, 1800))

        for name in ("brightness", "contrast", "saturation"):
            assert large[name] == pytest.approx(small[name], abs=0.01)

    def test_is_cheap(self):
        """It is paid with every prediction; measured 0.9 ms, asserted with room for load."""
        image = photo(256, 256)

        def seconds() -> float:
            started = time.perf_counter()
            describe(image)
            return time.perf_counter() - started

        assert min(seconds() for _ in range(20)) < 0.005
