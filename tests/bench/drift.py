"""`python -m tests.bench.drift`: how often drift is called where there is none, and found where.

Real photographs (class folders, `--photos`), measured by the descriptors that the service logs.
The labels stand for the predicted ones; confidences and embeddings are those of the tests' small
model. Nothing has changed: reference and window are drawn from one pool, anew each time. Faults
are laid over the window's photographs alone; found means the verdict, corrected and with effect.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from core.bundle import outputs
from core.bundle.profile import COLUMNS
from core.bundle.runner import Runner
from core.images.descriptors import DESCRIPTORS, describe
from core.images.preprocess import preprocess
from monitor.drift import columns, drift
from monitor.drift.columns import Finding
from monitor.drift.samples import Sample
from tests.tiny import tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT.parent / "shared/data/animals"
LEVEL = 0.05

FAULTS: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "blur, radius 2": ("sharpness", lambda photo: photo.filter(ImageFilter.GaussianBlur(2))),
    "20 % darker": ("brightness", lambda photo: ImageEnhance.Brightness(photo).enhance(0.8)),
    "20 % brighter": ("brightness", lambda photo: ImageEnhance.Brightness(photo).enhance(1.2)),
}


def main() -> None:
    """Measure, and print one JSON object."""
    asked = _arguments()
    rng = np.random.default_rng(asked.seed)
    paths = sorted(asked.photos.glob("*/*/*.jpg"))
    chosen = [paths[i] for i in rng.permutation(len(paths))[: asked.pool]]
    names = sorted({path.parent.name for path in paths})
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner.open(tiny_bundle(Path(folder)), device="cpu", threads=1)
        clean = _measured(runner, chosen, names, lambda photo: photo)
        half = len(chosen) // 2
        faulty = {
            fault: _measured(runner, chosen[half:], names, lay_over)
            for fault, (_, lay_over) in FAULTS.items()
        }
    begun = time.monotonic()
    found = {
        "photographs": len(chosen),
        "classes": len(names),
        "window": asked.window,
        "reference": asked.reference,
        "without_drift": _without_drift(clean, names, asked, rng),
        "by_class": _by_class(clean, asked, rng),
        "power": _power(clean, faulty, names, asked, rng),
    }
    found["seconds"] = round(time.monotonic() - begun)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="SPLIT/CLASS/*.jpg below it")
    parser.add_argument("--pool", type=int, default=4_000, help="photographs used")
    parser.add_argument("--window", type=int, default=500, help="predictions of a day")
    parser.add_argument("--reference", type=int, default=900, help="rows of the profile")
    parser.add_argument("--windows", type=int, default=1_000, help="days without drift")
    parser.add_argument("--class-windows", type=int, default=100, help="of them, by class too")
    parser.add_argument("--runs", type=int, default=100, help="of each fault")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _measured(
    runner: Runner,
    paths: list[Path],
    names: list[str],
    lay_over: Callable[[Image.Image], Image.Image],
) -> Sample:
    described: list[dict[str, float]] = []
    probabilities: list[np.ndarray] = []
    embedding: list[np.ndarray] = []
    for first in range(0, len(paths), 64):
        inputs = []
        for path in paths[first : first + 64]:
            photo = lay_over(Image.open(path).convert("RGB"))
            described.append(describe(photo))
            inputs.append(preprocess(photo, runner.recipe))
        said = runner.run(np.stack(inputs))
        probabilities.append(said.probabilities)
        embedding.append(said.embedding)
    stacked = np.concatenate(probabilities)
    found = {name: np.array([each[name] for each in described]) for name in DESCRIPTORS}
    found["confidence"] = outputs.confidence(stacked).astype(np.float64)
    found["entropy"] = outputs.entropy(stacked).astype(np.float64)
    found["margin"] = outputs.margin(stacked).astype(np.float64)
    predicted = np.array([names.index(path.parent.name) for path in paths], dtype=np.int64)
    return _counted(found, predicted, np.concatenate(embedding), len(names))


def _counted(
    found: dict[str, np.ndarray], predicted: np.ndarray, embedding: np.ndarray, k: int
) -> Sample:
    return Sample(found, predicted, embedding, np.bincount(predicted, minlength=k))


def _rows(sample: Sample, rows: np.ndarray) -> Sample:
    return _counted(
        {name: values[rows] for name, values in sample.columns.items()},
        sample.predicted[rows],
        sample.embedding[rows],
        len(sample.counts),
    )


def _split(
    clean: Sample, asked: argparse.Namespace, rng: np.random.Generator
) -> tuple[Sample, Sample]:
    order = rng.permutation(len(clean.predicted))
    return _rows(clean, order[: asked.reference]), _rows(clean, order[-asked.window :])


def _verdicts(findings: list[Finding]) -> Iterator[tuple[Finding, str]]:
    for finding, adjusted in zip(findings, drift.correct(findings), strict=True):
        yield finding, drift.verdict_of(finding, adjusted)


def _without_drift(
    clean: Sample, names: list[str], asked: argparse.Namespace, rng: np.random.Generator
) -> dict[str, object]:
    flagged: Counter[str] = Counter()
    drifted = 0
    for _ in range(asked.windows):
        found = columns.compare(*_split(clean, asked, rng), names, {}, rng)
        for each in found:
            flagged[each.column] += each.p_value is not None and each.p_value <= LEVEL
        drifted += any(verdict == "drift" for _, verdict in _verdicts(found))
    share = {name: flagged[name] / asked.windows for name in (*COLUMNS, *_OTHERS)}
    return {"windows": asked.windows, "flagged": share, "called_drift": drifted / asked.windows}


def _by_class(
    clean: Sample, asked: argparse.Namespace, rng: np.random.Generator
) -> dict[str, object]:
    tests = flagged = drifted = 0
    wide = argparse.Namespace(reference=2 * asked.reference, window=2 * asked.window)
    for _ in range(asked.class_windows):
        found = columns.compare_classes(*_split(clean, wide, rng), rng)
        tests += len(found)
        flagged += sum((each.p_value or 0.0) <= LEVEL for each in found)
        drifted += any(verdict == "drift" for _, verdict in _verdicts(found))
    return {
        "windows": asked.class_windows,
        "tests": tests,
        "flagged": flagged / max(tests, 1),
        "called_drift": drifted / max(asked.class_windows, 1),
    }


def _power(
    clean: Sample,
    faulty: dict[str, Sample],
    names: list[str],
    asked: argparse.Namespace,
    rng: np.random.Generator,
) -> dict[str, int]:
    """Return in how many runs each fault was found, in the column that names it."""
    half = len(clean.predicted) // 2
    found: Counter[str] = Counter()
    for _ in range(asked.runs):
        reference = _rows(clean, rng.permutation(half)[: asked.reference])
        now = rng.permutation(len(clean.predicted) - half)[: asked.window]
        for fault, sample in faulty.items():
            found[fault] += FAULTS[fault][0] in _drifted(reference, _rows(sample, now), names, rng)
        favoured = int(rng.integers(len(names)))
        mixed = _rows(clean, half + _with_more_of(favoured, clean, half, asked.window, rng))
        found["one class 10 points up"] += columns.PREDICTED in _drifted(
            reference, mixed, names, rng
        )
    return dict(found)


def _with_more_of(
    favoured: int, clean: Sample, half: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Return rows of the second half in which one class has ten points more of the traffic."""
    predicted = clean.predicted[half:]
    shares = np.bincount(predicted, minlength=len(clean.counts)) / len(predicted)
    wanted = shares * (1 - 0.1 / (1 - shares[favoured]))
    wanted[favoured] = shares[favoured] + 0.1
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(predicted == label), size)
            for label, size in enumerate(rng.multinomial(n, wanted))
        ]
    )


def _drifted(
    reference: Sample, current: Sample, names: list[str], rng: np.random.Generator
) -> set[str]:
    found = columns.compare(reference, current, names, {}, rng)
    found += columns.compare_classes(reference, current, rng)
    return {
        each.column
        for each, verdict in _verdicts(found)
        if verdict == "drift" and each.label is None
    }


_OTHERS = (columns.PREDICTED, columns.EMBEDDING)

if __name__ == "__main__":
    main()
