"""The prediction log: written in groups, found by id, walked page by page."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.errors import NotFoundError, StoreError
from core.store import audit, draws, partitions, predictions
from core.store.database import transaction
from core.store.predictions import Filter, Position, Prediction, new_id

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction that is committed when the test ends."""
    with transaction(engine) as opened:
        yield opened


def said(label: str = "Dog", *, at: datetime = NOON, version: str = "v1") -> Prediction:
    """Return a prediction about to be written."""
    return Prediction(
        id=new_id(at),
        at=at,
        version=version,
        label=label,
        confidence=0.75,
        top=[{"label": label, "probability": 0.75}, {"label": "Other", "probability": 0.25}],
        margin=0.5,
        entropy=0.5625,
        descriptors={"brightness": 0.5, "aspect": 1.5},
        latency_ms=12.5,
        image_sha256="ab" * 32,
        embedding=np.linspace(-1, 1, 256, dtype=np.float32),
        request_id="r1",
    )


def walk(connection: Connection, wanted: Filter, limit: int) -> list[UUID]:
    """Follow the pages to the end, and return the ids met."""
    met: list[UUID] = []
    after: Position | None = None
    while True:
        page = predictions.page(connection, wanted, after=after, limit=limit)
        met += [prediction.id for prediction in page.predictions]
        if page.next is None:
            return met
        after = page.next


class TestNewId:
    """UUIDv7 of a given moment."""

    def test_is_version_7_and_holds_its_moment(self):
        """RFC 9562: other tools read the time off the id."""
        identity = new_id(NOON)

        assert (identity.version, identity.variant) == (7, "specified in RFC 4122")
        assert identity.int >> 80 == int(NOON.timestamp() * 1000)

    def test_sorts_by_time_to_the_microsecond(self):
        """Rows of one partition then lie in the order they came."""
        moments = [NOON + timedelta(microseconds=i) for i in range(2000)]

        ids = [new_id(moment) for moment in moments]

        assert ids == sorted(ids)

    def test_is_different_each_time(self):
        """Under a fixed clock a thousand images share one moment."""
        assert len({new_id(NOON) for _ in range(1000)}) == 1000


class TestInsertMany:
    """Writing a group of answers."""

    def test_keeps_every_field(self, connection: Connection):
        """What is asked of the log in a year must be what was answered today."""
        row = replace(said(), true_label="Cat", labelled_at=NOON, labelled_by="test")

        predictions.insert_many(connection, [row])

        assert predictions.get(connection, row.id) == row

    def test_keeps_embeddings_in_half_precision(self, connection: Connection):
        """Drift is looked for in them; three digits are enough and half the room."""
        row = said()

        predictions.insert_many(connection, [row, replace(said(), embedding=None)])

        kept = draws.draw(connection, NOON.date(), "v1", {"Dog": 2}, limit=10, salt="s").embedding
        whole = np.isfinite(kept).all(axis=1)
        assert row.embedding is not None
        assert kept[whole][0] == pytest.approx(row.embedding, abs=1e-3)
        assert np.isnan(kept[~whole]).all()

    def test_takes_labels_of_any_alphabet(self, connection: Connection):
        """I17: class names round-trip exactly."""
        row = said("שלום\t\\N,\"'; DROP TABLE predictions; -- é")

        predictions.insert_many(connection, [row])

        assert predictions.get(connection, row.id).label == row.label

    def test_writes_all_or_none(self, engine: Engine):
        """F03: a group has no halves."""
        good, bad = said(), said(at=NOON + timedelta(seconds=1))

        with (
            pytest.raises(StoreError, match="could not be written"),
            transaction(engine) as connection,
        ):
            predictions.insert_many(connection, [good, replace(bad, label="nul \0")])

        with transaction(engine) as connection:
            assert predictions.count(connection, Filter()) == 0

    def test_refuses_a_second_row_of_the_same_id(self, engine: Engine):
        """An answer is in the log once."""
        row = said()
        with transaction(engine) as connection:
            predictions.insert_many(connection, [row])

        with pytest.raises(StoreError), transaction(engine) as connection:
            predictions.insert_many(connection, [row])

    def test_leaves_no_broken_connection_behind(self, engine: Engine):
        """F21: after a connection dies in mid-write the next write works."""

        def write_while_killed() -> None:
            with transaction(engine) as connection:
                own = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
                with engine.connect() as other:
                    other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
                predictions.insert_many(connection, [said()])

        with pytest.raises(StoreError):
            write_while_killed()

        with transaction(engine) as connection:
            predictions.insert_many(connection, [said()])
            assert predictions.count(connection, Filter()) == 1


