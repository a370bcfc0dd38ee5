"""The outside of an image file: what it is, how large, which way up, and is it all there.

A JPEG, PNG or WebP is walked segment by segment before any decoder sees it. That gives
the size before a pixel is allocated, finds files that end too early, and yields a copy
without metadata: the decoder then never parses EXIF, colour profiles, comments, previews
or the frames of an animated PNG, where most decoder faults and bombs live.

Nothing here looks at pixels. What the walk accepts may still fail to decode.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from core.errors import InvalidImageError, UnsupportedImageError
from core.images.orientation import UPRIGHT, read_orientation

ImageType = Literal["image/jpeg", "image/png", "image/webp"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_GREY, _TRUECOLOUR, _PALETTE = 0, 2, 3  # PNG's colour types that may have a tRNS chunk

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP1, _APP14, _APP15, _COMMENT = 0xE1, 0xEE, 0xEF, 0xFE
_METADATA = frozenset({*range(_APP1, _APP15 + 1), _COMMENT}) - {_APP14}
_FRAME_STARTS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})
# A picture has tens of segments or chunks, and thousands where an encoder was odd.
_MAX_SEGMENTS = 100_000
# Encoders write about ten scans. Every one costs a pass over the whole picture, so a
# small file with thousands of them would keep a core busy for minutes.
_MAX_SCANS = 64


@dataclass(frozen=True, slots=True)
class Container:
    """An image file seen from outside.

    Attributes:
        type: What the content is, whatever its name says.
        width: Stored width in pixels, before it is set upright.
        height: Stored height in pixels, before it is set upright.
        orientation: EXIF orientation 1 to 8.
        essential: The same picture as a file without metadata.
    """

    type: ImageType
    width: int
    height: int
    orientation: int
    essential: bytes


def sniff(data: bytes) -> ImageType:
    """Return the media type that the content shows; names and headers do not matter.

    Raises:
        UnsupportedImageError: The bytes begin like no JPEG, PNG or WebP.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(_PNG_SIGNATURE):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    raise UnsupportedImageError(
        f"{len(data)} bytes that are no JPEG, PNG or WebP; convert the image to one of these"
    )


def read_container(data: bytes) -> Container:
    """Walk through an image file without decoding it.

    Raises:
        UnsupportedImageError: It is no JPEG, PNG or WebP.
        InvalidImageError: It ends too early or its structure is broken.
    """
    kind = sniff(data)
    walk = {"image/jpeg": _read_jpeg, "image/png": _read_png, "image/webp": _read_webp}[kind]
    try:
        return walk(data)
    except (struct.error, IndexError, ValueError) as error:
        raise InvalidImageError(
            f"the {kind} is truncated after {len(data)} bytes; send the whole file"
        ) from error


class _Segment(NamedTuple):
    """A JPEG segment: from its 0xFF over the payload's first byte to its end."""

    marker: int
    start: int
    payload: int
    end: int


def _read_jpeg(data: bytes) -> Container:
    """Walk a JPEG's segments up to its first scan, then look for its end mark."""
    view = memoryview(data)
    kept: list[memoryview] = [view[:2]]
    sizes: list[tuple[int, int]] = []
    orientations: list[int] = []
    position = 2
    for marker, start, payload, end in _jpeg_segments(data):
        if marker in _FRAME_STARTS:
            height, width = struct.unpack_from(">HH", data, payload + 1)
            sizes.append((width, height))
        elif marker == _APP1 and data.startswith(b"Exif\0\0", payload):
            orientations.append(read_orientation(data[payload:end]))
        # JFIF and Adobe segments say how the colours are stored; the others are metadata.
        if marker not in _METADATA:
            kept.append(view[start:end])
        position = end
    if len(sizes) != 1:
        raise InvalidImageError(f"the JPEG states its size {len(sizes)} times instead of once")
    _check_scans(data, position)
    orientation = orientations[0] if orientations else UPRIGHT
    return Container("image/jpeg", *sizes[0], orientation, b"".join([*kept, view[position:]]))


