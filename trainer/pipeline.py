"""One training, and one retraining, each on one page.

Training: a frozen list of images -> decoded once -> fitted -> released (exported, checked against
torch, measured as it will serve, written whole) -> registered. Retraining: the champion learns on
over old and new images, the point between its old and its new weights is chosen, and the
challenger sits the gate's exam against it; only a pass may move the alias.

Whatever raises on the way leaves the champion as it is; a pass is promoted by whoever ends the job.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import Connection, Engine

from core.bundle import files
from core.clock import Clock
from core.errors import ConflictError, TrainingError
from core.images.preprocess import Recipe
from core.store import jobs, registry
from core.store.database import transaction
from core.store.registry import Version
from trainer import architectures, exam, gate, newcomers, release
from trainer.config import RetrainOptions, RunConfig
from trainer.dataset import Progress, Sides, Snapshot, decode_all, freeze, training_weights
from trainer.finetune import Aim, Tuned, finetune, learn
from trainer.fit import use_all_cores
from trainer.release import Candidate, Release

__all__ = ["RetrainOptions", "RetrainOutcome", "RunConfig", "TrainResult", "retrain", "train"]

_OLD_RUN_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A version that was trained.

    Attributes:
        version: Its name.
        seconds: What it took.
        metrics: `{"val": {...}, "test": {...}}`.
        promoted: Whether it became the champion, because there was none.
    """

    version: str
    seconds: float
    metrics: dict[str, Any]
    promoted: bool


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


def train(
    engine: Engine,
    config: RunConfig,
    *,
    bundles: Path,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
) -> TrainResult:
    """Train a version on the pool as it stands now; the first one becomes the champion.

    Args:
        engine: The database.
        config: What to train, and how.
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is.
        on_progress: Told about stages.

    Raises:
        TrainingError: The pool, the backbone or the run gives nothing usable.
        BundleError: The export is wrong, or the bundle cannot be written.
    """
    started = time.monotonic()
    torch.manual_seed(config.seed)
    with transaction(engine) as connection:
        snapshot = freeze(
            connection,
            at=clock.now(),
            labels=config.labels,
            limit_per_class=config.limit_per_class,
        )
    with _run_folder(runs) as folder:
        candidate = _trained(config, _Sources(snapshot, folder, runs, {}), on_progress)
        made = release.build(
            engine, candidate, bundles=bundles, folder=folder, clock=clock, on_progress=on_progress
        )
    promoted = _register_first(engine, made, clock.now())
    return TrainResult(
        made.version.version, time.monotonic() - started, made.version.metrics, promoted
    )


