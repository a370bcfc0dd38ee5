"""The one resize: training, serving and validation all hand the model these pixels.

What comes after the resize (scaling, normalisation) is inside the model's graph. The
recipe is part of a bundle's manifest, so that every version is fed as it was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import UsageError
from core.images.picture import Picture, as_pillow

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

MAX_RECIPE_SIDE = 4096

_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a picture of any size becomes the model's input.

    Attributes:
        height: Rows of the model's input.
        width: Columns of the model's input.
        resize: Length in pixels that the picture's short side is brought to before the
            centre is cut out; None squashes the whole picture into (height, width).
        interpolation: The filter, antialiased where the picture shrinks.

    Raises:
        UsageError: A length is no whole number from 1 to 4096, the short side would not
            cover the crop, or the filter is unknown.

    Example:
        >>> Recipe(224, 224, resize=256).to_dict()
        {'height': 224, 'width': 224, 'resize': 256, 'interpolation': 'bilinear'}
    """

    height: int
    width: int
    resize: int | None = None
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        for name, length in (("height", self.height), ("width", self.width)):
            _check_length(name, length)
        if self.resize is not None:
            _check_length("resize", self.resize)
            if self.resize < max(self.height, self.width):
                raise UsageError(
                    f"resize {self.resize} does not cover a crop of {self.height} x {self.width}; "
                    "make it at least the longer of the two"
                )
        if self.interpolation not in get_args(Interpolation):
            raise UsageError(
                f"interpolation {self.interpolation!r} is unknown; "
                f"choose one of {', '.join(get_args(Interpolation))}"
            )

    def to_dict(self) -> dict[str, int | str | None]:
        """Return the recipe as it stands in a bundle's manifest."""
        return {
            "height": self.height,
            "width": self.width,
            "resize": self.resize,
            "interpolation": self.interpolation,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Recipe:
        """Return the recipe that `to_dict` wrote.

        Raises:
            UsageError: A field is missing, unknown, or holds what no recipe can.
        """
        expected = {"height", "width", "resize", "interpolation"}
        if set(fields) != expected:
            raise UsageError(
                f"a recipe has exactly the fields {', '.join(sorted(expected))}; "
                f"these are {', '.join(sorted(map(str, fields)))}"
            )
        return cls(
            height=cast("int", fields["height"]),
            width=cast("int", fields["width"]),
            resize=cast("int | None", fields["resize"]),
            interpolation=cast("Interpolation", fields["interpolation"]),
        )


def preprocess(image: Picture, recipe: Recipe) -> NDArray[np.uint8]:
    """Return the model's input for one picture, uint8 of shape (height, width, 3).

    With `resize`, the result is that of scaling the short side and cutting out the centre,
    to within rounding, but only the pixels that stay are computed.

    Args:
        image: Upright RGB of any size from 1 x 1, an array of shape (H, W, 3) or Pillow's.
        recipe: What the model expects.
    """
    picture = as_pillow(image)
    box = None if recipe.resize is None else _crop_box(picture.height, picture.width, recipe)
    size, resample = (recipe.width, recipe.height), _FILTERS[recipe.interpolation]
    return np.array(picture.resize(size, resample, box=box))


def _crop_box(height: int, width: int, recipe: Recipe) -> tuple[float, float, float, float]:
    """Return the part of the picture that the centre crop of the scaled one shows."""
    short_side = recipe.resize or min(height, width)
    scaled_height = round(height * short_side / min(height, width))
    scaled_width = round(width * short_side / min(height, width))
    top = (scaled_height - recipe.height) // 2
    left = (scaled_width - recipe.width) // 2
    return (
        left * width / scaled_width,
        top * height / scaled_height,
        min(float(width), (left + recipe.width) * width / scaled_width),
        min(float(height), (top + recipe.height) * height / scaled_height),
    )


def _check_length(name: str, length: object) -> None:
    if not isinstance(length, int) or isinstance(length, bool):
        raise UsageError(f"{name} must be a whole number of pixels, not {length!r}")
    if not 1 <= length <= MAX_RECIPE_SIDE:
        raise UsageError(f"{name} must be 1 to {MAX_RECIPE_SIDE} pixels, not {length}")
