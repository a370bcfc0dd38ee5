"""`make bench`: what one resize with a box saves against resizing the whole and then cropping."""

import statistics
import time

import numpy as np
from PIL import Image

from core.images.preprocess import Recipe, preprocess
from tests.images import photo

RECIPE = Recipe(224, 224, resize=256)
ROUNDS = 60


def test_one_resize_is_cheaper_than_resize_and_crop(capsys):
    """The two take turns in one run, so that whatever else the machine does meets both."""
    image = photo(640, 480, seed=1)
    one, two = [], []
    for _ in range(ROUNDS):
        one.append(_seconds(lambda: preprocess(image, RECIPE)))
        two.append(_seconds(lambda: _resize_then_crop(image)))

    ratio = statistics.median(one) / statistics.median(two)
    with capsys.disabled():
        print(f"\npreprocess: {ratio:.2f} of the time of resize and crop")  # noqa: T201

    assert ratio < 1


def _resize_then_crop(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = 256 / min(height, width)
    resized = Image.fromarray(image).resize(
        (round(width * scale), round(height * scale)), Image.Resampling.BILINEAR
    )
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
    return np.asarray(resized.crop((left, top, left + 224, top + 224)))


def _seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
