"""Workers in processes of their own: one that dies by SIGKILL on its way, and one that works on.

fork(work_once, url, home, at, "training", 7)     # dies at that report of progress
fork(work_through, url, home, bundles, gate)      # takes jobs until there is none

The processes are forked off a server that has torch loaded, so that each begins in a moment.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from core.clock import FixedClock, SystemClock
from core.settings import TrainerSettings
from core.store import database, jobs
from core.store.database import transaction
from trainer import __main__ as program
from trainer import lease, pipeline
from trainer.config import RetrainOptions
from trainer.worker import Worker

LEASE_S = 60
OPTIONS = RetrainOptions(
    device="cpu",
    learning_rate=5e-3,
    epochs=2,
    gate_margin=0.25,
    gate_overall_margin=0.1,
    max_ece=0.9,
    max_latency_ratio=1000,
    variants="",
)
CLAIMED = "claimed"  # before anything is done
PROMOTING = "promoting"  # in the transaction that ends the job


def fork(work: Callable[..., None], *given: object) -> BaseProcess:
    """Start a process that does this, and return it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=given, daemon=True)
    process.start()
    return process


def work_once(
    url: str, home: Path, at: datetime, die_at: str = "", done: int = 0, most: int = 99
) -> None:
    """Carry out one job at that moment, and die at a stage that ends so and is so far."""
    lease._TICK_S = 0.05  # pyright: ignore[reportPrivateUsage] - reports are written at once
    worker = Worker(
        database.create_engine(url),
        options=OPTIONS,
        lease_s=LEASE_S,
        max_attempts=most,
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(at),
        name="doomed" if die_at else "spared",
        work={"retrain": _dying(die_at, done) if die_at else pipeline.retrain},
    )
    worker.run_once()


def work_through(url: str, home: Path, bundles: Path, gate: Any) -> None:
    """Carry out jobs until there is none, as the program does."""
    settings = TrainerSettings(device="cpu", _env_file=None)  # pyright: ignore[reportCallIssue]
    worker = Worker(
        database.create_engine(url),
        options=settings,
        lease_s=LEASE_S,
        max_attempts=3,
        bundles=bundles,
        runs=home / "runs",
        clock=SystemClock(),
        name=home.name,
        work=program._WORK,  # pyright: ignore[reportPrivateUsage] - what the program does
    )
    gate.wait()
    while worker.run_once(threading.Event()):
        pass


def _dying(die_at: str, done: int) -> Any:
    def retrain(engine: Engine, job: Any, **rest: Any) -> pipeline.RetrainOutcome:
        on_progress = rest.pop("on_progress")
        if die_at == CLAIMED:
            _die()

        def look(stage: str, so_far: int, total: int) -> None:
            on_progress(stage, so_far, total)
            if stage.endswith(die_at) and so_far >= done:
                _wait_until_told(engine, job, stage)
                _die()

        outcome = pipeline.retrain(engine, job, on_progress=look, **rest)
        assert die_at == PROMOTING, f"it never came to {die_at}"
        on_progress(PROMOTING, 0, 1)
        _wait_until_told(engine, job, PROMOTING)
        _die_after(outcome)
        return outcome

    return retrain


def _die_after(outcome: pipeline.RetrainOutcome) -> None:
    promote = outcome.promote
    assert promote is not None

    def promote_and_die(*given: Any, **named: Any) -> None:
        promote(*given, **named)
        _die()

    object.__setattr__(outcome, "promote", promote_and_die)


def _wait_until_told(engine: Engine, job: Any, stage: str) -> None:
    """Wait until the queue knows how far the job is, so that a death has its stage."""
    for _ in range(1000):
        with transaction(engine) as connection:
            if jobs.get(connection, job.id).progress.get("stage") == stage:
                return
        time.sleep(0.02)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
