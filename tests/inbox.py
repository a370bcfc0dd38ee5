"""Pictures of the traffic in the inbox, with their predictions in the log and their bytes on disk.

items = fill(engine, home, register(engine, home / "bundles"), ["Spider", "Cat"], stream="drawn")
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.clock import day_bounds
from core.images.archive import Archive
from core.store import inbox, predictions
from core.store.database import transaction
from core.store.inbox import Arrival, Stream
from core.store.predictions import Prediction, new_id
from core.store.registry import Version
from tests.images import png
from tests.pool import FIRST_DAY
from tests.tiny import picture

SENT_AT = day_bounds(FIRST_DAY)[0] + timedelta(hours=9)


def fill(
    engine: Engine,
    home: Path,
    version: Version,
    answers: Sequence[str],
    *,
    stream: Stream = "aimed",
    at: datetime = SENT_AT,
    margin: float = 0.05,
    seed: int = 0,
) -> list[int]:
    """Let the version answer drawn pictures, a second after one another; return their numbers.

    Args:
        engine: Where log and inbox are.
        home: Its archive gets the bytes.
        version: Who answers.
        answers: What it says of each.
        stream: How they come into the inbox.
        at: When the first was sent.
        margin: How sure the version is.
        seed: Others give other pictures.
    """
    moments = [at + timedelta(seconds=place) for place in range(len(answers))]
    with transaction(engine) as connection:
        return [
            _add(connection, home, _answer(home, version, said, moment, margin, seed), stream)
            for said, moment in zip(answers, moments, strict=True)
        ]


def _answer(
    home: Path, version: Version, said: str, at: datetime, margin: float, seed: int
) -> Prediction:
    drawn = picture(said, labels=version.labels, seed=900_000 + 1000 * seed + at.second)
    # Large enough to be looked at, and no two alike.
    data = png(np.kron(drawn, np.ones((8, 8, 1), dtype=np.uint8)))
    sha256 = Archive(home / "archive").put(data)
    second = version.labels[version.labels.index(said) - 1]
    top = [
        {"label": said, "probability": 0.5 + margin / 2},
        {"label": second, "probability": 0.5 - margin / 2},
    ]
    return Prediction(
        id=new_id(at),
        at=at,
        version=version.version,
        label=said,
        confidence=0.5 + margin / 2,
        top=top,
        margin=margin,
        entropy=0.7,
        descriptors={},
        latency_ms=5.0,
        image_sha256=sha256,
    )


def _add(connection: Connection, home: Path, prediction: Prediction, stream: Stream) -> int:
    predictions.insert_many(connection, [prediction])
    sha256 = prediction.image_sha256
    arrival = Arrival(
        stream=stream,
        sha256=sha256,
        at=prediction.at,
        place=prediction.id.int & 0xFFFF,
        prediction=prediction.id,
        version=prediction.version,
        label=prediction.label,
        top=prediction.top,
        margin=prediction.margin,
        bytes=Archive(home / "archive").path(sha256).stat().st_size,
    )
    assert inbox.add(connection, arrival, now=prediction.at)
    number = sa.text("SELECT id FROM inbox WHERE sha256 = :sha256")
    return connection.execute(number, {"sha256": sha256}).scalar_one()
