"""Files that look like images and are not, or are in ways that few readers expect.

`corpus` gives every one with the statuses that are right for it. All of it is drawn or built
here, byte by byte where no library would write it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests import images

OK, UNUSABLE, UNSUPPORTED = {200}, {422}, {415}
EITHER = {200, 415, 422}


def corpus() -> Iterator[tuple[str, bytes, set[int]]]:
    """Yield name, bytes and right statuses of every case of FAULTS.md, I01 to I13."""
    yield from _others()
    yield from _kinds()
    yield from _shapes()
    yield from _bombs()
    yield from _animations()
    for name, whole in _whole().items():
        yield from _damaged(name, whole)
    yield from _large()


def _whole() -> dict[str, bytes]:
    picture = images.photo(96, 64, seed=5)
    return {
        "jpeg": images.jpeg(picture),
        "png": images.png(picture),
        "webp": images.lossy_webp(picture),
        "lossless webp": images.webp(picture),
    }


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _others() -> Iterator[tuple[str, bytes, set[int]]]:
    """I08, I13: what is none of the three formats, or several at once."""
    drawn = Image.fromarray(images.photo(40, 30))
    for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PDF", "JPEG2000"):
        yield kind, _save(drawn, kind), UNSUPPORTED
    texts = {
        "nothing": (b"", UNSUPPORTED | UNUSABLE),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', UNSUPPORTED),
        "html": (b"<!doctype html><script>alert(1)</script>", UNSUPPORTED),
        "psd": (b"8BPS\0\1" + bytes(200), UNSUPPORTED),
        "zip": (b"PK\3\4" + bytes(200), UNSUPPORTED),
        "heic": (b"\0\0\0\x18ftypheic" + bytes(200), UNSUPPORTED),
        "avif": (b"\0\0\0\x18ftypavif" + bytes(200), UNSUPPORTED),
        "zeros": (bytes(5000), UNSUPPORTED),
        "base64": (b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBD", UNSUPPORTED),
        "pickle": (b"\x80\x04\x95\x1f\0\0\0\0\0\0\0\x8c\x05posix", UNSUPPORTED),
    }
    for name, (data, right) in texts.items():
        yield name, data, right
    for name, whole in _whole().items():
        yield f"{name} and a zip after it", whole + b"PK\3\4" + bytes(300), OK
        yield f"{name} after html", b"<html>" + whole, UNSUPPORTED
    yield "magic alone, jpeg", b"\xff\xd8\xff", UNUSABLE
    yield "magic alone, png", b"\x89PNG\r\n\x1a\n", UNUSABLE
    yield "magic alone, webp", b"RIFF\0\0\0\0WEBP", UNUSABLE


def _kinds() -> Iterator[tuple[str, bytes, set[int]]]:
    """I04 to I06, I09, I10: colours and orientations."""
    picture = images.photo(64, 48, seed=2)
    rgb = Image.fromarray(picture)
    grey = rgb.convert("L")
    palette = rgb.quantize(16)
    yield "cmyk jpeg", images.cmyk_jpeg(picture), OK
    yield "grey jpeg", _save(grey, "JPEG"), OK
    yield "progressive jpeg", _save(rgb, "JPEG", progressive=True), OK
    yield "rgb jpeg", _save(rgb, "JPEG", keep_rgb=True), OK
    yield "jpeg with restarts", _save(rgb, "JPEG", restart_marker_blocks=1), OK
    yield "1-bit png", _save(rgb.convert("1"), "PNG"), OK
    yield "palette png", _save(palette, "PNG"), OK
    yield "palette png with tRNS", _save(palette, "PNG", transparency=3), OK
    yield "grey png with tRNS", _save(grey, "PNG", transparency=9), OK
    yield "rgba png", _save(rgb.convert("RGBA"), "PNG"), OK
    yield "grey alpha png", _save(grey.convert("LA"), "PNG"), OK
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    yield "16-bit png", _save(deep, "PNG"), OK
    transparent = rgb.convert("RGBA")
    transparent.putalpha(0)
    yield "webp, all transparent", _save(transparent, "WEBP"), OK
    yield "png with a colour profile of zeros", _save(rgb, "PNG", icc_profile=bytes(500)), OK
    yield "jpeg with a long comment", _save(rgb, "JPEG", comment=b"x" * 60_000), OK
    for orientation in (*range(10), 99, 65_535):
        yield f"exif {orientation}", images.jpeg(picture, exif_orientation=orientation), OK


def _shapes() -> Iterator[tuple[str, bytes, set[int]]]:
    """I12: sizes at the edge."""
    for width, height in ((1, 1), (1, 2), (13, 169), (10_000, 1), (1, 10_000), (65_535, 2)):
        image = Image.new("RGB", (width, height), "teal")
        yield f"png {width} x {height}", _save(image, "PNG"), OK | UNUSABLE
        if max(width, height) < 65_500:
            yield f"jpeg {width} x {height}", _save(image, "JPEG"), OK | UNUSABLE
        if max(width, height) < 16_383:
            yield f"webp {width} x {height}", _save(image, "WEBP"), OK | UNUSABLE


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _png(width: int, height: int, stream: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (_chunk(b"IHDR", head), _chunk(b"IDAT", stream), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _bombs() -> Iterator[tuple[str, bytes, set[int]]]:
    """I03: a few bytes that ask for a lot."""
    zeros = zlib.compress(bytes(100_000_000), 9)
    yield "png of 65535 x 65535", _png(65_535, 65_535, zeros[:9000]), UNUSABLE
    yield "png of 2^31 x 2^31", _png(2**31 - 1, 2**31 - 1, b""), UNUSABLE
    yield "png of 0 x 0", _png(0, 0, b""), UNUSABLE
    yield "png with a stream of 100 MB", _png(10, 10, zeros), OK | UNUSABLE
    yield "png of a depth of 7", _png(10, 10, zeros[:50], depth=7), UNUSABLE
    whole = _png(10, 10, zlib.compress(bytes(310)))
    text = b"Comment\0\0" + zeros
    bomb = whole[:33] + _chunk(b"zTXt", text) + _chunk(b"iCCP", b"p\0\0" + zeros) + whole[33:]
    yield "png with texts of 200 MB", bomb, OK
    jpeg = images.jpeg(images.photo(64, 64))
    at = jpeg.index(b"\xff\xc0") + 5
    yield "jpeg of 65535 x 65535", jpeg[:at] + b"\xff\xff\xff\xff" + jpeg[at + 4 :], UNUSABLE
    yield (
        "jpeg of 5000 x 5000 that is not there",
        (jpeg[:at] + struct.pack(">HH", 5000, 5000) + jpeg[at + 4 :]),
        UNUSABLE,
    )
    webp = images.lossy_webp(images.photo(64, 64))
    lie = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\0\xff\x3f\0" + webp[12:]
    yield (
        "webp that says 16384 x 16384",
        (b"RIFF" + struct.pack("<I", len(lie) + 4) + b"WEBP" + lie),
        UNUSABLE,
    )
    small = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\1\0\0\1\0\0" + webp[12:]
    yield (
        "webp that says 2 x 2",
        (b"RIFF" + struct.pack("<I", len(small) + 4) + b"WEBP" + small),
        UNUSABLE,
    )
    large = _save(Image.effect_noise((2000, 2000), 30), "JPEG", progressive=True, quality=10)
    scan = large[large.rindex(b"\xff\xda") : -2]
    yield "jpeg of sixty scans", large[:-2] + scan * 54 + large[-2:], EITHER
    yield "jpeg of a thousand scans", large[:-2] + scan[:500] * 1000 + large[-2:], UNUSABLE


def _animations() -> Iterator[tuple[str, bytes, set[int]]]:
    """I07, I11: many frames; one is looked at."""
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3000)]
    yield "animated webp of 3000", images.animated_webp(frames), OK
    yield "animated png of 3000", images.animated_png(frames), OK
    yield (
        "animated gif of 3000",
        images.animated_gif([frame[..., 0] for frame in frames]),
        UNSUPPORTED,
    )
    yield "mpo of 3", images.multi_picture_jpeg(frames[:3]), OK


def _damaged(name: str, whole: bytes) -> Iterator[tuple[str, bytes, set[int]]]:
    """I01, I02: cut short, and bits turned over."""
    rng = np.random.default_rng(len(whole))
    for cut in sorted({1, 2, len(whole) - 1, *rng.integers(3, len(whole) - 2, 30).tolist()}):
        yield f"{name}, the first {cut}", whole[:cut], UNSUPPORTED | UNUSABLE
    for place in rng.integers(12, len(whole), 60).tolist():
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        yield f"{name}, a bit at {place}", bytes(data), EITHER
    for place in rng.integers(12, len(whole) - 40, 20).tolist():
        data = bytearray(whole)
        data[place : place + 32] = rng.bytes(32)
        yield f"{name}, 32 bytes at {place}", bytes(data), EITHER


def _large() -> Iterator[tuple[str, bytes, set[int]]]:
    """I03: just below the limits, and just beyond."""
    noise = Image.effect_noise((500, 500), 60).convert("RGB")
    camera = Image.new("RGB", (6000, 4000))
    for left in range(0, 6000, 500):
        for top in range(0, 4000, 500):
            camera.paste(noise, (left, top))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "24 MP jpeg", _save(camera, "JPEG", quality=40, exif=exif), OK
    yield "24 MP progressive", _save(camera, "JPEG", quality=30, progressive=True), OK
    yield "24 MP cmyk", _save(camera.convert("CMYK"), "JPEG", quality=3), OK
    flat = Image.new("RGBA", (6000, 4000), (10, 200, 30, 99))
    yield "24 MP rgba png", _save(flat, "PNG", compress_level=1), OK
    yield "12 MP webp", _save(camera.crop((0, 0, 4000, 3000)), "WEBP", quality=5, method=0), OK
    yield "12 MP transparent webp", _save(flat.crop((0, 0, 4000, 3000)), "WEBP", method=0), OK
    yield "24 MP webp", _save(flat, "WEBP", method=0), UNUSABLE
    yield "26 MP jpeg", _save(Image.new("L", (6500, 4000)), "JPEG"), UNUSABLE
