"""Decoding: the same pixels whatever the file. What is refused stands in test_refusals."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.images.decode import decode, probe, sniff
from tests import images

Writer = Callable[..., bytes]

writers = pytest.mark.parametrize("write", [images.jpeg, images.png, images.webp])


def _differ_by(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    return int(np.abs(first.astype(int) - second.astype(int)).max())


class TestDecode:
    """Ordinary files."""

    @pytest.mark.parametrize("write", [images.png, images.webp])
    def test_returns_the_pixels_of_a_lossless_file(self, write: Writer):
        """Nothing may be lost between the file and the model."""
        photo = images.photo(37, 23)

        np.testing.assert_array_equal(decode(write(photo)), photo)

    def test_returns_nearly_the_pixels_of_a_jpeg(self):
        """JPEG rounds; it must not shift or swap colours."""
        photo = images.photo(64, 48)

        assert _differ_by(decode(images.jpeg(photo)), photo) < 12

    def test_gives_memory_that_may_be_written(self):
        """Torch and Pillow both want a contiguous, writable array."""
        flags = decode(images.png(images.photo(5, 4), exif_orientation=6)).flags

        assert flags.c_contiguous
        assert flags.writeable

    @writers
    @pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000), (13, 169)])
    def test_i12_takes_any_shape(self, write: Writer, size: tuple[int, int]):
        """A line of pixels is a picture."""
        assert decode(write(images.photo(*size))).shape == (size[1], size[0], 3)

    def test_converts_large_pictures_in_strips_without_a_seam(self):
        """Pictures beyond four megapixels take another path to the same pixels."""
        rows = [bytes([y % 256]) * 2500 for y in range(1700)]

        decoded = decode(images.png_file((2500, 1700), 8, images.GREY, rows))

        np.testing.assert_array_equal(decoded[:, 7, 1], np.arange(1700) % 256)

    def test_decodes_alike_in_many_threads(self):
        """The service decodes in a pool."""
        files = [images.jpeg(images.photo(200, 150, seed)) for seed in range(8)] * 8

        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(decode, files))

        assert all(np.array_equal(decode(f), t) for f, t in zip(files, together, strict=True))


class TestOrientation:
    """I09: one picture, stored in nine ways."""

    @writers
    @pytest.mark.parametrize("orientation", [*range(1, 9), 99])
    def test_i09_is_the_same_as_the_upright_control(self, write: Writer, orientation: int):
        """A phone held sideways must not change the label."""
        photo = images.photo(40, 24)
        unturn = {
            2: photo[:, ::-1],
            3: photo[::-1, ::-1],
            4: photo[::-1],
            5: photo.swapaxes(0, 1),
            6: np.rot90(photo, 1),
            7: photo[::-1, ::-1].swapaxes(0, 1),
            8: np.rot90(photo, -1),
        }
        stored = np.ascontiguousarray(unturn.get(orientation, photo))

        decoded = decode(write(stored, exif_orientation=orientation))

        assert decoded.shape == photo.shape
        # A turned picture is compressed a little differently; a wrong turn is off by hundreds.
        assert _differ_by(decoded, decode(write(photo))) <= (12 if write is images.jpeg else 0)


class TestColours:
    """I10: odd ways of storing colour, each with its documented conversion."""

    def test_i10_cmyk_becomes_rgb(self):
        """Print shops send four colours."""
        photo = images.photo(64, 48)

        assert _differ_by(decode(images.cmyk_jpeg(photo)), photo) < 12

    def test_i10_a_jpeg_stored_as_rgb_stays_rgb(self):
        """Its Adobe segment is the one that must not be taken for metadata."""
        photo = images.photo(64, 48)
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "JPEG", quality=95, keep_rgb=True)
        # The components are named R, G and B; numbered instead, only that segment tells.
        stored = bytearray(file.getvalue())
        frame, scan = stored.index(b"\xff\xc0"), stored.index(b"\xff\xda")
        stored[frame + 10 : frame + 19 : 3] = stored[scan + 5 : scan + 11 : 2] = b"\1\2\3"

        decoded = decode(bytes(stored))

        assert _differ_by(decoded, photo) < 12

    def test_i10_grey_becomes_three_equal_channels(self):
        """The model always takes three."""
        grey = images.photo(9, 7)[:, :, 0]

        np.testing.assert_array_equal(decode(images.png(grey)), np.dstack([grey] * 3))

    @pytest.mark.parametrize(
        ("depth", "row", "levels"),
        [
            (1, b"\x50", [0, 255, 0, 255]),
            (2, b"\x1b", [0, 85, 170, 255]),
            (4, b"\x05\xaf", [0, 85, 170, 255]),
            (16, b"\x00\x00\x01\x00\x80\x00\xff\xff", [0, 1, 128, 255]),
        ],
    )
    def test_i10_grey_of_any_depth_spreads_over_the_scale(
        self, depth: int, row: bytes, levels: list[int]
    ):
        """16-bit grey is scaled, not clipped to white."""
        decoded = decode(images.png_file((4, 1), depth, images.GREY, [row]))

        assert decoded[0, :, 0].tolist() == levels

    def test_i10_sixteen_bit_colour_keeps_its_upper_half(self):
        """Scanners write 48 bits a pixel."""
        row = struct.pack(">3H", 0x00FF, 0x80FF, 0xFFFF)

        decoded = decode(images.png_file((1, 1), 16, images.TRUECOLOUR, [row]))

        assert decoded[0, 0].tolist() == [0, 0x80, 0xFF]

    def test_i10_alpha_is_laid_over_white(self):
        """What hides under full transparency must not reach the model."""
        rgba = np.array([[[10, 20, 30, 0], [0, 0, 0, 128], [10, 20, 30, 255]]], np.uint8)

        expected = [[255, 255, 255], [127, 127, 127], [10, 20, 30]]
        assert decode(images.png(rgba))[0].tolist() == expected
        assert decode(images.webp(rgba))[0].tolist() == expected

    def test_i10_transparent_palette_entries_are_laid_over_white(self):
        """Logos are saved this way."""
        palette = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
        alpha = (b"tRNS", b"\x00\x80")

        file = images.png_file((3, 1), 8, images.PALETTE, [b"\0\1\2"], palette, alpha)

        assert decode(file)[0].tolist() == [[255, 255, 255], [127, 255, 127], [0, 0, 255]]

    @pytest.mark.parametrize(
        ("depth", "row", "level", "expected"),
        [
            (1, b"\x40", 0, [255, 255]),
            (2, b"\x60", 2, [85, 255]),
            (8, b"\x07\x09", 9, [7, 255]),
            (16, b"\x07\x00\x07\x01", 0x0701, [7, 255]),
        ],
    )
    def test_i10_the_transparent_grey_level_is_white(
        self, depth: int, row: bytes, level: int, expected: list[int]
    ):
        """The level stands in the file at the file's depth."""
        transparent = (b"tRNS", struct.pack(">H", level))

        decoded = decode(images.png_file((2, 1), depth, images.GREY, [row], transparent))

        assert decoded[0, :, 0].tolist() == expected

    def test_i10_the_transparent_colour_of_a_deep_picture_is_white(self):
        """Sixteen bits are compared by their upper half."""
        row = struct.pack(">6H", 0, 0x8000, 0xFFFF, 0, 0, 0)
        transparent = (b"tRNS", struct.pack(">3H", 0, 0x8000, 0xFFFF))

        file = images.png_file((2, 1), 16, images.TRUECOLOUR, [row], transparent)

        assert decode(file)[0].tolist() == [[255, 255, 255], [0, 0, 0]]


