"""A training in which the first rank kills the second, as the kernel might: for Ray's workers.

on_ranks(partial(one_rank, url, config, folder, 2), ...)     # dies after its second pass
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from core.clock import FixedClock
from core.store import database
from tests.training import NOW
from trainer import pipeline, ranks
from trainer.config import RunConfig
from trainer.fitting.fit import Epoch


def one_rank(url: str, config: RunConfig, folder: Path, last: int) -> None:
    """Train as one rank of two, of which the second is killed after so many passes."""
    number = ranks.this_rank().number
    (folder / f"pid-{number}").write_text(str(os.getpid()))

    def look(epoch: Epoch) -> None:
        # The passes before this one are saved by now.
        if epoch.number == last + 1:
            os.kill(int((folder / "pid-1").read_text()), signal.SIGKILL)

    pipeline.train(
        database.create_engine(url),
        config,
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
        on_epoch=look,
    )
