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
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from core.bundle import files, originals, profile, sentinels
from core.bundle.manifest import Manifest
from core.bundle.runner import Runner
from core.bundle.sentinels import Sentinels
from core.bundle.variants import FILES, VariantName
from core.clock import Clock
from core.errors import TrainingError
from core.evaluation import Evaluation, evaluate
from core.images import source
from core.images.preprocess import Recipe
from core.stats import calibration
from core.store import registry
from core.store.database import transaction
from core.store.registry import Version
from trainer import run_file
from trainer.bundling import model_card, quantize, variants
from trainer.bundling.figures import metrics, promised, reference, reference_profile
from trainer.fitting.module import PICTURES
from trainer.images.dataset import Pixels, Progress
from trainer.images.snapshot import Snapshot
from trainer.networks import export, handout
from trainer.networks.architectures import Network, weights_bytes

_SENTINELS = 48


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
        train: The training images, decoded, to calibrate a variant with; needed for int8.
        variants: Which variants of the graph are to be made.
        also: In which forms the version is handed out besides.
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
    train: Pixels | None = None
    variants: tuple[VariantName, ...] = ()
    also: tuple[handout.Form, ...] = ()

    def calibration(self) -> NDArray[np.uint8]:
        """Return images to read ranges of numbers off: of training, as no figure is of those."""
        side = self.val if self.train is None or not len(self.train) else self.train
        most = quantize.images_for(np.unique(side.labels).size)
        return side.take(spread(side.labels, most))


@dataclass(frozen=True, slots=True)
class Release:
    """A version whose bundle lies in its place, not yet registered.

    Attributes:
        version: What the registry is to know of it.
        test: What it says of the test split.
        parity: Largest difference between torch and ONNX.
        also: What was handed out besides, as `handout.beside` tells it.
    """

    version: Version
    test: Evaluation
    parity: float
    also: dict[str, Any] = field(default_factory=dict[str, Any])

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
    exported = _export(candidate, on_progress or _silent)
    members = exported.members
    draft = _draft(engine, candidate, exported.temperature, clock)
    # The draft's folder is deleted with the run's: nothing but the runner ever sees it.
    runner = Runner.open(files.write(folder / "draft", draft, members))
    val = measure(runner, candidate.snapshot.val, "validation images", on_progress)
    test = measure(runner, candidate.snapshot.test, "test images", on_progress)
    verdicts = variants.judge_all(runner.folder, exported.made, val, on_progress)
    for found in verdicts.values():
        if not found.kept:
            members.pop(found.file, None)
    labels = candidate.snapshot.labels
    manifest = replace(
        draft,
        metrics={
            "val": metrics(val, labels) | promised(val, labels),
            "test": metrics(test, labels),
        },
        reference=reference(val, labels),
        training=draft.training | {"parity": exported.parity, "unreadable": _unreadable(val, test)},
        variants={name: found.to_dict() for name, found in verdicts.items()},
    )
    members[files.PROFILE] = profile.save(reference_profile(test if test.samples else val))
    members[files.ORIGINALS] = _originals(candidate.val, candidate.recipe)
    members[files.WEIGHTS] = weights_bytes(candidate.network.state_dict())
    if (folder / PICTURES).exists():  # a head on a frozen backbone sees no varied images
        members[PICTURES] = folder / PICTURES
    members[files.CONFIG] = json.dumps(candidate.network.config(labels), indent=1).encode()
    members[run_file.NAME] = run_file.text(
        candidate.config, snapshot=candidate.snapshot.digest
    ).encode()
    members[files.CARD] = _card(candidate, manifest, test).encode()
    home = files.write(bundles.absolute(), manifest, members)
    also = handout.beside(home, candidate.also)
    return Release(_version(candidate, manifest, home), test, exported.parity, also)


@dataclass(frozen=True, slots=True)
class _Exported:
    """What was made of a network, unmeasured: the members of a draft of its bundle."""

    temperature: float
    members: dict[str, bytes | Path]
    made: variants.Made
    parity: float


def _export(candidate: Candidate, tell: Progress) -> _Exported:
    """Export the network, check the file against torch, and make its variants."""
    tell("exporting", 0, 1)
    temperature = fit_temperature(candidate.val_logits, candidate.val.labels)
    graph = export.served_graph(candidate.network, temperature)
    size = candidate.recipe
    model = export.to_onnx(graph, height=size.height, width=size.width)
    watched = candidate.val.take(spread(candidate.val.labels, _SENTINELS))
    said, parity = export.check_parity(graph, model, watched)
    tell("exporting", 1, 1)
    tell("making variants", 0, 1)
    made = variants.make(model, candidate.variants, candidate.calibration)
    tell("making variants", 1, 1)
    members: dict[str, bytes | Path] = {
        files.MODEL: model,
        files.SENTINELS: sentinels.save(Sentinels(watched, said.logits)),
        files.PROFILE: profile.save(reference_profile(None)),
    }
    members |= {FILES[name]: one for name, one in made.items() if isinstance(one, bytes)}
    return _Exported(temperature, members, made, parity)


def discard(release: Release) -> None:
    """Remove the bundle of a version that could not be registered, and what was handed out."""
    for folder in (release.folder, handout.place(release.folder)):
        shutil.rmtree(folder, ignore_errors=True)


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


def _card(candidate: Candidate, manifest: Manifest, test: Evaluation) -> str:
    snapshot = candidate.snapshot
    facts = model_card.Facts(
        images=model_card.count((*snapshot.train, *snapshot.val, *snapshot.test)),
        test=reference(test, manifest.labels),
        snapshot_at=snapshot.at,
        parent=candidate.parent,
        code_version=code_version(),
    )
    return model_card.card(manifest, facts)


def _originals(val: Pixels, recipe: Recipe) -> bytes:
    """Return the bundle's encoded pictures: validation images, spread over the classes."""
    places = spread(val.labels, originals.MOST).tolist()
    pictures = [source.read_bytes(val.samples[place].uri) for place in places]
    return originals.save(originals.make(pictures, recipe))


def _unreadable(*evaluations: Evaluation) -> int:
    return sum(len(evaluation.unreadable) for evaluation in evaluations)


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is listening."""
