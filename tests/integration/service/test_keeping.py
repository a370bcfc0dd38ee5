"""Pictures of the traffic that are kept for people to label."""

import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, text

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


def _files(archive: Archive) -> int:
    return sum(path.is_file() for path in archive.root.rglob("*"))
