"""One training, and one retraining, each on one page.

Training: a frozen list of images -> decoded once -> fitted -> released (exported, checked against
torch, measured as it will serve, written whole) -> registered. Retraining: the champion learns on
over old and new images, the point between its old and its new weights is chosen, and the
challenger sits the gate's exam against it; only a pass may move the alias.

Whatever raises on the way leaves the champion as it is; a pass is promoted by whoever ends the job.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import Connection, Engine

from core.bundle.content import content_digest
from core.bundle.runner import Runner
from core.clock import Clock
from core.errors import BundleError, ConflictError, TrainingError
from core.store import jobs, registry
from core.store.database import transaction
from core.store.registry import Version
from trainer import ranks
from trainer.aiming import material
from trainer.aiming.material import Material
from trainer.bundling import release
from trainer.bundling.release import Candidate, Release
from trainer.candidates import Sources, fine_tuned, frozen, run_name, trained
from trainer.config import RetrainOptions, RunConfig
from trainer.exams import exam, gate, next_look
from trainer.fitting.fit import FitReport, OnEpoch
from trainer.images.dataset import Progress
from trainer.run_folder import begun, run_folder

__all__ = ["RetrainOptions", "RetrainOutcome", "RunConfig", "TrainResult", "retrain", "train"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A version that was trained.

    Attributes:
        version: Its name.
        seconds: What it took.
        metrics: `{"val": {...}, "test": {...}}`.
        promoted: Whether it became the champion, because there was none.
        digest: Of its content: the same for the same images, configuration and machine.
        resumed_after: Passes that an earlier run had made, before it was killed.
        left_out: Classes that had too few training images, and how many they had.
        also: What was handed out besides, and where (trainer.networks.handout).
    """

    version: str
    seconds: float
    metrics: dict[str, Any]
    promoted: bool
    digest: str
    resumed_after: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetrainOutcome:
    """What a retraining came to.

    Attributes:
        challenger: The version it made.
        verdict: The gate's.
        status: `promoted`, `refused` or `more images`, as the job ends.
        result: All numbers, as JSON: the gate's verdict under `gate`.
        promote: Moves the champion, where it passed: called with the connection and `now` in the
            transaction that ends the job, so that neither happens without the other.
    """

    challenger: str | None
    verdict: gate.Verdict | None
    status: exam.Status
    result: dict[str, Any]
    promote: Callable[..., None] | None = None


def train(  # noqa: PLR0913 - each is named by its caller
    engine: Engine,
    config: RunConfig,
    *,
    bundles: Path,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    job: jobs.Job | None = None,
) -> TrainResult:
    """Train a version on the pool as it stands now; the first one becomes the champion.

    A run that was killed is gone on with, from its last whole pass, by calling this again while
    pool and configuration are the same.

    Args:
        engine: The database.
        config: What to train, and how.
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is.
        on_progress: Told about stages.
        on_epoch: Told about each pass over the images; what it raises ends the run.
        job: The claimed job it is for, whose fence guards what is registered; None without one.

    Raises:
        TrainingError: The pool, the backbone or the run gives nothing usable.
        BundleError: The export is wrong, or the bundle cannot be written.
        StaleRunError: Another worker has taken the job over.
    """
    started = time.monotonic()
    torch.manual_seed(config.seed)

    def released(candidate: Candidate, report: FitReport, folder: Path) -> TrainResult:
        made = release.build(
            engine, candidate, bundles=bundles, folder=folder, clock=clock, on_progress=on_progress
        )
        promoted = _register_first(engine, made, clock.now(), job)
        return TrainResult(
            made.version.version,
            time.monotonic() - started,
            made.version.metrics,
            promoted,
            content_digest(made.folder),
            report.resumed_after,
            snapshot.left_out,
            made.also,
        )

    with ranks.together(config.devices, config.nodes) as rank:
        listeners = (on_progress, on_epoch) if rank.is_first else (None, None)
        snapshot = frozen(engine, config, ranks.agreed(clock.now()))
        with ranks.shared_folder(runs, run_name(snapshot, config)) as folder:
            candidate, report = trained(config, Sources(snapshot, folder, runs, {}), *listeners)
            return ranks.by_first(lambda: released(candidate, report, folder))


