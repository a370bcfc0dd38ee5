"""A person can see what the network sees."""

import io

import torch
from PIL import Image

from trainer.variation.pictures import before_and_after


class TestBeforeAndAfter:
    """Rows in pairs: as decoded, and as learnt from."""

    def _pixel(self, sheet: bytes, x: int, y: int) -> object:
        return Image.open(io.BytesIO(sheet)).convert("RGB").getpixel((x, y))

    def test_shows_each_image_above_what_became_of_it(self):
        """The third picture, in the first pair of rows."""
        before = torch.arange(20.0).view(-1, 1, 1, 1).expand(-1, 3, 10, 10)

        sheet = before_and_after(before, before + 100)

        third = 4 + 2 * 14 + 5
        assert self._pixel(sheet, third, 4 + 5) == (2, 2, 2)
        assert self._pixel(sheet, third, 4 + 14 + 5) == (102, 102, 102)

    def test_is_small_however_large_the_images_are(self):
        """At most 16 pairs, 128 pixels each."""
        images = torch.zeros(64, 3, 300, 150)

        size = Image.open(io.BytesIO(before_and_after(images, images))).size

        assert size == (8 * (64 + 4) + 4, 4 * (128 + 4) + 4)

    def test_is_the_same_file_for_the_same_pixels(self):
        """It is part of a bundle, whose digest a repeated run must meet."""
        images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255

        assert before_and_after(images, images) == before_and_after(images, images)
