"""Pictures of the traffic that are kept for people to label."""

import hashlib
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, text

from core import catalog
from core.clock import FixedClock
from core.images.archive import Archive
from core.store import inbox, inbox_queue, predictions
from core.store.database import transaction
from core.store.inbox_queue import Desk
from core.store.predictions import Filter, Prediction, new_id
from service.log.keeping import Bounds, Keeper, stream_of
from tests.inbox import SENT_AT, fill
from tests.pool import register
from tests.serving import jpeg_of, serving

NOW = SENT_AT + timedelta(days=2)


def _prediction(number: int, margin: float) -> Prediction:
    """Return an answer whose id has its random bits at a share of their range."""
    share = number / 1000
    bits = new_id(SENT_AT).int >> 62 << 62 | int(share * (1 << 62))
    return Prediction(
        id=UUID(int=bits),
        at=SENT_AT,
        version="v1",
        label="Cat",
        confidence=0.5,
        top=[],
        margin=margin,
        entropy=0.5,
        descriptors={},
        latency_ms=1.0,
        image_sha256="0" * 64,
    )


class TestStreams:
    """Which pictures are kept, and what for."""

    def test_are_drawn_without_a_look_at_the_answer(self):
        """Half of a tenth of the sure and of the unsure alike; close calls are extra."""
        kept = {
            margin: Counter(stream_of(_prediction(i, margin), 0.1) for i in range(1000))
            for margin in (0.9, 0.05)
        }

        assert kept[0.9] == {"drawn": 50, "aimed": 50, None: 900}
        assert kept[0.05] == {"drawn": 50, "aimed": 350, None: 600}


