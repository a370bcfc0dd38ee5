"""A tiny fit that may be shared out: what torchrun starts in tests/unit/trainer/test_ranks.py.

torchrun --nproc-per-node 2 -m tests.two_ranks FOLDER     # writes FOLDER/rank-<n>.json
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.images.preprocess import Recipe
from core.store.images import Sample
from trainer import ranks
from trainer.fitting.fit import fit
from trainer.fitting.module import FitOptions
from trainer.images.dataset import Pixels, Sides
from trainer.networks.architectures import Network
from trainer.variation.augment import augment_options

SIZE = 8
# Without variation: two generators cannot draw what one would.
OPTIONS = FitOptions(
    epochs=3, learning_rate=2e-2, batch_size=8, augment=augment_options("none"), device="cpu"
)


class Features(nn.Module):
    """A few means of a picture, in the form of a backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8)
        )

    def forward(self, images: Tensor) -> Any:
        """Return the features as `.logits`."""
        return type("Answer", (), {"logits": self.layers(images)})


def figures(folder: Path, devices: int) -> dict[str, Any]:
    """Fit, and return what came of it in numbers."""
    torch.manual_seed(0)
    network = Network(Features(), width=8, classes=3)
    train, val = _pixels(48, 0), _pixels(15, 1)
    recipe = Recipe(SIZE, SIZE, resize=SIZE)
    sides = Sides(train, np.ones(len(train)), val, recipe, folder, folder)
    losses: list[float] = []
    report = fit(
        network,
        sides,
        options=replace(OPTIONS, devices=devices),
        on_epoch=lambda epoch: losses.extend((epoch.train_loss, epoch.val_loss)),
    )
    return {
        "val_accuracy": report.val_accuracy,
        "val_logits": report.val_logits.tolist(),
        "losses": losses,
        "head": network.head.weight.flatten().tolist(),
    }


def _pixels(n: int, seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 120, (n, SIZE, SIZE, 3))
    images[np.arange(n), ..., labels] += 40
    samples = tuple(Sample(i, "", f"{i:064x}", "", "train") for i in range(n))
    return Pixels(samples, labels, images.astype(np.uint8), np.arange(n), ())


def main(folder: Path) -> None:
    """Fit as one rank of all that torchrun has started."""
    torch.set_num_threads(1)
    with ranks.together(2, 1) as rank:
        if rank.is_first:
            (folder / "first").touch()
        found = figures(folder, devices=2) | {"told": ranks.agreed(f"by rank {rank.number}")}
        found["pid"] = os.getpid()
        (folder / f"rank-{rank.number}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
