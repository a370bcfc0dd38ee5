"""Image bytes kept on disk under their SHA-256.

The archive holds pictures that have no address of their own: what was sent to be judged
and later labelled. The same bytes are stored once, a file is whole or absent, and nothing
but a digest ever becomes part of a path. Bytes are kept as they came; who may see them,
and for how long they stay, is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from pathlib import Path

from core.errors import InvalidImageError, NotFoundError, UsageError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Archive:
    """A folder of image files named by digest, two levels deep: ab/cd/abcd....

    Many threads and processes may use one folder at once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their SHA-256; bytes already kept are left alone.

        When it returns, the file survives a power cut.

        Raises:
            OSError: The disk is full or refuses the write; nothing half-written remains.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        if path.exists():
            return sha256
        _make_folder(path.parent)
        temporary = path.with_name(f".{sha256}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the bytes with that digest, verified against it.

        Raises:
            UsageError: It is no SHA-256 digest.
            NotFoundError: The archive does not hold it.
            InvalidImageError: The file on disk was altered.
        """
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"the archive holds no image {sha256}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InvalidImageError(f"{path} was altered; restore it from a backup or delete it")
        return data

    def path(self, sha256: str) -> Path:
        """Return where the image with that digest lies, or would lie.

        Raises:
            UsageError: It is no SHA-256 digest in lower-case hexadecimal.
        """
        if not _DIGEST.fullmatch(sha256):
            raise UsageError(f"{sha256!r} is no SHA-256 digest: 64 digits 0-9, a-f are needed")
        return self.root / sha256[:2] / sha256[2:4] / sha256


def _make_folder(folder: Path) -> None:
    """Create a folder and those above it, each durable in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
