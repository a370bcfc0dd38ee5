"""What the variants of a bundle's graph cost in answers, and what they gain in speed.

    python -m tests.bench.variants --bundle var/bundles/v1 --images DIR [--variants int8,fp16]

DIR holds `train/<class>/` and `val/<class>/`. The variants are made anew from the training images
and judged on all validation images, as a training does; then every engine is timed on the
bundle's own images, int8 too where it would not be kept. The bundle is copied, never changed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.bundle import files, trial
from core.bundle.engines import all_cores
from core.bundle.manifest import Manifest
from core.bundle.runner import Runner
from core.bundle.variants import FILES, wanted
from core.evaluation import evaluate
from core.images.decode import decode
from core.images.preprocess import preprocess
from core.store.images import Sample
from tests.tiny import forge
from trainer.bundling import quantize, variants
from trainer.bundling.release import spread


def samples_of(folder: Path, split: str, labels: tuple[str, ...]) -> list[Sample]:
    """Return the labelled images of one side."""
    paths = [
        (path, label) for label in labels for path in sorted((folder / split / label).iterdir())
    ]
    return [
        Sample(i, str(path), f"{i:064x}", label, split) for i, (path, label) in enumerate(paths)
    ]


def calibration(samples: list[Sample], manifest: Manifest) -> np.ndarray:
    """Return the images that a training would calibrate with, in turn from each class."""
    numbers = np.array([manifest.labels.index(each.label) for each in samples])
    chosen = [
        samples[place]
        for place in spread(numbers, quantize.images_for(len(manifest.labels))).tolist()
    ]
    return np.stack(
        [preprocess(decode(Path(each.uri).read_bytes()), manifest.recipe) for each in chosen]
    )


def main() -> None:
    """Make, judge, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--variants", default="int8,fp16")
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    manifest = files.verify(asked.bundle)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / manifest.version
        shutil.copytree(asked.bundle, folder)
        begun = time.monotonic()
        images = calibration(samples_of(asked.images, "train", manifest.labels), manifest)
        model = (folder / files.MODEL).read_bytes()
        made = variants.make(model, wanted(asked.variants), lambda: images)
        print(f"made in {time.monotonic() - begun:.0f} s")  # noqa: T201 - the answer
        graphs = {FILES[each]: data for each, data in made.items() if isinstance(data, bytes)}
        forge(folder, graphs, format=2, variants={})
        val = samples_of(asked.images, "val", manifest.labels)
        exact = evaluate(Runner.open(folder, "cpu"), val)
        found = variants.judge_all(folder, made, exact)
        for each, verdict in found.items():
            print(each, replace(verdict, per_class={}))  # noqa: T201 - likewise
        kept = {each: replace(one, kept=True).to_dict() for each, one in found.items() if one.n}
        forge(folder, {}, variants=kept)
        task = trial.Task("cpu", callers=all_cores(), max_batch_size=4, seconds=asked.seconds)
        for measurement in trial.measure(folder, task).measurements:
            print(measurement)  # noqa: T201 - likewise


if __name__ == "__main__":
    main()
