"""Measures fitting against a bare PyTorch loop on the same tensors, as a ratio in one run.

    python -m tests.bench.training [--images 256] [--size 64] [--batch 32] [--repeats 3]
        [--backbone microsoft/resnet-50] [--device auto] [--compile]

Both train the same architecture with random weights on the same bytes, with the same optimiser,
precision and memory layout, without variation; the bare loop has nothing else in it. They take
turns, and the median of each is told: images a second between the first step of a pass and its
last. Beside them: the same with variation, what handing out the batches alone takes as a share
of a step, and with `--compile` a network that torch has compiled.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from core.images.preprocess import Recipe
from core.store.images import Sample
from trainer.fitting.fit import autocast, fit, in_channels_last, torch_device, use_all_cores
from trainer.fitting.module import FitOptions, as_images
from trainer.images.dataset import Batches, Pixels, Sides
from trainer.networks import architectures
from trainer.networks.architectures import Network
from trainer.variation.augment import augment_options

CLASSES = 15


def pixels(n: int, size: int, folder: Path) -> Pixels:
    """Return random pictures in a memory-mapped file, as a run has them."""
    rng = np.random.default_rng(0)
    shape = (n, size, size, 3)
    images = np.lib.format.open_memmap(folder / f"{n}.npy", mode="w+", dtype=np.uint8, shape=shape)
    images[:] = rng.integers(0, 256, shape, dtype=np.uint8)
    samples = tuple(Sample(i, "", f"{i:064x}", "", "train") for i in range(n))
    return Pixels(samples, rng.integers(0, CLASSES, n), images, np.arange(n), ())


def bare(network: Network, train: Pixels, options: FitOptions) -> float:
    """Return the images a second of the loop that anybody would write."""
    place = torch_device(options.device)
    in_channels_last(network).to(place).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, fused=True)
    images, labels = torch.from_numpy(train.images[:]), torch.from_numpy(train.labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    batches = order.split(options.batch_size)
    started = 0.0
    for step, places in enumerate(batches):
        batch, truth = images[places].to(place), labels[places].to(place)
        with autocast(place):
            loss = functional.cross_entropy(network(as_images(batch)), truth)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:
            float(loss.detach())
            started = time.perf_counter()
    float(loss.detach())
    return (len(order) - options.batch_size) / (time.perf_counter() - started)


def ours(network: Network, sides: Sides, options: FitOptions) -> float:
    """Return the images a second of `trainer.fitting.fit.fit`, in its last pass."""
    moments: list[float] = []
    fit(
        network,
        sides,
        options=options,
        on_progress=lambda _stage, _done, _total: moments.append(time.perf_counter()),
    )
    steps = len(moments) // options.epochs
    taken = moments[-1] - moments[-steps]
    return (len(sides.train) - options.batch_size) / taken


def loader_share(train: Pixels, options: FitOptions, speed: float) -> float:
    """Return what handing out the batches takes, as a share of the time of a pass."""
    batches = Batches(train, batch_size=options.batch_size, weights=np.ones(len(train)))
    started = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - started) / (len(train) / speed)


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--backbone", default=architectures.DEFAULT_BACKBONE)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    chosen = parser.parse_args()
    use_all_cores()
    options = FitOptions(
        epochs=1,
        learning_rate=1e-4,
        batch_size=chosen.batch,
        augment=augment_options("none"),
        device=chosen.device,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train = pixels(chosen.images - chosen.images % chosen.batch, chosen.size, folder)
        val = pixels(2 * CLASSES, chosen.size, folder)
        recipe = Recipe(chosen.size, chosen.size, resize=chosen.size)
        sides = Sides(train, np.ones(len(train)), val, recipe, folder, folder)

        def fresh() -> Network:
            return architectures.load(
                chosen.backbone, from_scratch=True, image_size=chosen.size
            ).network(CLASSES)

        ways: dict[str, Callable[[], float]] = {
            "bare": lambda: bare(fresh(), train, options),
            "ours": lambda: ours(fresh(), sides, options),
            "ours, varied": lambda: ours(
                fresh(), sides, replace(options, augment=augment_options("light"))
            ),
        }
        if chosen.compile:
            # Two passes: the first one compiles.
            ways["ours, compiled"] = lambda: ours(
                fresh(), sides, replace(options, compile=True, epochs=2)
            )
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(chosen.repeats):
            for way, measure in ways.items():
                found[way].append(measure())
        speeds = {way: statistics.median(values) for way, values in found.items()}
        told = {
            "images_per_s": {way: round(speed, 1) for way, speed in speeds.items()},
            "ratio_to_bare": {
                way: round(statistics.median(values) / speeds["bare"], 3)
                for way, values in found.items()
            },
            "loader_share": round(loader_share(train, options, speeds["ours"]), 4),
            "threads": torch.get_num_threads(),
        }
    print(json.dumps(told, indent=1))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