def retrain(  # noqa: PLR0913 - what a worker hands over, each by name
    engine: Engine,
    job: jobs.Job,
    *,
    options: RetrainOptions,
    bundles: Path,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
) -> RetrainOutcome:
    """Let the champion learn on for the job's classes, and put the challenger to the gate.

    Args:
        engine: The database.
        job: The claimed job; its fence guards every write.
        options: How it learns, and the terms of the exam.
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is.
        on_progress: Told about stages; what it raises ends the run.

    Raises:
        TrainingError: There is no champion, a flagged class is unknown to it, or nothing to
            examine it on.
        StaleRunError: Another worker has taken the job over.
    """
    started = time.monotonic()
    torch.manual_seed(options.seed)
    with transaction(engine) as connection:
        champion = _champion(connection, job)
        snapshot, new = newcomers.since(connection, champion, clock.now())
    with _run_folder(runs) as folder:
        favour = newcomers.favoured(snapshot, new, job.labels, options.weak_weight)
        sources = _Sources(snapshot, folder, runs, favour)
        candidate, tuned = _fine_tuned(champion, sources, job, options, on_progress)
        made = release.build(
            engine, candidate, bundles=bundles, folder=folder, clock=clock, on_progress=on_progress
        )
        with _removed_unless_registered(made), transaction(engine) as connection:
            jobs.require_fence(connection, job)
            registry.register(connection, made.version)
        verdict = exam.examine(champion, made, job, options, on_progress)
    status = exam.status_of(verdict)
    result = {
        "gate": verdict.to_dict(),
        "champion": champion.version,
        "challenger": made.version.version,
        "new_images": new.counts(),
        "notes": newcomers.notes(new, job.labels),
        "alpha": tuned.chosen.alpha,
        "path": [point.to_dict() for point in tuned.path],
        "seconds": round(time.monotonic() - started, 1),
    }
    promote = functools.partial(
        exam.promote, job=job, champion=champion, challenger=made.version.version
    )
    return RetrainOutcome(
        made.version.version, verdict, status, result, promote if verdict.passed else None
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


@dataclass(frozen=True, slots=True)
class _Sources:
    """What a run's images are decoded from and into."""

    snapshot: Snapshot
    folder: Path
    runs: Path
    favour: Mapping[int, float]

    def decode(self, recipe: Recipe, on_progress: Progress | None) -> Sides:
        """Return both sides that are learnt from, decoded by the recipe."""
        labels, threads = self.snapshot.labels, use_all_cores()
        train, val = (
            decode_all(
                samples,
                labels=labels,
                recipe=recipe,
                path=self.folder / f"{name}.npy",
                threads=threads,
                on_progress=on_progress,
            )
            for name, samples in (("train", self.snapshot.train), ("val", self.snapshot.val))
        )
        weights = training_weights(train, labels, favour=self.favour)
        return Sides(train, weights, val, recipe, self.folder, self.runs.absolute() / "features")


def _trained(config: RunConfig, sources: _Sources, on_progress: Progress | None) -> Candidate:
    """Load the backbone and train it on the snapshot."""
    snapshot = sources.snapshot
    backbone = architectures.load(
        config.backbone,
        from_scratch=config.from_scratch,
        image_size=config.image_size,
        resize=config.resize,
    )
    network = backbone.network(len(snapshot.labels))
    sides = sources.decode(backbone.recipe, on_progress)
    val_logits, facts = learn(
        network,
        sides,
        freeze=config.freeze,
        options=config.fit_options(),
        on_progress=on_progress,
    )
    return Candidate(
        name=config.name,
        network=network,
        architecture=config.backbone,
        recipe=backbone.recipe,
        snapshot=snapshot,
        val=sides.val,
        val_logits=val_logits,
        config=asdict(config),
        training=facts | _counted(snapshot, sides),
    )


def _fine_tuned(
    champion: Version,
    sources: _Sources,
    job: jobs.Job,
    options: RetrainOptions,
    on_progress: Progress | None,
) -> tuple[Candidate, Tuned]:
    """Let the champion's network learn on, and go back as far as it pays."""
    folder, labels = Path(champion.uri), champion.labels
    manifest = files.verify(folder)
    network = architectures.load_bundle(folder, len(labels))
    sides = sources.decode(manifest.recipe, on_progress)
    tuned = finetune(
        network,
        sides,
        Aim(
            flagged=[labels.index(label) for label in job.labels],
            margin=options.gate_margin,
            overall_margin=options.gate_overall_margin,
        ),
        freeze=champion.config.get("freeze", "none"),
        options=options.fit_options(champion.config),
        on_progress=on_progress,
    )
    candidate = Candidate(
        name=champion.name,
        network=network,
        architecture=manifest.architecture,
        recipe=manifest.recipe,
        snapshot=sources.snapshot,
        val=sides.val,
        val_logits=tuned.val_logits,
        config=champion.config | {"retraining": asdict(options)},
        training=_counted(sources.snapshot, sides) | {"alpha": tuned.chosen.alpha},
        parent=champion.version,
    )
    return candidate, tuned


def _counted(snapshot: Snapshot, sides: Sides) -> dict[str, Any]:
    return {
        "images": {
            "train": len(sides.train),
            "val": len(sides.val),
            "test": len(snapshot.test),
        },
        "left_out": len(sides.train.unreadable) + len(sides.val.unreadable),
    }


def _register_first(engine: Engine, made: Release, now: datetime) -> bool:
    """Register the version, and promote it when there is no champion; say whether it was."""
    with _removed_unless_registered(made), transaction(engine) as connection:
        registry.register(connection, made.version)
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


@contextmanager
def _run_folder(runs: Path) -> Generator[Path]:
    """Give a folder for one run, gone afterwards; what killed runs left is removed in time."""
    runs.mkdir(parents=True, exist_ok=True)
    for leftover in runs.glob("run-*"):
        if time.time() - leftover.stat().st_mtime > _OLD_RUN_S:
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs.absolute()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
