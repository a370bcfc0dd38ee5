"""The gate's next look at a challenger that was told "more images", when they are there.

Nothing is trained. The challenger that lies registered is examined again, over the gate images of
before and those that came since; what was shown before stays shown, and each look errs by less
(trainer.exams.gate_rule). Whoever asks for it names the job that ended with "more images"; where
another champion serves by now, or the challenger's terms have changed, there is nothing to go on
with.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from core.bundle.runner import Runner
from core.errors import NotFoundError, TrainingError
from core.store import images, job_rows, registry
from core.store.database import transaction
from core.store.images import Sample
from core.store.job_rows import LOOK_AGAIN, Job
from core.store.registry import Version
from trainer.aiming import near
from trainer.bundling import release
from trainer.config import RetrainOptions
from trainer.exams import exam
from trainer.exams.gate import Verdict
from trainer.images.dataset import Progress
from trainer.images.snapshot import freeze


@dataclass(frozen=True, slots=True)
class Pending:
    """A challenger whose exam is not over.

    Attributes:
        champion: The version it was examined against, and that still serves.
        challenger: The version.
        labels: The classes it must be better on.
        verdict: Of the last look.
        result: Of the job that made it, or looked last.
    """

    champion: Version
    challenger: Version
    labels: tuple[str, ...]
    verdict: Verdict
    result: dict[str, Any]


def pending(connection: Connection, job: Job, champion: Version) -> Pending | None:
    """Return the challenger that a job is to look at again; None where it is to train one.

    Args:
        connection: Where jobs and versions are.
        job: The retraining.
        champion: The version that serves.
    """
    number = job.payload.get(LOOK_AGAIN)
    if number is None:
        return None
    try:
        last = job_rows.get(connection, int(number))
        verdict = Verdict.from_dict((last.result or {}).get("gate") or {})
        challenger = registry.get(connection, last.challenger or "")
    except (NotFoundError, TrainingError):
        return None
    if last.status != "more images" or (last.result or {}).get("champion") != champion.version:
        return None
    flagged = tuple(each.label for each in verdict.flagged)
    return Pending(champion, challenger, flagged, verdict, last.result or {})


def examine(
    engine: Engine,
    found: Pending,
    options: RetrainOptions,
    *,
    at: datetime,
    on_progress: Progress | None = None,
) -> tuple[Verdict, dict[str, Any]]:
    """Return the verdict of the next look, and the job's result with it.

    Args:
        engine: The database.
        found: The challenger.
        options: The terms; those of the looks before must be the same.
        at: Gate images that came later are left out.
        on_progress: Told about images.

    Raises:
        TrainingError: The terms have changed, or most gate images cannot be read.
        BundleError: One of the two cannot be loaded.
    """
    _require_same_terms(found.verdict, options)
    with transaction(engine) as connection:
        samples = _gate_images(connection, found, at)
    asking = Runner.open(Path(found.challenger.uri))
    answers = release.measure(asking, samples, "gate images", on_progress)
    verdict = exam.examine(
        found.champion,
        exam.Sitting(asking, answers),
        found.labels,
        options,
        earlier=found.verdict,
        on_progress=on_progress,
    )
    looks = [*found.result.get("looks", []), _summary(found.verdict)]
    return verdict, found.result | {"gate": verdict.to_dict(), "looks": looks, "missing": {}}


def _gate_images(connection: Connection, found: Pending, at: datetime) -> list[Sample]:
    """Return the gate images of before, and new ones that the challenger has not learnt from."""
    labels, since = found.champion.labels, found.challenger.snapshot_at
    gate = images.samples(connection, split="test", labels=labels, added_by=at, trusted=True)
    new = images.samples(
        connection, split="test", labels=labels, added_after=since, added_by=at, trusted=True
    )
    learnt = freeze(connection, at=since, labels=labels).train
    repeating = near.repeating(connection, new, learnt)
    return [sample for sample in gate if sample.id not in repeating]


def _require_same_terms(verdict: Verdict, options: RetrainOptions) -> None:
    terms = {
        "gate_margin": (verdict.margin, options.gate_margin),
        "gate_overall_margin": (verdict.overall_margin, options.gate_overall_margin),
        "max_ece": (verdict.max_ece, options.max_ece),
        "max_latency_ratio": (verdict.max_latency_ratio, options.max_latency_ratio),
    }
    for name, (before, now) in terms.items():
        if before != now:
            raise TrainingError(
                f"the exam began with {name} {before:g} and the settings say {now:g} now; terms "
                "are fixed before an exam: set it back, or ask for a new retraining"
            )


def _summary(verdict: Verdict) -> dict[str, Any]:
    return {
        "look": verdict.look,
        "alpha": verdict.alpha,
        "decision": verdict.decision,
        "images": verdict.overall.n,
        "reasons": list(verdict.reasons),
    }
