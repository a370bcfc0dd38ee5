"""The parts of an answer, each alone: the model, and decoding, with every core at work.

A process of its own, so that its memory and threads are gone when the servers are measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from core.bundle import files, sentinels
from core.bundle.engines import Threads
from core.bundle.runner import Runner
from core.images.decode import decode
from core.images.preprocess import preprocess
from service.model.batcher import available_cores
from weakspot.bundle_choice import known_engine
from weakspot.engine_speed import runs_per_s

BATCH_SIZES = (1, 4)  # what the service does when it is at leisure, and when it is not


def main() -> None:
    """Print images a second of the model and of decoding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    cores = available_cores()
    engine = known_engine(asked.engine)
    runner = Runner.open(asked.bundle, "cpu", Threads(1, cores), engine=engine)
    images = sentinels.read(asked.bundle, files.read_manifest(asked.bundle)).images
    model = {}
    for size in BATCH_SIZES:
        batch = np.ascontiguousarray(images[np.arange(size) % len(images)])
        rate = runs_per_s(lambda: runner.run(batch), cores, asked.seconds)  # noqa: B023
        model[size] = size * rate
    photos = [path.read_bytes() for path in sorted(asked.photos.iterdir())]

    def prepare_all() -> None:
        for data in photos:
            preprocess(decode(data), runner.recipe)

    decoding = len(photos) * runs_per_s(prepare_all, cores, asked.seconds)
    found = {"cores": cores, "model": max(model.values()), "by_batch": model, "decode": decoding}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
