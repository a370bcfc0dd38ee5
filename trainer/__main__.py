"""The worker as a program: `weakspot worker`, or `python -m trainer`.

Torch is loaded with the first job, or after a while without one: a worker starts quickly, and
does not take the processor from the programs that start beside it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from core import logs
from core.clock import Clock, open_clock
from core.errors import WeakspotError
from core.settings import HomeSettings, TrainerSettings
from core.stopping import stopping_on_signals
from core.store.database import open_database
from core.store.jobs import Job
from trainer.lease import Progress
from trainer.worker import Worker

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trainer.config import RetrainOptions
    from trainer.pipeline import RetrainOutcome

logger = logging.getLogger(__name__)


def run(home: HomeSettings, settings: TrainerSettings) -> None:
    """Carry out retrainings until SIGTERM or Ctrl-C; a job under way then is put back.

    Args:
        home: Where things are, and how to log.
        settings: The worker's knobs.

    Raises:
        StoreError: Postgres cannot be reached at the start.
    """
    logs.configure(home.log_level, home.log_format)
    stop = threading.Event()
    with stopping_on_signals(stop), open_database(home.database_url, home.postgres) as engine:
        worker = Worker(
            engine,
            options=settings,
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            bundles=home.bundles.absolute(),
            runs=home.runs.absolute(),
            clock=open_clock(home.clock_file),
            name=f"{socket.gethostname()}/{os.getpid()}",
            retrain=_retrain,
            warm_up=_load_torch,
        )
        worker.run_forever(stop, settings.poll_s)


def options_from(settings: TrainerSettings) -> RetrainOptions:
    """Return what the owner chose, as a retraining takes it."""
    from trainer.config import RetrainOptions

    chosen = settings.model_dump()
    names = [field.name for field in fields(RetrainOptions)]
    return RetrainOptions(**{name: chosen[name] for name in names if name in chosen})


def main() -> int:
    """Work until told to stop; return the exit code."""
    home = HomeSettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    try:
        run(home, TrainerSettings())  # pyright: ignore[reportCallIssue] - likewise
    except WeakspotError as error:
        sys.stderr.write(f"weakspot: {error}\n")
        return 1
    return 0


def _load_torch() -> None:
    from trainer import pipeline

    logger.debug("%s is loaded", pipeline.__name__)


def _retrain(  # noqa: PLR0913 - trainer.worker.Retrain has it so
    engine: Engine,
    job: Job,
    *,
    options: TrainerSettings,
    bundles: Path,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None,
) -> RetrainOutcome:
    """Call the pipeline with the owner's settings, loading it now at the latest."""
    from trainer import pipeline

    return pipeline.retrain(
        engine,
        job,
        options=options_from(options),
        bundles=bundles,
        runs=runs,
        clock=clock,
        on_progress=on_progress,
    )


if __name__ == "__main__":
    sys.exit(main())
