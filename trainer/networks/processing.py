"""How a backbone wants its images: what its preprocessor_config.json says, as our recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.images.preprocess import Interpolation, Recipe

_USUAL = (224, 224)
_INTERPOLATIONS: dict[int, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}


def preprocessing(backbone: str, revision: str | None = None) -> dict[str, Any]:
    """Return the backbone's preprocessor_config.json; empty where there is none."""
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(backbone, "preprocessor_config.json", revision=revision)
    except OSError:
        return {}
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}


def recipe_of(
    processing: Mapping[str, Any],
    native: tuple[int, int] | None,
    *,
    image_size: int | None,
    resize: int | None,
) -> Recipe:
    """Return how images are resized and cropped.

    Args:
        processing: What the backbone says; empty where it says nothing.
        native: Height and width that the backbone is made for, where it says so.
        image_size: Side of the square that is wanted instead.
        resize: Short side before the crop that is wanted instead.
    """
    if image_size is not None:
        return Recipe(image_size, image_size, resize=resize or image_size, interpolation="bilinear")
    if not processing and native is not None and native != _USUAL:
        return Recipe(*native, resize=resize or max(native), interpolation="bilinear")
    interpolation: Interpolation = _INTERPOLATIONS.get(processing.get("resample", 2), "bilinear")
    size = processing.get("size", {"shortest_edge": 256})
    short = size.get("shortest_edge") if isinstance(size, dict) else size
    if short is None:
        # Models of this kind see the whole picture, squashed to their own size.
        return Recipe(size["height"], size["width"], resize=resize, interpolation=interpolation)
    crop = processing.get("crop_size") if processing.get("do_center_crop", True) else None
    if isinstance(crop, dict):
        height, width = crop["height"], crop["width"]
    elif crop is not None or not processing:
        height = width = crop or _USUAL[0]
    else:
        # ConvNeXt's way of saying it: `size` is what comes out, `crop_pct` what was cut off.
        height = width = short
        short = round(short / processing.get("crop_pct", 1))
    return Recipe(height, width, resize=resize or short, interpolation=interpolation)
