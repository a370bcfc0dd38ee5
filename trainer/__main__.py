"""The worker as a program: `weakspot worker`, or `python -m trainer`.

It takes retrainings and trainings, or those of one kind alone: with a worker for each kind, no
long group of trainings stands before an alert's retraining. Torch is loaded with the first job, or
after a while without one: a worker starts quickly, and does not take the processor from the
programs that start beside it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Unpack

from core import logs
from core.clock import open_clock
from core.errors import UsageError, WeakspotError
from core.settings import HomeSettings, TrainerSettings
from core.stopping import stopping_on_signals
from core.store import jobs, registry
from core.store.database import open_database, transaction
from core.store.jobs import RETRAIN, TRAIN, Job
from trainer.tracking.mlflow_mirror import mirroring
from trainer.tracking.tensorboard_log import recorded
from trainer.worker import Around, Work, Worker

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trainer.config import RetrainOptions, RunConfig
    from trainer.pipeline import RetrainOutcome

logger = logging.getLogger(__name__)


def run(home: HomeSettings, settings: TrainerSettings) -> None:
    """Carry out jobs until SIGTERM or Ctrl-C; a job under way then is put back.

    Args:
        home: Where things are, and how to log.
        settings: The worker's knobs.

    Raises:
        StoreError: Postgres cannot be reached at the start.
        UsageError: A mirror or a log is wanted whose package is not installed.
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
            work=_work(home, settings),
            warm_up=_load_torch,
        )
        with mirroring(engine, home.mlflow_uri):
            worker.run_forever(stop, settings.poll_s)


def options_from(settings: TrainerSettings) -> RetrainOptions:
    """Return what the owner chose, as a retraining takes it."""
    from trainer.config import RetrainOptions

    chosen = settings.model_dump()
    names = [field.name for field in fields(RetrainOptions)]
    return RetrainOptions(**{name: chosen[name] for name in names if name in chosen})


def config_from(payload: dict[str, Any], *, device: str = "auto") -> RunConfig:
    """Return the run that a job's payload describes.

    Args:
        payload: The fields of a run by name, as JSON.
        device: Where this worker trains what leaves it open.

    Raises:
        UsageError: It has a name that no run has, or a value that is out of bounds.
    """
    from trainer.config import RunConfig

    known = {each.name for each in fields(RunConfig)}
    unknown = sorted(payload.keys() - known)
    if unknown:
        raise UsageError(f"a run has no {unknown[0]!r}; see: weakspot train --help")
    values: dict[str, Any] = {name: _without_lists(value) for name, value in payload.items()}
    if values.get("device", "auto") == "auto":
        values["device"] = device
    return RunConfig(**values)


def main() -> int:
    """Work until told to stop; return the exit code."""
    home = HomeSettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    try:
        run(home, TrainerSettings())  # pyright: ignore[reportCallIssue] - likewise
    except WeakspotError as error:
        sys.stderr.write(f"weakspot: {error}\n")
        return 1
    return 0


def _work(home: HomeSettings, settings: TrainerSettings) -> dict[str, Work]:
    """Return what this worker does, by kind of job, with a log of each where that is wanted."""
    taken = {kind: each for kind, each in _WORK.items() if settings.jobs in {"all", kind}}
    if not settings.tensorboard:
        return taken
    return {kind: recorded(each, home.tensorboard) for kind, each in taken.items()}


def _without_lists(value: Any) -> Any:
    # JSON knows no tuples.
    return tuple(value) if isinstance(value, list) else value


def _load_torch() -> None:
    from trainer import pipeline

    logger.debug("%s is loaded", pipeline.__name__)


@dataclass(frozen=True, slots=True)
class _Trained:
    """What a training came to, as the worker writes it down."""

    challenger: str
    result: dict[str, Any]
    status: jobs.Outcome = "trained"
    promote: None = None


def _retrain(
    engine: Engine, job: Job, *, options: TrainerSettings, **around: Unpack[Around]
) -> RetrainOutcome:
    """Call the pipeline with the owner's settings, loading it now at the latest."""
    from trainer import pipeline

    return pipeline.retrain(engine, job, options=options_from(options), **around)


def _train(
    engine: Engine, job: Job, *, options: TrainerSettings, **around: Unpack[Around]
) -> _Trained:
    """Train as the job's configuration says."""
    from trainer import pipeline

    if (before := _made_before(engine, job)) is not None:
        return before
    config = config_from(job.payload, device=options.device)
    made = pipeline.train(engine, config, job=job, **around)
    result: dict[str, Any] = {
        "metrics": made.metrics,
        "seconds": round(made.seconds, 1),
        "promoted": made.promoted,
        "also": dict(made.also),
    }
    return _Trained(made.version, result)


def _made_before(engine: Engine, job: Job) -> _Trained | None:
    """Return what an earlier try has registered before its worker died; None without one."""
    with transaction(engine) as connection:
        # Without a champion it was to become the first one, and is made again.
        if job.challenger is None or registry.champion(connection) is None:
            return None
        version = registry.get(connection, job.challenger)
    return _Trained(version.version, {"metrics": version.metrics, "promoted": False})


_WORK: dict[str, Work] = {RETRAIN: _retrain, TRAIN: _train}


if __name__ == "__main__":
    sys.exit(main())
