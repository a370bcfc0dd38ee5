"""`python -m tests.log_writer URL FOLDER`: a prediction log to be killed in mid-commit.

It commits predictions as fast as it can, each with a key, and prints the id of each once it may be
answered.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core.store.database import create_engine
from core.store.idempotency import Kept
from core.store.predictions import Prediction, new_id
from service.log.log_store import LogStore
from service.log.prediction_log import PredictionLog
from service.log.spool import Spool

_CALLERS = 16


def said(label: str = "Dog") -> Prediction:
    """Return a prediction about to be written."""
    at = datetime.now(UTC)
    return Prediction(
        id=new_id(at),
        at=at,
        version="v1",
        label=label,
        confidence=0.75,
        top=[{"label": label, "probability": 0.75}],
        margin=0.5,
        entropy=0.5,
        descriptors={"brightness": 0.5},
        latency_ms=12.5,
        image_sha256="ab" * 32,
        embedding=np.linspace(-1, 1, 256, dtype=np.float32),
        request_id="r1",
    )


def kept_of(prediction: Prediction) -> Kept:
    """Return what is kept of a prediction, under its own id as the key."""
    answer = {"id": str(prediction.id)}
    return Kept("test", str(prediction.id), b"\x00" * 32, prediction.id, answer, prediction.at)


async def _call(log: PredictionLog) -> None:
    while True:
        prediction = said()
        await log.commit(prediction, kept_of(prediction))
        sys.stdout.write(f"{prediction.id}\n")
        sys.stdout.flush()


async def _main(url: str, folder: Path) -> None:
    store = LogStore(create_engine(url))
    store.start()
    log = PredictionLog(store, Spool(folder, max_bytes=100_000_000), max_waiting=100)
    log.start()
    await asyncio.gather(*[_call(log) for _ in range(_CALLERS)])


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2])))