class TestMetadata:
    """What stands beside the pixels never reaches the decoder."""

    def test_ignores_whatever_a_jpeg_carries_along(self):
        """Broken profiles, previews and comments are no reason to lose a picture."""
        plain = images.jpeg(images.photo(20, 10))
        extras = b"".join(
            images.jpeg_segment(marker, payload)
            for marker, payload in [
                (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
                (0xE2, b"ICC_PROFILE\0\x01\x07broken"),
                (0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
                (0xED, b"Photoshop 3.0\x008BIM\x03\xed"),
                (0xFE, b"a comment"),
            ]
        )

        decoded = decode(plain[:2] + extras + b"\xff\xff" + plain[2:])

        np.testing.assert_array_equal(decoded, decode(plain))

    def test_ignores_whatever_a_png_carries_along(self):
        """A text chunk that would unpack to gigabytes stays packed."""
        extras = [(b"zTXt", b"k\0\0broken"), (b"iCCP", b"p\0\0broken"), (b"acTL", b"\0" * 8)]

        file = images.png_file((1, 1), 8, images.GREY, [b"\x07"], *extras)

        assert decode(file)[0, 0].tolist() == [7, 7, 7]

    def test_ignores_what_follows_the_end(self):
        """Cameras append previews and clips."""
        photo = images.photo(6, 5)

        np.testing.assert_array_equal(decode(images.png(photo) + b"junk"), photo)
        assert decode(images.jpeg(photo) + b"junk").shape == photo.shape


class TestSeveralPictures:
    """I11: a file with more than one picture shows its first."""

    @pytest.mark.parametrize("write", [images.animated_webp, images.animated_png])
    def test_i11_an_animation_shows_its_first_frame(self, write: Writer):
        """One request, one picture, one label."""
        first = images.photo(30, 20, seed=1)

        decoded = decode(write([first, 255 - first]))

        np.testing.assert_array_equal(decoded, first)

    def test_i11_three_thousand_frames_are_no_slower(self):
        """The other frames are never decoded."""
        frames = [images.photo(32, 32, seed) for seed in range(30)] * 100
        file = images.animated_webp(frames)

        started = time.process_time()
        decode(file)

        assert time.process_time() - started < 1

    def test_a_camera_file_of_several_pictures_shows_the_main_one(self):
        """Multi-picture JPEGs are ordinary JPEGs with an appendix."""
        photo = images.photo(64, 48)

        assert _differ_by(decode(images.multi_picture_jpeg([photo, 255 - photo])), photo) < 40


class TestProbe:
    """What an import needs to know before it decodes."""

    @writers
    @pytest.mark.parametrize("orientation", [1, 6])
    def test_agrees_with_decode(self, write: Writer, orientation: int):
        """The catalog's width is the width everybody sees."""
        file = write(images.photo(30, 20), exif_orientation=orientation)

        info = probe(file)

        assert (info.height, info.width, 3) == decode(file).shape
        assert (info.type, info.bytes) == (sniff(file), len(file))

    @pytest.mark.parametrize("lossless", [True, False])
    def test_reads_every_form_of_webp_header(self, lossless: bool):
        """The size stands in three different places."""
        photo = images.photo(33, 21)
        file = images.webp(photo) if lossless else images.lossy_webp(photo)

        info = probe(file)

        assert (info.width, info.height) == (33, 21)

    def test_i13_content_wins_over_any_name(self):
        """There is no name to be fooled by."""
        assert sniff(images.jpeg(images.photo(2, 2))) == "image/jpeg"
        assert sniff(images.png(images.photo(2, 2))) == "image/png"
        assert sniff(images.webp(images.photo(2, 2))) == "image/webp"
