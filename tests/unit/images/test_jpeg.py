"""JPEGs that are damaged where libjpeg only warns."""

import io

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidImageError
from core.images.decode import MAX_PIXELS, decode
from core.images.jpeg import decode_jpeg
from core.settings import ServiceSettings
from tests.images import cmyk_jpeg, jpeg, photo

WHOLE = jpeg(photo(160, 120, seed=4))
SCAN = WHOLE.rindex(b"\xff\xda") + 14  # where its entropy-coded data begins


def by_pillow(data: bytes) -> np.ndarray:
    """Return what Pillow gives."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


class TestDecodeJpeg:
    """The pixels."""

    @pytest.mark.parametrize(
        "options", [{}, {"progressive": True}, {"subsampling": 2}, {"quality": 5}]
    )
    def test_are_those_of_pillow(self, options: dict[str, int]):
        """Versions that were trained on Pillow's pixels go on seeing them."""
        file = io.BytesIO()
        Image.fromarray(photo(333, 257, seed=1)).save(file, "JPEG", **options)
        data = file.getvalue()

        assert np.array_equal(decode_jpeg(data, size=(333, 257)), by_pillow(data))

    def test_are_those_of_pillow_for_inks_too(self):
        """CMYK as Adobe writes it."""
        data = cmyk_jpeg(photo(1001, 1500, seed=1))

        assert np.array_equal(decode_jpeg(data, size=(1001, 1500)), by_pillow(data))


class TestDamage:
    """What Pillow decodes to grey or noise without a word."""

    @pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
    def test_an_end_that_was_pasted_on_is_seen(self, share: float):
        """A broken upload whose end mark was added by a repair tool."""
        at = SCAN + int(share * (len(WHOLE) - SCAN))

        with pytest.raises(InvalidImageError, match=r"[Pp]remature end"):
            decode(WHOLE[:at] + b"\xff\xd9")

    @pytest.mark.parametrize("junk", [bytes(500), b"\xff\x00" * 200, bytes(range(200))])
    def test_junk_instead_of_the_scan_is_seen(self, junk: bytes):
        """The header is whole, the picture is not."""
        with pytest.raises(InvalidImageError):
            decode(WHOLE[:SCAN] + junk + b"\xff\xd9")

    def test_junk_before_the_end_is_seen(self):
        """More data than the picture has blocks."""
        with pytest.raises(InvalidImageError, match="extraneous"):
            decode(WHOLE[:-2] + bytes(300) + b"\xff\xd9")

    def test_of_overwritten_bytes_a_part_is_seen(self):
        """The format has no checksum: codes that come out even are not told from good ones."""
        rng, seen = np.random.default_rng(0), 0
        for place in rng.integers(SCAN, len(WHOLE) - 20, 100).tolist():
            data = WHOLE[:place] + bytes(16) + WHOLE[place + 16 :]
            try:
                decode(data)
            except InvalidImageError:
                seen += 1

        assert 10 <= seen < 100


class TestMaxPixels:
    """The one number that stands twice, because settings import nothing."""

    def test_is_that_of_the_settings(self):
        """A picture that serving takes, training and import take as well."""
        assert ServiceSettings.model_fields["max_image_pixels"].default == MAX_PIXELS
