"""The archive keeps bytes under their digest, whole and once."""

from __future__ import annotations

import hashlib
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import InvalidImageError, NotFoundError, UsageError
from core.images.archive import Archive


class TestArchive:
    """A folder of files named by SHA-256."""

    def test_gives_back_what_was_put(self, tmp_path: Path):
        """The digest is the address."""
        archive = Archive(tmp_path / "not" / "there" / "yet")

        sha256 = archive.put(b"picture")

        assert sha256 == hashlib.sha256(b"picture").hexdigest()
        assert archive.get(sha256) == b"picture"
        assert archive.path(sha256) == archive.root / sha256[:2] / sha256[2:4] / sha256

    def test_keeps_the_same_bytes_once(self, tmp_path: Path):
        """A picture sent a thousand times takes the room of one."""
        archive = Archive(tmp_path)
        first = archive.path(archive.put(b"picture")).stat()

        again = archive.path(archive.put(b"picture")).stat()

        assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)

    def test_leaves_nothing_else_behind(self, tmp_path: Path):
        """Temporary files would pile up."""
        archive = Archive(tmp_path)

        with ThreadPoolExecutor(8) as pool:
            digests = set(pool.map(archive.put, [b"one", b"two"] * 40))

        files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert files == digests

    def test_f10_leaves_nothing_behind_when_the_disk_refuses(self, tmp_path: Path):
        """Half a picture under its digest would be believed for ever."""
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))

        try:
            with pytest.raises(OSError, match="File too large"):
                Archive(tmp_path).put(b"picture" * 1000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_notices_an_altered_file(self, tmp_path: Path):
        """What comes out is what its name says, or nothing."""
        archive = Archive(tmp_path)
        sha256 = archive.put(b"picture")
        os.truncate(archive.path(sha256), 3)

        with pytest.raises(InvalidImageError, match="was altered"):
            archive.get(sha256)

    def test_says_when_it_has_no_such_image(self, tmp_path: Path):
        """Retention may have removed it."""
        with pytest.raises(NotFoundError, match="holds no image"):
            Archive(tmp_path).get("0" * 64)

    @pytest.mark.parametrize(
        "digest",
        ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 63 + "/", "0" * 64 + "\n"],
    )
    def test_s06_refuses_anything_but_a_digest(self, digest: str, tmp_path: Path):
        """Digests come from outside, and become a path."""
        with pytest.raises(UsageError, match="no SHA-256 digest"):
            Archive(tmp_path).get(digest)