class TestKeeper:
    """The thread that keeps them."""

    def test_keeps_what_the_service_was_sent_for_the_inbox(self, engine: Engine, tmp_path: Path):
        """The file as it came, beside the answer to it; sent again, it is there once."""
        register(engine, tmp_path / "bundles")
        sent = jpeg_of("Dog")
        with serving(engine, tmp_path, keep_share=1.0) as service:
            answers = [service.post("/v1/predict", content=sent).json() for _ in range(2)]
            until = time.monotonic() + 10
            taken = None
            while taken is None and time.monotonic() < until:
                time.sleep(0.05)
                with transaction(engine) as connection:
                    taken = inbox_queue.take(connection, Desk("anna", "1"), now=SENT_AT)

        assert taken is not None
        assert str(taken.item.prediction) in {each["id"] for each in answers}
        assert taken.item.label == answers[0]["label"]
        assert Archive(tmp_path / "archive").get(taken.item.sha256) == sent
        with transaction(engine) as connection:
            assert connection.execute(text("SELECT count(*) FROM inbox")).scalar_one() == 1

    def test_deletes_what_is_old_and_what_there_is_no_room_for(
        self, engine: Engine, tmp_path: Path
    ):
        """The disk is no landfill."""
        version = register(engine, tmp_path / "bundles")
        fill(engine, tmp_path, version, ["Cat"] * 3)
        fill(engine, tmp_path, version, ["Dog"] * 3, at=NOW, seed=1)
        archive = Archive(tmp_path / "archive")
        bounds = Bounds(share=1.0, most_bytes=0, days=1)
        roomy = replace(bounds, most_bytes=10**9)
        counts = [_files(archive)]
        for each in (roomy, bounds):
            keeper = Keeper(engine, archive, bounds=each, clock=FixedClock(NOW))
            keeper.tidy()
            counts.append(_files(archive))

        assert counts == [6, 3, 0]
        with transaction(engine) as connection:
            assert inbox.progress(connection, by="anna", since=SENT_AT).waiting == {}
            assert predictions.count(connection, Filter()) == 6

    def test_deletes_what_an_import_has_brought_into_the_pool(self, engine: Engine, tmp_path: Path):
        """A copy that nobody is asked about; what is on a screen right now waits."""
        items = fill(engine, tmp_path, register(engine, tmp_path / "bundles"), ["Cat"] * 4)
        archive = Archive(tmp_path / "archive")
        held, imported, own, waiting = (_digest(engine, item) for item in items)
        _import(
            engine, {held: tmp_path / "a", imported: tmp_path / "b", own: archive.root}, archive
        )
        with transaction(engine) as connection:
            holding = text("UPDATE inbox SET held_until = :until WHERE sha256 = :held")
            connection.execute(holding, {"until": NOW + timedelta(minutes=1), "held": held})
        bounds = Bounds(share=1.0, most_bytes=10**9, days=30)
        counts = [
            Keeper(engine, archive, bounds=bounds, clock=FixedClock(NOW + each)).tidy()
            for each in (timedelta(), timedelta(), timedelta(minutes=2))
        ]

        assert counts == [1, 0, 1]
        kept = {path.name for path in archive.root.rglob("*") if path.is_file()}
        assert kept == {own, waiting}

    def test_asks_about_nothing_that_an_import_brings_at_that_moment(
        self, engine: Engine, tmp_path: Path
    ):
        """Neither sees yet what the other one writes; so the picture waits for the import's end."""
        archive = Archive(tmp_path / "archive")
        bounds = Bounds(share=1.0, most_bytes=10**9, days=30)
        keeper = Keeper(engine, archive, bounds=bounds, clock=FixedClock(NOW))
        for seed in (0, 1):
            data = jpeg_of("Dog", seed)
            sha256 = hashlib.sha256(data).hexdigest()
            keeper.offer(replace(_prediction(seed, 0.9), image_sha256=sha256), data)
            (tmp_path / f"{seed}.jpg").write_bytes(data)
        (tmp_path / "list.csv").write_text(f"path,label\n{tmp_path / '0.jpg'},Dog")
        kept: list[int] = []

        def keep(stage: str, done: int, total: int) -> None:
            if stage == "storing" and done == total:
                kept.append(keeper.keep())

        catalog.import_images(engine, str(tmp_path / "list.csv"), added_at=NOW, on_progress=keep)

        assert (kept, keeper.keep()) == ([0], 1)
        with transaction(engine) as connection:
            assert inbox.progress(connection, by="anna", since=SENT_AT).waiting == {"drawn": 1}

    def test_deletes_what_is_old_where_none_are_kept_any_more(self, engine: Engine, tmp_path: Path):
        """To set the share to 0 again is no reason to keep what there is for ever."""
        fill(engine, tmp_path, register(engine, tmp_path / "bundles"), ["Cat"])
        archive = Archive(tmp_path / "archive")
        with serving(engine, tmp_path, clock=FixedClock(NOW), keep_share=0, retention_days=1):
            until = time.monotonic() + 10
            while _files(archive) and time.monotonic() < until:
                time.sleep(0.05)

        assert _files(archive) == 0

    def test_finds_again_what_a_stop_has_left(self, engine: Engine, tmp_path: Path):
        """The file had gone, and nobody had been told."""
        (item,) = fill(engine, tmp_path, register(engine, tmp_path / "bundles"), ["Cat"])
        archive, digest = Archive(tmp_path / "archive"), _digest(engine, item)
        _import(engine, {digest: tmp_path / "a"}, archive)
        archive.path(digest).unlink()
        bounds = Bounds(share=1.0, most_bytes=10**9, days=30)
        keeper = Keeper(engine, archive, bounds=bounds, clock=FixedClock(NOW))

        assert [keeper.tidy(), keeper.tidy()] == [1, 0]


def _digest(engine: Engine, item: int) -> str:
    with transaction(engine) as connection:
        return inbox.get(connection, item).sha256


def _import(engine: Engine, places: dict[str, Path], archive: Archive) -> None:
    """Take pictures of the archive into the pool by a list: copies in a folder, or themselves."""
    lines = ["path,label"]
    for digest, folder in places.items():
        path = archive.path(digest)
        if folder != archive.root:
            folder.mkdir()
            path = folder / "copy.png"
            path.write_bytes(archive.get(digest))
        lines.append(f"{path},Cat")
    listed = archive.root.parent / "list.csv"
    listed.write_text("\n".join(lines))
    assert catalog.import_images(engine, str(listed), added_at=NOW).added == len(places)


def _files(archive: Archive) -> int:
    return sum(path.is_file() for path in archive.root.rglob("*"))
