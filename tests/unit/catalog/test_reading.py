"""Opening images side by side."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from core.catalog.reading import Sighting, Unusable, look_at, side_by_side
from core.catalog.sources import Entry
from tests.images import animated_gif, jpeg, photo, png


def _look(path: Path, *, known: frozenset[bytes] = frozenset()) -> Sighting | Unusable:
    (found,) = look_at([Entry(str(path), "Cat")], known=known, is_remote=False)
    return found


class TestLookAt:
    """What one look at an image tells."""

    def test_measures_the_picture_as_it_is_seen(self, tmp_path: Path):
        """Width and height are those of the upright picture."""
        path = tmp_path / "a.png"  # by content a JPEG
        path.write_bytes(jpeg(photo(40, 20), exif_orientation=6))

        found = _look(path)

        assert isinstance(found, Sighting)
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert found.looks is not None
        assert (found.looks.width, found.looks.height) == (20, 40)
        assert (found.looks.type, found.looks.bytes) == ("image/jpeg", path.stat().st_size)

    def test_does_not_decode_what_the_pool_has(self, tmp_path: Path):
        """A second import takes a fraction of the first."""
        (tmp_path / "a.png").write_bytes(data := png(photo(8, 8)))

        found = _look(tmp_path / "a.png", known=frozenset({hashlib.sha256(data).digest()}))

        assert isinstance(found, Sighting)
        assert found.looks is None

    @pytest.mark.parametrize(
        "data",
        [
            jpeg(photo(64, 64))[:-200],
            b"",
            b"%PDF-1.7",
            animated_gif([photo(8, 8), photo(8, 8, 1)]),
        ],
        ids=["truncated", "empty", "pdf", "gif"],
    )
    def test_says_why_a_file_is_no_usable_image(self, data: bytes, tmp_path: Path):
        """Counted by reason, and never fatal."""
        (tmp_path / "a.jpg").write_bytes(data)

        found = _look(tmp_path / "a.jpg")

        assert isinstance(found, Unusable)
        assert found.reason == "corrupt"

    @pytest.mark.parametrize("name", ["gone.jpg", "folder.jpg", "\udcff.jpg"])
    def test_says_why_an_address_cannot_be_read(self, name: str, tmp_path: Path):
        """Missing, no plain file, or a name that is no UTF-8 and has no place in the database."""
        (tmp_path / "folder.jpg").mkdir()

        found = _look(tmp_path / name)

        assert isinstance(found, Unusable)
        assert found.reason == "unreadable"
        assert found.why.encode()


class TestSideBySide:
    """Threads with a short queue."""

    def test_keeps_the_order(self):
        """The first of two equal images is the one that stays."""
        delays = [0.02, 0.0, 0.01, 0.0]

        def wait(delay: float) -> float:
            time.sleep(delay)
            return delay

        assert list(side_by_side(wait, delays)) == delays

    def test_runs_no_further_ahead_than_it_must(self):
        """A million images would not fit into memory."""
        begun: list[int] = []
        results = side_by_side(begun.append, range(10_000), is_remote=True)

        next(results)
        time.sleep(0.05)

        assert len(begun) < 200
        results.close()

    def test_stops_beginning_when_left(self):
        """After Ctrl-C nobody waits for the rest of the queue."""
        release = threading.Event()
        begun: list[int] = []

        def hold(item: int) -> None:
            begun.append(item)
            if item:
                release.wait(5)

        results = side_by_side(hold, range(1000), is_remote=True)
        next(results)
        release.set()
        results.close()

        assert len(begun) < 100
