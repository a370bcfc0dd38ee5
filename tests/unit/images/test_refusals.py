"""What decoding refuses: everything that is not one whole picture of a bearable size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from core.errors import InvalidImageError, UnsupportedImageError
from core.images.decode import decode, probe
from tests import images

Writer = Callable[..., bytes]

writers = pytest.mark.parametrize("write", [images.jpeg, images.png, images.webp])


class TestRefusals:
    """Everything else is an InvalidImageError, quickly and without memory."""

    @pytest.mark.parametrize(
        "data",
        [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"8BPS\0\1", b"II*\0"],
    )
    def test_i13_refuses_other_formats(self, data: bytes):
        """Each further format is a parser an attacker may reach."""
        with pytest.raises(UnsupportedImageError, match="no JPEG, PNG or WebP"):
            decode(data)

    def test_i11_refuses_a_gif(self):
        """GIF is not among the three."""
        with pytest.raises(UnsupportedImageError):
            decode(images.animated_gif([images.photo(4, 4), images.photo(4, 4, 1)]))

    @writers
    def test_refuses_a_file_cut_off_anywhere(self, write: Writer):
        """Half an upload is not a picture with a grey half."""
        file = write(images.photo(24, 16))

        for length in range(len(file)):
            with pytest.raises(InvalidImageError):
                decode(file[:length])

    @writers
    def test_refuses_it_even_where_another_library_told_pillow_not_to(
        self, write: Writer, monkeypatch: pytest.MonkeyPatch
    ):
        """Dataset libraries set this switch for the whole process."""
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        file = write(images.photo(24, 16))

        for length in (len(file) // 2, len(file) - 1):
            with pytest.raises(InvalidImageError):
                decode(file[:length])

    @writers
    def test_notices_before_decoding(self, write: Writer):
        """An import that only probes must not count half a file."""
        file = write(images.photo(24, 16))

        with pytest.raises(InvalidImageError, match="truncated"):
            probe(file[:-3])

    def test_refuses_damaged_pixels_of_a_png(self):
        """PNG has checksums; use them."""
        file = bytearray(images.png(images.photo(24, 16)))
        file[len(file) // 2] ^= 0x10

        with pytest.raises(InvalidImageError, match="wrong checksum"):
            decode(bytes(file))

    @pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 1), (0, 5)])
    def test_refuses_a_bomb_without_memory(self, size: tuple[int, int]):
        """A few bytes that claim gigapixels are refused by their header."""
        bomb = images.png_file(size, 8, images.GREY, [])
        tracemalloc.start()

        with pytest.raises(InvalidImageError, match="x"):
            decode(bomb)

        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 100_000

    def test_refuses_a_jpeg_of_endless_scans(self):
        """Every scan costs a pass over all pixels, and takes a few bytes."""
        file = images.jpeg(images.photo(8, 8))
        scan = file[file.rfind(b"\xff\xda") : -2]

        with pytest.raises(InvalidImageError, match="scans"):
            decode(file[:-2] + scan * 100 + file[-2:])

    def test_refuses_endless_segments(self):
        """A walk over millions of empty segments would hold a core."""
        file = images.jpeg(images.photo(8, 8))

        with pytest.raises(InvalidImageError, match="more than 100000 segments"):
            decode(file[:2] + images.jpeg_segment(0xFE, b"") * 100_001 + file[2:])

    def test_refuses_a_jpeg_of_two_sizes(self):
        """Measured as one and decoded as the other, it would slip past the limit."""
        file = images.jpeg(images.photo(8, 8))
        frame = file[file.index(b"\xff\xc0") :][:19]

        with pytest.raises(InvalidImageError, match="2 times"):
            decode(file[:2] + frame + file[2:])

    def test_refuses_a_palette_picture_without_palette(self):
        """Its colours are anybody's guess."""
        with pytest.raises(InvalidImageError, match="palette"):
            decode(images.png_file((1, 1), 8, images.PALETTE, [b"\0"]))

    def test_refuses_what_exceeds_the_limits_it_is_given(self):
        """Limits are the caller's, down to one byte and one pixel."""
        file = images.png(images.photo(10, 10))
        decode(file, max_bytes=len(file), max_pixels=100)

        with pytest.raises(InvalidImageError, match="bytes, more than"):
            decode(file, max_bytes=len(file) - 1)
        with pytest.raises(InvalidImageError, match="pixels, more than the 99 allowed"):
            decode(file, max_pixels=99)

    @settings(deadline=None)  # a busy machine is no fault
    @given(st.binary(max_size=200))
    def test_refuses_noise(self, noise: bytes):
        """Nothing but InvalidImageError leaves this door."""
        for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 "):
            with pytest.raises(InvalidImageError):
                decode(start + noise)

    @settings(deadline=None)  # a busy machine is no fault
    @given(data=st.data(), write=st.sampled_from([images.jpeg, images.png, images.webp]))
    def test_survives_damage(self, data: st.DataObject, write: Writer):
        """A damaged file decodes to something or is refused; it never breaks the caller."""
        file = bytearray(write(images.photo(12, 10), exif_orientation=6))
        for _ in range(data.draw(st.integers(1, 6))):
            file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))

        try:
            decoded = decode(bytes(file), max_pixels=10_000)
        except InvalidImageError:
            return

        assert decoded.dtype == np.uint8
        assert decoded.shape[2] == 3
