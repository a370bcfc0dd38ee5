"""From a trained network to a registered version, with every figure taken from what will serve.

Temperature, export and parity come first: before they hold nothing is kept. Then the ONNX file
itself answers the validation and the test split through core.evaluation, and what is measured so
becomes metrics, reference levels and reference profile of the bundle. The bundle appears whole,
and only then is the version registered. A run that dies on the way leaves nothing but a number
that is not used again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from core.bundle import files, originals, profile, sentinels
from core.bundle.manifest import Manifest
from core.bundle.outputs import EMBEDDING_SIZE
from core.bundle.profile import ReferenceProfile
from core.bundle.runner import Runner
from core.bundle.sentinels import Sentinels
from core.clock import Clock
from core.errors import TrainingError
from core.evaluation import Evaluation, evaluate
from core.images import source
from core.images.preprocess import Recipe
from core.stats import calibration, classification, without_labels
from core.store import registry
from core.store.database import transaction
from core.store.images import Sample
from core.store.registry import Version
from trainer import export
from trainer.architectures import Network, weights_bytes
from trainer.dataset import Pixels, Progress, Snapshot

_SENTINELS = 48
_PROFILE_SEED = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained network and what it came from.

    Attributes:
        name: Of the model that it is a version of.
        network: The weights.
        architecture: The backbone's name.
        recipe: How its images are resized.
        snapshot: What it learnt from.
        val: The validation images, decoded.
        val_logits: What the network says of them, float32 (n, K).
        config: The run's settings, as JSON.
        training: What came of the run, as JSON.
        parent: The version it was fine-tuned from.
    """

    name: str
    network: Network
    architecture: str
    recipe: Recipe
    snapshot: Snapshot
    val: Pixels
    val_logits: NDArray[np.float32]
    config: dict[str, Any]
    training: dict[str, Any]
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A version whose bundle lies in its place, not yet registered.

    Attributes:
        version: What the registry is to know of it.
        test: What it says of the test split.
        parity: Largest difference between torch and ONNX.
    """

    version: Version
    test: Evaluation
    parity: float

    @property
    def folder(self) -> Path:
        """Where its bundle lies."""
        return Path(self.version.uri)


def build(
    engine: Engine,
    candidate: Candidate,
    *,
    bundles: Path,
    folder: Path,
    clock: Clock,
    on_progress: Progress | None = None,
) -> Release:
    """Export, check, measure, and write the bundle.

    Args:
        engine: Where the next version number comes from.
        candidate: The trained network.
        bundles: Where the bundle is to lie.
        folder: Of the run, for the draft.
        clock: Says when the bundle was made.
        on_progress: Told about stages.

    Raises:
        ParityError: The ONNX file disagrees with torch.
        TrainingError: torch cannot export the backbone.
        BundleError: The bundle cannot be written, or is not what it should be.
    """
    tell = on_progress or _silent
    tell("exporting", 0, 1)
    temperature = fit_temperature(candidate.val_logits, candidate.val.labels)
    graph = export.served_graph(candidate.network, temperature)
    size = candidate.recipe
    model = export.to_onnx(graph, height=size.height, width=size.width)
    watched = candidate.val.take(spread(candidate.val.labels, _SENTINELS))
    said, parity = export.check_parity(graph, model, watched)
    tell("exporting", 1, 1)
    draft = _draft(engine, candidate, temperature, clock)
    members: dict[str, bytes | Path] = {
        files.MODEL: model,
        files.SENTINELS: sentinels.save(Sentinels(watched, said.logits)),
        files.PROFILE: profile.save(_profile(None)),
    }
    # The draft's folder is deleted with the run's: nothing but the runner ever sees it.
    runner = Runner.open(files.write(folder / "draft", draft, members))
    val = measure(runner, candidate.snapshot.val, "validation images", on_progress)
    test = measure(runner, candidate.snapshot.test, "test images", on_progress)
    labels = candidate.snapshot.labels
    manifest = replace(
        draft,
        metrics={
            "val": metrics(val, labels) | promised(val, labels),
            "test": metrics(test, labels),
        },
        reference=reference(val, labels),
        training=draft.training | {"parity": parity, "unreadable": _unreadable(val, test)},
    )
    members[files.PROFILE] = profile.save(_profile(test if test.samples else val))
    members[files.ORIGINALS] = _originals(candidate.val, candidate.recipe)
    members[files.WEIGHTS] = weights_bytes(candidate.network.state_dict())
    members[files.CONFIG] = json.dumps(candidate.network.config(labels), indent=1).encode()
    home = files.write(bundles.absolute(), manifest, members)
    return Release(_version(candidate, manifest, home), test, parity)


def discard(release: Release) -> None:
    """Remove the bundle of a version that could not be registered."""
    shutil.rmtree(release.folder, ignore_errors=True)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature for these validation logits.

    Images that are all named rightly cannot tell how much doubt is due, and the likeliest
    temperature would be none at all. One mistake more is then assumed: that the least sure of
    the images had been its runner-up.
    """
    if (logits.argmax(axis=1) == labels).all():
        runners_up, winners = np.argsort(logits, axis=1)[:, -2:].T
        rows = np.arange(len(logits))
        least_sure = (logits[rows, winners] - logits[rows, runners_up]).argmin()
        logits = np.concatenate([logits, logits[[least_sure]]])
        labels = np.append(labels, runners_up[least_sure])
    return calibration.fit_temperature(logits, labels)


