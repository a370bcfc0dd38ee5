"""The spool: what is in it survives everything but the loss of the disk, and it ends somewhere."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RefusedRowError, UsageError
from core.store import halfvec
from core.store.idempotency import Kept
from core.store.predictions import Prediction, new_id
from service.log import log_entry, spool_segment
from service.log.log_entry import Entry
from service.log.spool import Spool
from service.log.spool_segment import Damage, Segment

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def entry(label: str = "Dog", *, key: str | None = None) -> Entry:
    """Return an answer about to be written down."""
    prediction = Prediction(
        id=new_id(NOON),
        at=NOON,
        version="v1",
        label=label,
        confidence=0.1 + 0.2,
        top=[{"label": label, "probability": 0.75}],
        margin=0.5,
        entropy=1e-17,
        descriptors={"brightness": 0.5},
        latency_ms=12.5,
        image_sha256="ab" * 32,
        embedding=np.linspace(-1, 1, 256, dtype=np.float32),
        request_id="r1",
    )
    if key is None:
        return Entry(prediction)
    return Entry(prediction, Kept("local", key, b"\x01" * 32, prediction.id, {"x": 1.5}, NOON))


def spooled(folder: Path, *entries: Entry) -> Path:
    """Spool entries as a service that then dies; return the segment."""
    spool = Spool(folder, max_bytes=10_000_000)
    assert spool.append([log_entry.encode(each) for each in entries]) == len(entries)
    return spool.seal()


def taken(spool: Spool) -> list[Entry]:
    """Return everything in the spool, and finish its segments."""
    found: list[Entry] = []
    for path in spool.waiting():
        with spool.take(path) as reading:
            assert reading is not None
            found += reading.entries
            spool.finish(reading)
    return found


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow further, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestEntry:
    """An entry as JSON."""

    def test_comes_back_as_it_was(self):
        """A row that went through the spool equals one that did not, to the last bit."""
        before = entry(key="k")

        after = log_entry.decode(log_entry.encode(before))

        assert after == before
        assert before.prediction.embedding is not None
        assert after.prediction.embedding is not None
        assert halfvec.to_binary(after.prediction.embedding) == halfvec.to_binary(
            before.prediction.embedding
        )

    def test_covers_every_field(self):
        """A column added to the log must not be lost on its way through the spool."""
        names = {field.name for field in fields(Prediction)}

        assert set(log_entry._prediction_to_json(entry().prediction)) == names

    @pytest.mark.parametrize("bad", ["nul\0", "half \ud800"])
    def test_refuses_what_postgres_never_takes(self, bad: str):
        """Answered and spooled, such a row could never be stored."""
        with pytest.raises(RefusedRowError):
            log_entry.encode(entry(bad))

    def test_takes_a_text_that_only_looks_like_nul(self):
        r"""`\u0000` written out is six harmless characters."""
        before = entry("\\u0000")

        assert log_entry.decode(log_entry.encode(before)) == before

    def test_refuses_nan(self):
        """JSON has no such number."""
        nan = replace(entry().prediction, confidence=float("nan"))

        with pytest.raises(RefusedRowError):
            log_entry.encode(Entry(nan))


class TestSegment:
    """One file of the spool."""

    @given(st.lists(st.binary(max_size=50), max_size=10))
    def test_gives_back_what_was_put_in(self, payloads: list[bytes]):
        """Any content, in order."""
        data = b"".join(spool_segment.frame(i, each) for i, each in enumerate(payloads))

        assert list(spool_segment.read(data)) == payloads

    @given(st.integers(0, 119), st.binary(min_size=1, max_size=8))
    def test_loses_no_more_than_what_is_damaged(self, place: int, junk: bytes):
        """Records before and behind a damaged one come back; the damage is told."""
        payloads = [bytes([65 + i]) * 14 for i in range(4)]
        data = bytearray(b"".join(spool_segment.frame(i, p) for i, p in enumerate(payloads)))
        before = bytes(data)
        data[place : place + len(junk)] = junk[: len(data) - place]
        touched = {i // 30 for i in range(len(before)) if before[i] != data[i]}

        found = list(spool_segment.read(bytes(data)))

        assert [each for each in found if not isinstance(each, Damage)] == [
            payload for i, payload in enumerate(payloads) if i not in touched
        ]
        assert any(isinstance(each, Damage) for each in found) == bool(touched)

    def test_counts_what_was_lost_between(self):
        """An operator must know how many answers are gone."""
        first, _, _, last = (spool_segment.frame(i, b"x") for i in range(4))

        assert list(spool_segment.read(first + b"???" + last)) == [
            b"x",
            Damage(len(first), 2),
            b"x",
        ]

    @pytest.mark.parametrize("cut", range(1, 17))
    def test_reads_up_to_a_torn_end(self, cut: int):
        """F03: a power cut in mid-write leaves half a record, whose answer never left."""
        data = spool_segment.frame(0, b"whole") + spool_segment.frame(1, b"")[:cut]

        *whole, torn = spool_segment.read(data)

        if cut < 16:
            assert (whole, torn) == ([b"whole"], Damage(21, None, is_unfinished=True))
        else:
            assert (whole, torn) == ([b"whole"], b"")

    @given(st.binary(min_size=1, max_size=50), st.integers(1, 65))
    def test_knows_a_record_cut_short(self, payload: bytes, cut: int):
        """F03: any beginning of the next record, and nothing else, was on its way."""
        data = spool_segment.frame(0, b"whole")
        torn = spool_segment.frame(1, payload)[: min(cut, 15 + len(payload))]
        other = spool_segment.frame(2, payload)[: len(torn)]

        assert list(spool_segment.read(data + torn))[1].is_unfinished
        assert len(torn) < 8 or not list(spool_segment.read(data + other))[1].is_unfinished

    def test_knows_a_damaged_length_of_the_last_record(self):
        """A whole answer behind a wrong length is no half one: it is kept for a person."""
        data = bytearray(spool_segment.frame(0, b"whole"))
        data[10] ^= 1

        assert list(spool_segment.read(bytes(data))) == [Damage(0, None)]

    def test_takes_half_a_write_back(self, tmp_path: Path):
        """F10: a full disk leaves nothing behind that was not written whole."""
        segment = Segment(tmp_path)
        segment.append([b"x" * 100])

        with files_of_at_most(150), pytest.raises(OSError, match="too large"):
            segment.append([b"y" * 100])

        assert list(spool_segment.read(segment.path.read_bytes())) == [b"x" * 100]
        segment.close()

    def test_is_for_its_owner_alone(self, tmp_path: Path):
        """S15: embeddings and hashes of pictures are nobody else's business."""
        segment = Segment(tmp_path)

        assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
        segment.close()

    def test_cannot_be_taken_while_it_is_written(self, tmp_path: Path):
        """A replayer that deletes what another process still writes would lose answers."""
        segment = Segment(tmp_path)
        with spool_segment.taken(segment.path) as before:
            assert before is None
        segment.close()

        with spool_segment.taken(segment.path) as after:
            assert after == b""


