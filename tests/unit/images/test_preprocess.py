"""The one resize, against Pillow doing it the long way."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from core.errors import UsageError
from core.images.preprocess import Interpolation, Recipe, preprocess
from tests.images import photo

RESNET = Recipe(224, 224, resize=256)


def _noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _resize_then_crop(image: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    short = recipe.resize or min(height, width)
    size = round(width * short / min(height, width)), round(height * short / min(height, width))
    scaled = Image.fromarray(image).resize(size, Image.Resampling[recipe.interpolation.upper()])
    left, top = (size[0] - recipe.width) // 2, (size[1] - recipe.height) // 2
    return np.asarray(scaled.crop((left, top, left + recipe.width, top + recipe.height)))


class TestPreprocess:
    """From a picture of any size to the model's input."""

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (100, 30), (1023, 769)])
    def test_is_resizing_then_cropping_to_within_a_level(
        self, size: tuple[int, int], interpolation: Interpolation
    ):
        """Published weights were trained the long way."""
        recipe = Recipe(224, 200, resize=256, interpolation=interpolation)

        short_way = preprocess(_noise(*size), recipe).astype(int)

        difference = np.abs(short_way - _resize_then_crop(_noise(*size), recipe))
        assert difference.max() <= 1
        assert difference.mean() < 0.02

    def test_squashes_the_whole_picture_without_a_crop(self):
        """Some models are trained on squashed pictures."""
        image = _noise(90, 40)
        expected = Image.fromarray(image).resize((32, 48), Image.Resampling.BILINEAR)

        np.testing.assert_array_equal(preprocess(image, Recipe(48, 32)), np.asarray(expected))

    def test_leaves_a_picture_of_the_right_size_alone(self):
        """Nothing to do must change nothing."""
        image = _noise(64, 64)

        np.testing.assert_array_equal(preprocess(image, Recipe(64, 64, resize=64)), image)

    @pytest.mark.parametrize("recipe", [RESNET, Recipe(64, 64), Recipe(64, 96, resize=96)])
    @pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000), (13, 169), (3, 2)])
    def test_i12_takes_any_shape(self, size: tuple[int, int], recipe: Recipe):
        """A picture that decodes can be judged."""
        prepared = preprocess(photo(*size), recipe)

        assert prepared.shape == (recipe.height, recipe.width, 3)
        assert prepared.dtype == np.uint8
        assert prepared.flags.c_contiguous
        assert prepared.flags.writeable

    @settings(deadline=None)  # a busy machine is no fault
    @given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 40), st.integers(0, 60))
    def test_keeps_a_flat_picture_flat(self, width: int, height: int, side: int, more: int):
        """Whatever the geometry, no pixel comes from outside the picture."""
        image = np.full((height, width, 3), (10, 120, 250), np.uint8)

        prepared = preprocess(image, Recipe(side, side, resize=side + more))

        assert (prepared == (10, 120, 250)).all()


class TestRecipe:
    """What a bundle's manifest says about its input."""

    def test_travels_through_json(self):
        """The manifest is JSON."""
        for recipe in (RESNET, Recipe(48, 32, interpolation="lanczos")):
            assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"height": 0}, "height must be 1 to 4096"),
            ({"width": 1e9}, "whole number"),
            ({"width": True}, "whole number"),
            ({"resize": 100_000}, "resize must be 1 to 4096"),
            ({"resize": 200}, "does not cover a crop"),
            ({"interpolation": "magic"}, "'magic' is unknown"),
            ({"colour": "blue"}, "exactly the fields"),
        ],
    )
    def test_refuses_what_no_recipe_can_hold(self, change: dict[str, object], complaint: str):
        """A manifest from elsewhere may say anything."""
        fields: dict[str, object] = {**RESNET.to_dict(), **change}

        with pytest.raises(UsageError, match=complaint):
            Recipe.from_dict(fields)
