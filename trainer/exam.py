"""The challenger sits the gate's exam, and takes over if it passes.

Champion and challenger answer the same gate images through the runner that serves; the decision
is the gate's, the promotion is written under the job's fence.
"""

from __future__ import annotations

import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from sqlalchemy import Connection

from core.bundle.runner import Runner
from core.errors import ConflictError
from core.store import jobs, registry
from core.store.registry import Version
from trainer import gate, release
from trainer.config import RetrainOptions
from trainer.dataset import Progress
from trainer.release import Release

Status = Literal["promoted", "refused", "more images"]

_LATENCY_RUNS = 15


def examine(
    champion: Version,
    made: Release,
    job: jobs.Job,
    options: RetrainOptions,
    on_progress: Progress | None,
) -> gate.Verdict:
    """Return the gate's verdict on the release, against the champion on the same images.

    Args:
        champion: The version that serves.
        made: The challenger, with its answers to the gate images.
        job: Names the classes that must be better.
        options: The terms.
        on_progress: Told about images.
    """
    serving, asking = Runner.open(Path(champion.uri)), Runner.open(made.folder)
    readable = made.test.samples
    return gate.examine(
        release.measure(serving, readable, "gate images", on_progress),
        made.test,
        flagged=job.labels,
        margin=options.gate_margin,
        overall_margin=options.gate_overall_margin,
        max_ece=options.max_ece,
        latency_ratio=_latency_ratio(serving, asking),
        max_latency_ratio=options.max_latency_ratio,
        labels=champion.labels,
    )


def _latency_ratio(champion: Runner, challenger: Runner) -> float:
    """Return the challenger's median latency for one image, in multiples of the champion's.

    The two take turns, so that whatever else the machine does meets both alike.
    """
    recipe = challenger.recipe
    image = np.zeros((1, recipe.height, recipe.width, 3), dtype=np.uint8)
    seconds: dict[str, list[float]] = {champion.version: [], challenger.version: []}
    for _ in range(_LATENCY_RUNS):
        for runner in (champion, challenger):
            started = time.perf_counter()
            runner.run(image)
            seconds[runner.version].append(time.perf_counter() - started)
    medians = {version: statistics.median(taken) for version, taken in seconds.items()}
    return medians[challenger.version] / medians[champion.version]


def status_of(verdict: gate.Verdict) -> Status:
    """Return how the job ends, by the gate's verdict."""
    endings: dict[str, Status] = {"promote": "promoted", "refuse": "refused"}
    return endings.get(verdict.decision, "more images")


def promote(
    connection: Connection, job: jobs.Job, champion: Version, challenger: str, *, now: datetime
) -> None:
    """Make the challenger the champion, in the transaction that also ends the job.

    Raises:
        StaleRunError: Another worker has taken the job over.
        ConflictError: The champion is no longer the one it was examined against.
    """
    jobs.require_fence(connection, job)
    serving = registry.champion(connection)
    if serving is None or serving.version != champion.version:
        raise ConflictError(
            f"{challenger} passed against {champion.version}, but the champion is "
            f"{serving.version if serving else 'gone'} now; ask for the retraining again"
        )
    reason = f"passed the gate for {', '.join(job.labels)}: {job.reason}"
    registry.promote(connection, challenger, now=now, by="worker", reason=reason)
