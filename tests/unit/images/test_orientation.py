"""Reading and applying the EXIF orientation."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from core.images.orientation import read_orientation, swaps_sides, turn_upright
from tests.images import photo


def _tiff(order: str, kind: int, value: bytes) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHI", 0x0112, kind, 1) + value.ljust(4, b"\0")
    return mark + struct.pack(order + "IH", 8, 1) + entry


class TestReadOrientation:
    """The one number in an EXIF block that concerns pixels."""

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("value", range(1, 9))
    def test_reads_both_byte_orders(self, order: str, value: int):
        """Cameras write either."""
        exif = b"Exif\0\0" + _tiff(order, 3, struct.pack(order + "H", value))

        assert read_orientation(exif) == value

    @pytest.mark.parametrize("value", [0, 9, 99, 65_535])
    def test_takes_nonsense_for_upright(self, value: int):
        """I09: a wrong tag must not lose the picture."""
        assert read_orientation(_tiff("<", 3, struct.pack("<H", value))) == 1

    def test_takes_another_type_for_upright(self):
        """A text '6' is not the number six."""
        assert read_orientation(_tiff("<", 2, b"6")) == 1

    @settings(deadline=None)  # a busy machine is no fault
    @given(st.binary(max_size=64))
    def test_never_fails(self, noise: bytes):
        """EXIF blocks are written by anybody."""
        assert read_orientation(b"II*\0" + noise) in range(1, 9)
        assert read_orientation(noise) == 1 or noise.startswith((b"MM", b"II", b"Exif"))


class TestTurnUpright:
    """Setting a picture the right way up."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_agrees_with_pillow(self, orientation: int):
        """Pillow's transpose is the reference for all eight."""
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(photo(7, 5)).save(file, "PNG", exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))

        turned = turn_upright(photo(7, 5), orientation)

        np.testing.assert_array_equal(turned, expected)
        assert turned.flags.c_contiguous
        assert swaps_sides(orientation) == (turned.shape == (7, 5, 3))
