"""Measures fitting against a bare PyTorch loop on the same tensors, as a ratio in one run.

    python -m tests.bench.training [--steps 24] [--size 64] [--batch 32]
        [--backbone microsoft/resnet-50] [--device auto] [--turn 1] [--compile]

Both train the same architecture with random weights on the same bytes, with the same optimiser,
precision and memory layout; the bare loop has nothing else in it. They take turns step by step in
one thread, so that whatever else the machine does meets both alike: the ratio is the median over
the turns of the bare loop's time by fitting's, and `cpu_ratio` the same of processor time. Beside
fitting without variation: with variation, what handing out the batches alone takes as a share of
a step, what a step gains that keeps its memory (`memory_gain`; training does, neither of the two
that take turns), and with `--compile` a network that torch has compiled. On a GPU take turns of
ten steps or more (`--turn`): the clock is read when all of a turn is done. A fit in a thread of its
own is refused, for taking turns would hide what that costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from core.images.preprocess import Recipe
from core.store.images import Sample
from trainer.fitting.fit import autocast, fit, in_channels_last, torch_device, use_all_cores
from trainer.fitting.kept_memory import memory_kept
from trainer.fitting.module import FitOptions, as_images
from trainer.images.dataset import Batches, Pixels, Sides
from trainer.networks import architectures
from trainer.networks.architectures import Network
from trainer.variation.augment import augment_options

CLASSES = 15
WARM_UP = 2  # turns that are not counted: the optimiser's moments and much memory are made in them

Seconds = tuple[float, float]  # of the wall's clock and of the processor's


def pixels(n: int, size: int, folder: Path) -> Pixels:
    """Return random pictures in a memory-mapped file, as a run has them."""
    rng = np.random.default_rng(0)
    shape = (n, size, size, 3)
    images = np.lib.format.open_memmap(folder / f"{n}.npy", mode="w+", dtype=np.uint8, shape=shape)
    images[:] = rng.integers(0, 256, shape, dtype=np.uint8)
    samples = tuple(Sample(i, "", f"{i:064x}", "", "train") for i in range(n))
    return Pixels(samples, rng.integers(0, CLASSES, n), images, np.arange(n), ())


def bare(network: Network, train: Pixels, options: FitOptions) -> Iterator[None]:
    """Take the steps of the loop that anybody would write."""
    place = torch_device(options.device)
    in_channels_last(network).to(place).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, fused=True)
    images, labels = torch.from_numpy(train.images[:]), torch.from_numpy(train.labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    for places in order.split(options.batch_size):
        batch, truth = images[places].to(place), labels[places].to(place)
        with autocast(place):
            loss = functional.cross_entropy(network(as_images(batch)), truth)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


class Turns:
    """What fitting reports its steps to: after each turn the bare loop takes one of as many steps.

    Attributes:
        taken: Wall and processor seconds of each turn, of the bare loop and of fitting.
    """

    def __init__(self, loop: Iterator[None], turn: int) -> None:
        self._loop, self._turn = loop, turn
        self._steps = 0
        self._thread = threading.get_ident()
        self._began = _clocks()
        self.taken: list[tuple[Seconds, Seconds]] = []

    def __call__(self, *_told: object) -> None:
        """Take a step of ours as done."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("fitting computes in another thread than the bare loop")
        self._steps += 1
        if self._steps % self._turn:
            return
        ours = _since(self._began)
        begun = _clocks()
        for _ in range(self._turn):
            next(self._loop)
        self.taken.append((_since(begun), ours))
        self._began = _clocks()


def _clocks() -> Seconds:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def _since(begun: Seconds) -> Seconds:
    now = _clocks()
    return now[0] - begun[0], now[1] - begun[1]


def ratio(taken: list[tuple[Seconds, Seconds]], clock: int) -> float:
    """Return the median over the turns of the bare loop's time by fitting's."""
    return round(statistics.median(bare[clock] / ours[clock] for bare, ours in taken), 3)


def median(taken: list[tuple[Seconds, Seconds]], who: int) -> float:
    """Return the median wall seconds of a turn: of the bare loop (0) or of fitting (1)."""
    return statistics.median(pair[who][0] for pair in taken)


def loader_seconds(train: Pixels, options: FitOptions) -> float:
    """Return what handing out one batch takes."""
    batches = Batches(train, batch_size=options.batch_size, weights=np.ones(len(train)))
    started = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - started) / len(batches)


def memory_gain(loop: Iterator[None]) -> float:
    """Return the median time of a bare step by that of one that keeps its memory, in turns."""
    gains: list[float] = []
    with suppress(StopIteration):
        while True:
            plain = _second_step(loop)
            with memory_kept():
                gains.append(plain / _second_step(loop))
    return round(statistics.median(gains), 3)


def _second_step(loop: Iterator[None]) -> float:
    next(loop)
    begun = _clocks()
    next(loop)
    return _since(begun)[0]


def measure(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let them take turns, and return what is printed."""
    rounds = chosen.steps // chosen.turn
    train = pixels(rounds * chosen.turn * chosen.batch, chosen.size, folder)
    recipe = Recipe(chosen.size, chosen.size, resize=chosen.size)
    val = pixels(CLASSES, chosen.size, folder)
    sides = Sides(train, np.ones(len(train)), val, recipe, folder, folder)
    plain = FitOptions(
        epochs=1,
        learning_rate=1e-4,
        batch_size=chosen.batch,
        augment=augment_options("none"),
        device=chosen.device,
    )
    ways = {"ours": plain, "ours, varied": replace(plain, augment=augment_options("light"))}
    if chosen.compile:
        ways["ours, compiled"] = replace(plain, compile=True)

    def fresh() -> Network:
        kind = architectures.load(chosen.backbone, from_scratch=True, image_size=chosen.size)
        return kind.network(CLASSES)

    taken: dict[str, list[tuple[Seconds, Seconds]]] = {}
    for way, options in ways.items():
        turns = Turns(bare(fresh(), train, plain), chosen.turn)
        fit(fresh(), sides, options=options, on_progress=turns)
        taken[way] = turns.taken[WARM_UP:]
    step = {way: median(turns, 1) / chosen.turn for way, turns in taken.items()}
    step["bare"] = median(taken["ours"], 0) / chosen.turn
    return {
        "images_per_s": {way: round(chosen.batch / each, 1) for way, each in step.items()},
        "ratio_to_bare": {way: ratio(turns, 0) for way, turns in taken.items()},
        "cpu_ratio": {way: ratio(turns, 1) for way, turns in taken.items()},
        "memory_gain": memory_gain(bare(fresh(), train, plain)),
        "loader_share": round(loader_seconds(train, plain) / step["ours"], 4),
        "turns": rounds - WARM_UP,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description="Fitting against a bare PyTorch loop.")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turn", type=int, default=1, help="Steps that one takes at a stretch.")
    parser.add_argument("--backbone", default=architectures.DEFAULT_BACKBONE)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    chosen = parser.parse_args()
    use_all_cores()
    with tempfile.TemporaryDirectory() as name:
        told = measure(chosen, Path(name))
    print(json.dumps(told, indent=1))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