class TestGet:
    """One prediction by its id."""

    @pytest.mark.parametrize("unknown", [uuid4(), UUID(int=0), UUID(int=2**128 - 1), new_id(NOON)])
    def test_says_so_when_there_is_none(self, connection: Connection, unknown: UUID):
        """S02: any id may be asked for, also one beyond all time."""
        with pytest.raises(NotFoundError, match=str(unknown)):
            predictions.get(connection, unknown)

    def test_looks_into_one_partition_only(self, connection: Connection):
        """With 90 days kept, an id must not be looked for in each of them."""
        days = [NOON.date() + timedelta(days=i) for i in range(5)]
        partitions.ensure_partitions(connection, days)
        row = said()
        predictions.insert_many(connection, [row])

        plan = connection.execute(
            sa.text(
                "EXPLAIN SELECT * FROM predictions WHERE id = :id AND at >= :start AND at < :end"
            ),
            {"id": row.id, "start": NOON, "end": NOON + timedelta(milliseconds=1)},
        )

        scanned = " ".join(plan.scalars())
        assert "predictions_20260301" in scanned
        assert "predictions_20260302" not in scanned
        assert predictions.get(connection, row.id) == row


class TestPage:
    """The list, the newest first."""

    @pytest.mark.parametrize("limit", [1, 7, 500])
    def test_walk_meets_every_row_once(self, connection: Connection, limit: int):
        """Many rows share a moment: neither they nor the page's edge may hide or repeat one."""
        partitions.ensure_partitions(connection, [NOON.date()])
        hours = [-20, 0, 0, 1, 0, 20, 0, 0]
        moments = [NOON + timedelta(hours=each) for each in hours * 5]
        rows = [said(at=moment) for moment in moments]
        predictions.insert_many(connection, rows)

        met = walk(connection, Filter(), limit)

        expected = sorted(rows, key=lambda row: (row.at, row.id), reverse=True)
        assert met == [row.id for row in expected]

    def test_walk_is_not_disturbed_by_new_rows(self, connection: Connection):
        """Traffic does not stop while somebody reads."""
        rows = [said(at=NOON + timedelta(seconds=i)) for i in range(4)]
        predictions.insert_many(connection, rows)
        first = predictions.page(connection, Filter(), limit=2)

        predictions.insert_many(connection, [said(at=NOON + timedelta(seconds=9))])

        second = predictions.page(connection, Filter(), after=first.next, limit=2)
        met = [row.id for row in (*first.predictions, *second.predictions)]
        assert met == [row.id for row in reversed(rows)]
        assert second.next is None

    def test_filters_by_everything_at_once(self, connection: Connection):
        """Each filter narrows; none widens."""
        later = NOON + timedelta(hours=1)
        rows = [
            said("Dog"),
            said("Dog", at=later),
            said("Dog", at=later, version="v2"),
            said("Cat", at=later),
        ]
        predictions.insert_many(connection, rows)
        predictions.set_label(connection, rows[0].id, "Cat", by="test", now=later)

        def found(**filters: object) -> set[UUID]:
            page = predictions.page(connection, Filter(**filters))
            return {row.id for row in page.predictions}

        ids = [row.id for row in rows]
        assert found(label="Dog") == {*ids[:3]}
        assert found(version="v2") == {ids[2]}
        assert found(start=later) == {*ids[1:]}
        assert found(end=later) == found(labelled=True) == {ids[0]}
        assert found(label="Dog", version="v1", start=later, labelled=False) == {ids[1]}

    def test_takes_moments_of_any_zone(self, connection: Connection):
        """13:00 in Berlin is noon in UTC."""
        predictions.insert_many(connection, [said()])
        berlin = timezone(timedelta(hours=1))

        assert predictions.count(connection, Filter(start=NOON.astimezone(berlin))) == 1


class TestSetLabel:
    """The truth, when it arrives."""

    def test_is_kept_with_who_and_when(self, connection: Connection):
        """Accuracy in production is counted from these."""
        row = said("Dog")
        predictions.insert_many(connection, [row])

        predictions.set_label(connection, row.id, "Cat", by="anna", now=NOON)

        found = predictions.get(connection, row.id)
        assert (found.true_label, found.labelled_by, found.labelled_at) == ("Cat", "anna", NOON)

    def test_leaves_a_trail_when_it_changes(self, connection: Connection):
        """A label that was overwritten must still be explainable."""
        row = said("Dog")
        predictions.insert_many(connection, [row])

        predictions.set_label(connection, row.id, "Cat", by="anna", now=NOON)
        predictions.set_label(connection, row.id, "Dog", by="ben", now=NOON)

        deeds = [(deed.by, deed.action, deed.detail) for deed in audit.latest(connection)]
        assert deeds == [
            ("ben", "label", {"label": "Dog", "before": "Cat"}),
            ("anna", "label", {"label": "Cat", "before": None}),
        ]

    def test_refuses_what_was_never_answered(self, connection: Connection):
        """A typo in an id must not vanish silently."""
        with pytest.raises(NotFoundError):
            predictions.set_label(connection, new_id(NOON), "Cat", by="anna", now=NOON)
