"""The challenger sits the gate's exam, and takes over if it passes.

Champion and challenger answer the same gate images through the runner that serves; the decision
is the gate's, the promotion is written under the job's fence.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from sqlalchemy import Connection

from core.bundle.runner import Runner
from core.errors import ConflictError
from core.evaluation import Evaluation
from core.store import jobs, registry
from core.store.registry import Version
from trainer.bundling import release
from trainer.config import RetrainOptions
from trainer.exams import gate
from trainer.images.dataset import Progress

Status = Literal["promoted", "refused", "more images"]

_LATENCY_RUNS = 15


@dataclass(frozen=True, slots=True)
class Sitting:
    """Who sits the exam, and what it answered.

    Attributes:
        runner: The challenger.
        answers: Its answers to the gate images.
    """

    runner: Runner
    answers: Evaluation


def examine(
    champion: Version,
    sitting: Sitting,
    flagged: Sequence[str],
    options: RetrainOptions,
    *,
    earlier: gate.Verdict | None = None,
    on_progress: Progress | None = None,
) -> gate.Verdict:
    """Return the gate's verdict on a challenger, against the champion on the same images.

    Args:
        champion: The version that serves.
        sitting: The challenger, with its answers to the gate images.
        flagged: The classes that must be better.
        options: The terms.
        earlier: The verdict of the last look at this challenger; None at the first.
        on_progress: Told about images.
    """
    serving = Runner.open(Path(champion.uri))
    return gate.examine(
        release.measure(serving, sitting.answers.samples, "gate images", on_progress),
        sitting.answers,
        flagged=flagged,
        margin=options.gate_margin,
        overall_margin=options.gate_overall_margin,
        max_ece=options.max_ece,
        latency_ratio=_latency_ratio(serving, sitting.runner),
        max_latency_ratio=options.max_latency_ratio,
        labels=champion.labels,
        earlier=earlier,
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
