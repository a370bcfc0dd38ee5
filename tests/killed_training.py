"""A training that kills its own process with SIGKILL, as the kernel might.

fork(die_training, url, folder, 7)     # tests.workers.fork; dies at its seventh step
"""

import os
import signal
from pathlib import Path

from core.clock import FixedClock
from core.store import database
from tests.training import NOW, tiny_config
from trainer import pipeline


def die_training(url: str, folder: Path, step: int) -> None:
    """Train `folder/tiny-resnet` for three passes, and die at that step."""

    def look(stage: str, done: int, _total: int) -> None:
        if stage == "training" and done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    pipeline.train(
        database.create_engine(url),
        tiny_config(folder / "tiny-resnet", epochs=3, patience=None),
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
        on_progress=look,
    )