def retrain(  # noqa: PLR0913 - what a worker hands over, each by name
    engine: Engine,
    job: jobs.Job,
    *,
    options: RetrainOptions,
    bundles: Path,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> RetrainOutcome:
    """Let the champion learn on for the job's classes, and put the challenger to the gate.

    Args:
        engine: The database.
        job: The claimed job; its fence guards every write.
        options: How it learns, and the terms of the exam.
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features; what this job's run needs to go on when its
            worker dies lies in `job-<id>`.
        clock: Says what "now" is.
        on_progress: Told about stages; what it raises ends the run.
        on_epoch: Told about each pass over the images, likewise.

    Raises:
        TrainingError: There is no champion, a flagged class is unknown to it, or nothing to
            examine it on.
        StaleRunError: Another worker has taken the job over.
    """
    started = time.monotonic()
    torch.manual_seed(options.seed)
    with run_folder(runs, f"job-{job.id}") as folder:
        with transaction(engine) as connection:
            champion = _champion(connection, job)
        at = begun(folder, clock.now())
        if waiting := _waiting(engine, job, champion):
            verdict, result = next_look.examine(
                engine, waiting, options, at=at, on_progress=on_progress
            )
            return _examined(job, champion, waiting.challenger.version, verdict, result)
        found = material.gather(engine, champion, job, options, at=at, on_progress=on_progress)
        if not found.is_enough:
            return _too_few(engine, job, champion, found, clock)
        job = replace(job, labels=list(found.labels))
        sources = Sources(found.snapshot, folder, runs, found.favour(options.weak_weight))
        candidate, tuned = fine_tuned(
            champion, sources, job, options, on_progress=on_progress, on_epoch=on_epoch
        )
        made = _made_before(engine, job, champion, candidate, on_progress)
        if made is None:
            made = release.build(
                engine,
                candidate,
                bundles=bundles,
                folder=folder,
                clock=clock,
                on_progress=on_progress,
            )
            with _removed_unless_registered(made), transaction(engine) as connection:
                jobs.require_fence(connection, job)
                registry.register(connection, made.version)
                jobs.note_challenger(connection, job, made.version.version)
                found.record(connection, now=clock.now())
        sitting = exam.Sitting(Runner.open(made.folder), made.test)
        verdict = exam.examine(champion, sitting, job.labels, options, on_progress=on_progress)
    result = found.to_dict() | {
        "gate": verdict.to_dict(),
        "champion": champion.version,
        "challenger": made.version.version,
        "alpha": tuned.chosen.alpha,
        "path": [point.to_dict() for point in tuned.path],
        "seconds": round(time.monotonic() - started, 1),
        "also": made.also,
    }
    return _examined(job, champion, made.version.version, verdict, result)


def _made_before(
    engine: Engine,
    job: jobs.Job,
    champion: Version,
    candidate: Candidate,
    on_progress: Progress | None,
) -> Release | None:
    """Return the challenger that this job's last try registered before its worker died, if any.

    It must be of the same champion and the same images; else there is none.
    """
    if job.challenger is None:
        return None
    with transaction(engine) as connection:
        made = registry.get(connection, job.challenger)
    snapshot = candidate.snapshot
    if (made.parent, made.snapshot) != (champion.version, snapshot.digest):
        return None
    try:
        runner = Runner.open(Path(made.uri))
    except BundleError:
        return None
    test = release.measure(runner, snapshot.test, "test images", on_progress)
    return Release(made, test, float(runner.manifest.training["parity"]))


def _waiting(engine: Engine, job: jobs.Job, champion: Version) -> next_look.Pending | None:
    """Return the challenger that only waits for another look, where the job asks for one."""
    with transaction(engine) as connection:
        return next_look.pending(connection, job, champion)


def _examined(
    job: jobs.Job, champion: Version, challenger: str, verdict: gate.Verdict, result: dict[str, Any]
) -> RetrainOutcome:
    """Return what became of a challenger that has sat the exam."""
    promote = functools.partial(exam.promote, job=job, champion=champion, challenger=challenger)
    return RetrainOutcome(
        challenger,
        verdict,
        exam.status_of(verdict),
        result,
        promote if verdict.passed else None,
    )


def _too_few(
    engine: Engine, job: jobs.Job, champion: Version, found: Material, clock: Clock
) -> RetrainOutcome:
    """Return that nothing was trained, and what is missing; doubtful labels are held back."""
    with transaction(engine) as connection:
        jobs.require_fence(connection, job)
        found.record(connection, now=clock.now())
    return RetrainOutcome(
        None, None, "more images", found.to_dict() | {"champion": champion.version}
    )


def _champion(connection: Connection, job: jobs.Job) -> Version:
    champion = registry.champion(connection)
    if champion is None:
        raise TrainingError("there is no champion to learn on; run: weakspot train")
    unknown = [label for label in job.labels if label not in champion.labels]
    if unknown:
        raise TrainingError(
            f"champion {champion.version} does not know {unknown[0]!r}; a class is added by: "
            "weakspot train"
        )
    return champion


def _register_first(engine: Engine, made: Release, now: datetime, job: jobs.Job | None) -> bool:
    """Register the version, and promote it when there is no champion; say whether it was."""
    with _removed_unless_registered(made), transaction(engine) as connection:
        registry.register(connection, made.version)
        if job is not None:
            jobs.note_challenger(connection, job, made.version.version)
    try:
        with transaction(engine) as connection:
            if registry.champion(connection) is not None:
                return False
            registry.promote(
                connection, made.version.version, now=now, by="trainer", reason="first version"
            )
    except ConflictError:
        # Another first version was faster: then there is a champion, which is all that is wanted.
        return False
    return True


@contextmanager
def _removed_unless_registered(made: Release) -> Generator[None]:
    """Remove the bundle again when registering it fails."""
    try:
        yield
    except BaseException:
        release.discard(made)
        raise