def spread(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return up to `most` places, in order, taken in turn from each class."""
    turn = np.empty(len(labels), dtype=np.int64)
    for number in np.unique(labels):
        places = np.flatnonzero(labels == number)
        turn[places] = np.arange(len(places))
    return np.sort(np.argsort(turn, kind="stable")[:most])


def measure(
    runner: Runner, samples: Sequence[Any], what: str, on_progress: Progress | None
) -> Evaluation:
    """Return what the runner says of these images, with the descriptors of each.

    Raises:
        TrainingError: More than half of the images cannot be read.
    """

    def tell(_: str, done: int, total: int) -> None:
        if on_progress:
            on_progress(f"{runner.version}: {what}", done, total)

    evaluation = evaluate(runner, samples, on_progress=tell, describe=True)
    if len(evaluation.unreadable) * 2 > len(samples):
        sample, why = evaluation.unreadable[0]
        raise TrainingError(
            f"{len(evaluation.unreadable)} of {len(samples)} {what} cannot be read, such as "
            f"{sample.uri}: {why}; see: weakspot data verify"
        )
    return evaluation


def metrics(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    """Return top1, macro_f1, auroc, ece and recall per class; empty without images."""
    if not evaluation.samples:
        return {}
    predicted, true, classes = evaluation.predicted, evaluation.labels, len(labels)
    recalls = classification.per_class_recall(predicted, true, classes)
    several = len(np.unique(true)) > 1
    return {
        "n": len(evaluation.samples),
        "top1": classification.top1(predicted, true),
        "macro_f1": classification.macro_f1(predicted, true, classes),
        # Of one class alone nothing can be ranked.
        "auroc": classification.macro_auroc(evaluation.probabilities, true) if several else None,
        "ece": calibration.expected_calibration_error(evaluation.probabilities, true),
        "per_class": dict(zip(labels, recalls, strict=True)),
    }


def promised(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    """Return what the confidences of the reference images promise; empty without images.

    `{"without_labels": {"confident_from": ATC's threshold, "predicted": {label: {"n", "correct",
    "confidence", "confident"}}}}`, by predicted label, as core.stats.without_labels has them.
    """
    if not evaluation.samples:
        return {}
    predicted, sure = evaluation.predicted, evaluation.confidence
    right = predicted == evaluation.labels
    least = without_labels.confident_from(sure, right)
    found = without_labels.promises(predicted, sure, right, len(labels), least)
    by_label = {label: _plain(each) for label, each in zip(labels, found, strict=True)}
    return {"without_labels": {"confident_from": least, "predicted": by_label}}


def reference(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    """Return per label how many images there were, how many right, and what for the others."""
    counted = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counted, (evaluation.labels, evaluation.predicted), 1)
    return {
        label: {
            "n": int(row.sum()),
            "correct": int(row[place]),
            "confused": {
                other: int(n) for other, n in zip(labels, row, strict=True) if n and other != label
            },
        }
        for place, (label, row) in enumerate(zip(labels, counted, strict=True))
    }


def code_version() -> str:
    """Return what `git describe` says of this code, or the package's version."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return metadata.version("weakspot")
    return f"{metadata.version('weakspot')}+{found.stdout.strip()}"


def _plain(promise: without_labels.Promise) -> dict[str, int | float | None]:
    # The means stand in every answer about the version, so a few digits must do.
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in asdict(promise).items()
    }