class TestSpool:
    """The folder."""

    def test_is_for_its_owner_alone(self, tmp_path: Path):
        """Also when it was there before with other rights."""
        (tmp_path / "spool").mkdir(mode=0o755)

        Spool(tmp_path / "spool", max_bytes=1)

        assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700

    def test_says_what_it_needs(self, tmp_path: Path):
        """F11: a home that is not ours to write to is said at the start, with the way out."""
        (tmp_path / "spool").write_text("a file")

        with pytest.raises(UsageError, match="WEAKSPOT_HOME"):
            Spool(tmp_path / "spool", max_bytes=1)

    def test_outlives_its_process(self, tmp_path: Path):
        """F03: what a service that died has spooled, the next one finds, in order."""
        entries = [entry(), entry("Cat"), entry("Spider")]
        spooled(tmp_path, *entries)
        spool = Spool(tmp_path, max_bytes=10_000_000)
        keys = list(spool.look_through())

        assert (spool.predictions, keys) == (3, [])
        assert taken(spool) == entries
        assert (spool.predictions, list(tmp_path.iterdir())) == (0, [])

    def test_finds_the_keys_again(self, tmp_path: Path):
        """A retry after the crash must get the answer that was given before it."""
        spooled(tmp_path, entry(), entry(key="k"))

        found = list(Spool(tmp_path, max_bytes=10_000_000).look_through())

        assert [each.kept.key for each in found if each.kept] == ["k"]

    def test_ends_at_its_limit(self, tmp_path: Path):
        """What fits is kept, the rest is told to come again; the disk stays bounded."""
        payload = log_entry.encode(entry())
        spool = Spool(tmp_path, max_bytes=3 * spool_segment.framed_length(payload) + 10)

        assert spool.append([payload] * 2) == 2
        assert spool.append([payload] * 2) == 1
        assert spool.append([payload]) == 0
        assert spool.is_full
        assert spool.size <= spool.max_bytes
        spool.seal()

    def test_goes_on_after_a_full_disk(self, tmp_path: Path):
        """F10: refused while it lasts, well again when it is over; nothing half is left."""
        payload = log_entry.encode(entry())
        spool = Spool(tmp_path, max_bytes=10_000_000)
        assert spool.append([payload]) == 1
        with files_of_at_most(spool.size + 10):
            assert spool.append([payload]) == 0
            assert spool.is_full

        assert spool.append([payload]) == 1
        spool.seal()
        assert not spool.is_full
        assert len(taken(spool)) == 2

    def test_keeps_a_damaged_segment(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        """Whole rows are stored; the file stays for a person, and the log names the place."""
        path = spooled(tmp_path, entry("Cat"), entry("Dog"), entry("Spider"))
        data = bytearray(path.read_bytes())
        place = data.index(b"\xf5\xfeWS", 1)  # not the checksum of the first
        data[place + 100] ^= 1
        path.write_bytes(data)
        spool = Spool(tmp_path, max_bytes=10_000_000)

        labels = [each.prediction.label for each in taken(spool)]

        assert labels == ["Cat", "Spider"]
        assert [each.suffix for each in tmp_path.iterdir()] == [".damaged"]
        assert spool.aside == 1
        assert path.name in caplog.text
        assert f"byte {place}" in caplog.text

    def test_drops_what_was_not_written_whole(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """F03: a kill in mid-write leaves half an answer that nobody got, and no file behind."""
        path = spooled(tmp_path, entry("Cat"), entry("Dog"))
        path.write_bytes(path.read_bytes()[:-7])
        spool = Spool(tmp_path, max_bytes=10_000_000)

        labels = [each.prediction.label for each in taken(spool)]

        assert labels == ["Cat"]
        assert list(tmp_path.iterdir()) == []
        assert "nobody was answered" in caplog.text

    def test_sweeps_files_without_a_name(self, tmp_path: Path):
        """A process that died before its first write leaves an empty file."""
        (tmp_path / f"1-{os.getpid()}.new").touch()

        Spool(tmp_path, max_bytes=1)

        assert list(tmp_path.iterdir()) == []
