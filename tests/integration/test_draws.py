"""A bounded random part of a day's log, drawn by predicted label."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.store import draws, partitions, predictions
from core.store.database import transaction
from core.store.draws import Drawn
from core.store.predictions import Prediction, new_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNTS = {"Cat": 300, "Dog": 90, "Ant": 10}


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction over a day of 300 cats, 90 dogs and 10 ants, each with its own confidence."""
    with transaction(engine) as opened:
        partitions.ensure_partitions(opened, [NOON.date()])
        labels = [label for label, n in COUNTS.items() for _ in range(n)]
        predictions.insert_many(opened, [_said(i, label) for i, label in enumerate(labels)])
        yield opened


def _said(number: int, label: str, version: str = "v1") -> Prediction:
    at = NOON + timedelta(seconds=number)
    return Prediction(
        id=new_id(at),
        at=at,
        version=version,
        label=label,
        confidence=number / 1000,
        top=[],
        margin=0.5,
        entropy=0.5,
        descriptors={"brightness": 0.5},
        latency_ms=5.0,
        image_sha256="ab" * 32,
        embedding=np.full(256, number / 1000, dtype=np.float32),
    )


def _draw(connection: Connection, limit: int, salt: str = "a") -> Drawn:
    return draws.draw(connection, NOON.date(), "v1", COUNTS, limit=limit, salt=salt)


def _which(drawn: Drawn) -> list[int]:
    return np.rint(drawn.columns["confidence"] * 1000).astype(int).tolist()


class TestDraw:
    """`draws.draw`."""

    def test_is_the_same_for_the_same_salt(self, connection: Connection):
        """A day examined again must be judged on the same rows, in the same order."""
        first, again, other = (_which(_draw(connection, 40, salt)) for salt in ("a", "a", "b"))

        assert first == again != other
        assert len(set(first)) == 40

    def test_does_not_depend_on_where_rows_lie(self, connection: Connection):
        """Labels that arrive late move rows about in their table."""
        before = _which(_draw(connection, 40))
        connection.execute(sa.text("UPDATE predictions SET true_label = 'Cat' WHERE label = 'Dog'"))

        assert _which(_draw(connection, 40)) == before

    def test_gives_each_label_its_share(self, connection: Connection):
        """Stratified: no class is missed by bad luck."""
        assert Counter(_draw(connection, 40).labels) == {"Cat": 30, "Dog": 9, "Ant": 1}

    def test_of_more_rows_than_there_are_is_all_of_them(self, connection: Connection):
        """A small day is judged whole."""
        assert sorted(_which(_draw(connection, 10_000))) == list(range(400))

    def test_every_row_has_the_same_chance(self, connection: Connection):
        """First rows of the day, and rare labels, are not drawn any oftener."""
        drawn = Counter(
            row for salt in range(100) for row in _which(_draw(connection, 40, str(salt)))
        )
        halves = sum(drawn[row] for row in range(200)), sum(drawn[row] for row in range(200, 400))

        assert halves[0] / sum(halves) == pytest.approx(0.5, abs=0.03)
        assert max(drawn.values()) < 30

    def test_leaves_other_versions_and_days_alone(self, connection: Connection):
        """What another version said has another embedding."""
        predictions.insert_many(connection, [_said(500, "Cat", "v2")])
        tomorrow = replace(_said(501, "Cat"), at=NOON + timedelta(days=1))
        predictions.insert_many(connection, [replace(tomorrow, id=new_id(tomorrow.at))])

        assert not {500, 501} & set(_which(_draw(connection, 10_000)))

    def test_what_a_row_lacks_is_nan(self, connection: Connection):
        """A row of an older release has no contrast; that must not lose its brightness."""
        drawn = _draw(connection, 40)

        assert np.isnan(drawn.columns["contrast"]).all()
        assert (drawn.columns["brightness"] == 0.5).all()
        assert drawn.embedding[:, 0] == pytest.approx(drawn.columns["confidence"], abs=1e-3)

    def test_of_nothing_is_nothing(self, connection: Connection):
        """A day without predictions."""
        drawn = draws.draw(connection, NOON.date(), "v1", {}, limit=10, salt="a")

        assert (drawn.labels, drawn.embedding.shape) == ([], (0, 256))