def _draft(engine: Engine, candidate: Candidate, temperature: float, clock: Clock) -> Manifest:
    with transaction(engine) as connection:
        number = registry.next_number(connection)
    labels = candidate.snapshot.labels
    return Manifest(
        name=candidate.name,
        version=f"v{number}",
        labels=labels,
        recipe=candidate.recipe,
        temperature=temperature,
        architecture=candidate.architecture,
        created_at=clock.now(),
        snapshot=candidate.snapshot.digest,
        training=candidate.training | {"config": candidate.config},
        metrics={},
        reference={label: {"n": 0, "correct": 0, "confused": {}} for label in labels},
    )


def _version(candidate: Candidate, manifest: Manifest, home: Path) -> Version:
    return Version(
        version=manifest.version,
        number=int(manifest.version.removeprefix("v")),
        name=manifest.name,
        uri=str(home),
        digest=files.digest(home),
        labels=list(manifest.labels),
        parent=candidate.parent,
        snapshot=manifest.snapshot,
        snapshot_at=candidate.snapshot.at,
        metrics=manifest.metrics,
        reference=manifest.reference,
        config=candidate.config,
        code_version=code_version(),
        created_at=manifest.created_at,
    )


def _profile(evaluation: Evaluation | None) -> ReferenceProfile:
    """Return up to 2,000 rows of the evaluation; none for a draft."""
    if evaluation is None:
        empty = {name: np.empty(0) for name in profile.COLUMNS}
        return ReferenceProfile(
            empty, np.empty(0, np.int64), np.empty((0, EMBEDDING_SIZE), np.float32)
        )
    n = len(evaluation.samples)
    rng = np.random.default_rng(_PROFILE_SEED)
    rows = np.sort(rng.permutation(n)[: profile.MAX_ROWS])
    columns = dict(evaluation.descriptors or {}) | {
        "confidence": evaluation.confidence,
        "entropy": evaluation.entropy,
        "margin": evaluation.margin,
    }
    return ReferenceProfile(
        {name: column[rows] for name, column in columns.items()},
        evaluation.predicted[rows],
        evaluation.embedding[rows],
        evaluation.labels[rows],
        _digests([evaluation.samples[row] for row in rows.tolist()]),
    )


def _digests(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """Return the SHA-256 of each image, uint8 (n, 32)."""
    whole = b"".join(bytes.fromhex(sample.sha256) for sample in samples)
    return np.frombuffer(whole, np.uint8).reshape(len(samples), 32).copy()


def _originals(val: Pixels, recipe: Recipe) -> bytes:
    """Return the bundle's encoded pictures: validation images, spread over the classes."""
    places = spread(val.labels, originals.MOST).tolist()
    pictures = [source.read_bytes(val.samples[place].uri) for place in places]
    return originals.save(originals.make(pictures, recipe))


def _unreadable(*evaluations: Evaluation) -> int:
    return sum(len(evaluation.unreadable) for evaluation in evaluations)


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is listening."""