def _jpeg_segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments between a JPEG's start and its first scan."""
    end = 2
    for _ in range(_MAX_SEGMENTS):
        payload = _after_marker(data, end)
        marker, start = data[payload - 1], payload - 2
        if marker == _SOS:
            return
        (length,) = struct.unpack_from(">H", data, payload)
        end = payload + length
        if marker in {_SOI, _EOI} or length < 2:
            raise InvalidImageError(f"the JPEG has a broken segment at byte {start}")
        if end > len(data):
            raise IndexError
        yield _Segment(marker, start, payload + 2, end)
    raise InvalidImageError(f"the JPEG has more than {_MAX_SEGMENTS} segments")


def _after_marker(data: bytes, position: int) -> int:
    """Return where the length of the next segment stands, past fill bytes and junk."""
    while True:
        position = data.index(b"\xff", position)
        while data[position] == 0xFF:
            position += 1
        position += 1
        if data[position - 1] not in _WITHOUT_LENGTH:
            return position


def _check_scans(data: bytes, position: int) -> None:
    """Refuse a JPEG whose scans never end, or are too many."""
    if data.rfind(b"\xff\xd9", position) < 0:  # from the end, where it nearly always stands
        raise InvalidImageError("the JPEG has no end mark: it is truncated; send the whole file")
    scans = data.count(b"\xff\xda", position)
    if scans > _MAX_SCANS:
        raise InvalidImageError(f"the JPEG has {scans} scans, more than the {_MAX_SCANS} allowed")


def _read_png(data: bytes) -> Container:
    """Walk a PNG's chunks to its end mark."""
    kept: list[bytes | memoryview] = [_PNG_SIGNATURE]
    seen: set[bytes] = set()
    width = height = depth = colour = 0
    orientation = UPRIGHT
    for kind, payload, chunk in _png_chunks(data):
        if (kind == b"IHDR") == bool(seen):
            raise InvalidImageError("the PNG does not begin with its one header")
        seen.add(kind)
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", payload)
        if kind == b"eXIf":
            orientation = read_orientation(bytes(payload))
        elif kind == b"tRNS":
            kept.append(_eight_bit_transparency(bytes(payload), depth, colour))
        elif kind in _PNG_NEEDED:
            kept.append(chunk)
    if b"IDAT" not in seen or (colour == _PALETTE and b"PLTE" not in seen):
        raise InvalidImageError("the PNG lacks its pixels or its palette")
    return Container("image/png", width, height, orientation, b"".join(kept))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield kind, payload and whole chunk up to the end mark; verify those that matter."""
    view, position = memoryview(data), len(_PNG_SIGNATURE)
    for _ in range(_MAX_SEGMENTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if kind in _PNG_NEEDED and zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise InvalidImageError(f"the PNG's {kind.decode()} chunk has a wrong checksum")
        yield kind, view[position + 8 : end - 4], view[position:end]
        if kind == b"IEND":
            return
        position = end
    raise InvalidImageError(f"the PNG has more than {_MAX_SEGMENTS} chunks")


def _eight_bit_transparency(payload: bytes, depth: int, colour: int) -> bytes:
    """Return a tRNS chunk whose transparent level is on the scale that Pillow compares with.

    Pillow spreads 2 and 4 bits to eight and keeps the upper half of 16-bit colours, but
    leaves the level as it stands in the file, where it then matches nothing.
    """
    if colour == _GREY and depth in {1, 2, 4}:
        (level,) = struct.unpack_from(">H", payload)
        payload = struct.pack(">H", level * 255 // (2**depth - 1) & 0xFFFF)
    elif colour == _TRUECOLOUR and depth == 16:
        levels = struct.unpack_from(">3H", payload)
        payload = struct.pack(">3H", *(level >> 8 for level in levels))
    checksum = zlib.crc32(b"tRNS" + payload)
    return struct.pack(">I", len(payload)) + b"tRNS" + payload + struct.pack(">I", checksum)


def _read_webp(data: bytes) -> Container:
    """Walk a WebP's chunks; the size stands in the first one, in one of three forms."""
    (riff_length,) = struct.unpack_from("<I", data, 4)
    if riff_length + 8 > len(data):
        raise IndexError
    width, height = _webp_size(data)
    orientation = UPRIGHT
    position, end = 12, riff_length + 8
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            orientation = read_orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return Container("image/webp", width, height, orientation, data)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the first chunk of a WebP."""
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise InvalidImageError("the WebP does not begin with a picture")
