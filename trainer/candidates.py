"""From a snapshot to a trained network: images decoded, weights fitted, facts gathered.

A training begins with a backbone, a retraining with the champion. What comes out is a candidate,
of which nothing is written yet (trainer.bundling.release does that).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from core.bundle import files
from core.bundle.variants import wanted
from core.images.preprocess import Recipe
from core.store import jobs
from core.store.database import transaction
from core.store.registry import Version
from trainer.bundling.release import Candidate
from trainer.config import RetrainOptions, RunConfig
from trainer.fitting.finetune import Aim, Tuned, finetune, learn
from trainer.fitting.fit import FitReport, OnEpoch, use_all_cores
from trainer.images.dataset import Progress, Sides, decode_all, training_weights
from trainer.images.imbalance import Sampling
from trainer.images.snapshot import Snapshot, freeze
from trainer.networks import architectures, handout
from trainer.networks.exportable import require_exportable
from trainer.ranks import first_alone
from trainer.run_folder import FEATURES


def frozen(engine: Engine, config: RunConfig, now: datetime) -> Snapshot:
    """Freeze the images that this run may see.

    Raises:
        TrainingError: They are not enough to train on.
    """
    with transaction(engine) as connection:
        return freeze(
            connection,
            at=now,
            labels=config.labels,
            min_per_class=config.min_per_class,
            limit_per_class=config.limit_per_class,
        )


def run_name(snapshot: Snapshot, config: RunConfig) -> str:
    """Return what a run is known by, so that it is found again when it was killed."""
    facts = json.dumps([snapshot.digest, snapshot.labels, asdict(config)], default=str)
    return f"train-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run's images are decoded from and into."""

    snapshot: Snapshot
    folder: Path
    runs: Path
    favour: Mapping[int, float]

    def decode(self, recipe: Recipe, sampling: Sampling, on_progress: Progress | None) -> Sides:
        """Return both sides that are learnt from, decoded by the recipe."""
        labels, threads = self.snapshot.labels, use_all_cores()
        with first_alone():
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
        weights = training_weights(train, labels, sampling=sampling, favour=self.favour)
        return Sides(train, weights, val, recipe, self.folder, self.runs.absolute() / FEATURES)


def trained(
    config: RunConfig,
    sources: Sources,
    on_progress: Progress | None,
    on_epoch: OnEpoch | None,
) -> tuple[Candidate, FitReport]:
    """Load the backbone and train it on the snapshot."""
    snapshot = sources.snapshot
    backbone = architectures.load(
        config.backbone,
        revision=config.revision,
        from_scratch=config.from_scratch,
        image_size=config.image_size,
        resize=config.resize,
    )
    network = backbone.network(len(snapshot.labels))
    require_exportable(network, backbone.recipe)
    also = handout.known_forms(config.also)
    handout.require_scriptable(network, backbone.recipe, also)
    fit_options = config.fit_options()
    sides = sources.decode(backbone.recipe, fit_options.sampling, on_progress)
    report = learn(
        network,
        sides,
        freeze=config.freeze,
        options=fit_options,
        on_progress=on_progress,
        on_epoch=on_epoch,
    )
    candidate = Candidate(
        name=config.name,
        network=network,
        architecture=config.backbone,
        recipe=backbone.recipe,
        snapshot=snapshot,
        val=sides.val,
        val_logits=report.val_logits,
        config=asdict(config) | {"revision": backbone.commit or config.revision},
        training=report.facts() | _counted(snapshot, sides),
        train=sides.train,
        variants=wanted(config.variants),
        also=also,
    )
    return candidate, report


def fine_tuned(
    champion: Version,
    sources: Sources,
    job: jobs.Job,
    options: RetrainOptions,
    *,
    on_progress: Progress | None,
    on_epoch: OnEpoch | None,
) -> tuple[Candidate, Tuned]:
    """Let the champion's network learn on, and go back as far as it pays."""
    folder, labels = Path(champion.uri), champion.labels
    manifest = files.verify(folder)
    network = architectures.load_bundle(folder, len(labels))
    fit_options = options.fit_options(champion.config)
    sides = sources.decode(manifest.recipe, fit_options.sampling, on_progress)
    tuned = finetune(
        network,
        sides,
        Aim(
            flagged=[labels.index(label) for label in job.labels],
            margin=options.gate_margin,
            overall_margin=options.gate_overall_margin,
        ),
        freeze=champion.config.get("freeze", "none"),
        options=fit_options,
        on_progress=on_progress,
        on_epoch=on_epoch,
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
        training=_counted(sources.snapshot, sides)
        | {"alpha": tuned.chosen.alpha, "passes": list(tuned.passes)},
        parent=champion.version,
        train=sides.train,
        variants=wanted(options.variants),
        also=handout.known_forms(options.also),
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
        "left_out_classes": dict(snapshot.left_out),
    }
