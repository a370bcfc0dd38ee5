"""A pool of drawn pictures with three sides, and a backbone small enough to train in a moment.

folder = tiny_backbone(tmp_path)                         # what from_pretrained reads
add(engine, tmp_path / "pool", LABELS, per_side={"train": 12, "val": 6, "test": 6}, now=NOW)
config = tiny_config(folder)                             # trains in about a second
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Engine
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.utils import logging as transformers_logging

from core.images.preprocess import Recipe
from core.store import images
from core.store.database import transaction
from core.store.images import Image, Sample
from tests.images import png
from trainer.images.dataset import Pixels, Sides
from trainer.pipeline import RunConfig

LABELS = ("Blue", "Green", "Red")
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
SIZE = 16

_CHANNEL = {"Red": 0, "Green": 1, "Blue": 2}


def tiny_backbone(parent: Path, *, seed: int = 0) -> Path:
    """Write a ResNet of two stages and 16 features, random weights, and return its folder."""
    transformers_logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=5)
    folder = parent / "tiny-resnet"
    ResNetForImageClassification(config).save_pretrained(folder)
    return folder


def tiny_config(backbone: Path, **changes: object) -> RunConfig:
    """Return a run of a few passes over pictures of 16 x 16."""
    values: dict[str, object] = {
        "name": "colours",
        "backbone": str(backbone),
        "image_size": SIZE,
        "epochs": 6,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "device": "cpu",
    }
    return RunConfig(**(values | changes))  # type: ignore[arg-type]


def colour(label: str, seed: int, *, dull: bool = False) -> NDArray[np.uint8]:
    """Return a noisy picture in which the label's colour leads; `dull` hides it in grey."""
    rng = np.random.default_rng([seed, _CHANNEL[label], int(dull)])
    picture = rng.integers(0, 90, (20, 20, 3))
    if dull:
        picture[:, :10] += 120
        picture[:, 10:, 1 - min(_CHANNEL[label], 1)] += 60
    else:
        picture[..., _CHANNEL[label]] += 120
    return picture.clip(0, 255).astype(np.uint8)


def tiny_pixels(per_class: int, *, first: int = 0) -> Pixels:
    """Return so many pictures of each label, decoded, without files or a pool."""
    labels = np.repeat(np.arange(len(LABELS)), per_class)
    drawn = [colour(LABELS[n], first + i)[:SIZE, :SIZE] for i, n in enumerate(labels)]
    samples = tuple(
        Sample(first + i, "", f"{first + i:064x}", LABELS[n], "train") for i, n in enumerate(labels)
    )
    return Pixels(samples, labels, np.stack(drawn), np.arange(len(labels)), ())


def tiny_sides(folder: Path) -> Sides:
    """Return twelve pictures a class to learn from and five to choose by, kept in the folder."""
    train, val = tiny_pixels(12), tiny_pixels(5, first=500)
    recipe = Recipe(SIZE, SIZE, resize=SIZE)
    return Sides(train, np.ones(len(train)), val, recipe, folder, folder / "features")


def add(
    engine: Engine,
    folder: Path,
    labels: Sequence[str] = LABELS,
    *,
    per_side: Mapping[str, int],
    now: datetime = NOW,
    dull: bool = False,
    first: int = 0,
) -> None:
    """Draw so many pictures per label and side, from number `first` on, into the pool."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Image] = []
    for label in labels:
        for split, n in per_side.items():
            for number in range(first, first + n):
                seed = 1_000 * list(images.SPLITS).index(split) + number
                data = png(colour(label, seed, dull=dull))
                path = folder / f"{label}-{split}-{number}.png"
                path.write_bytes(data)
                rows.append(_row(path, data, label, split, now))
    with transaction(engine) as connection:
        images.insert(connection, rows)


def _row(path: Path, data: bytes, label: str, split: str, now: datetime) -> Image:
    digest = hashlib.sha256(data).hexdigest()
    phash = int(digest[:15], 16)
    return Image(
        uri=str(path),
        sha256=digest,
        phash=phash,
        cluster=phash,
        label=label,
        split=split,
        width=20,
        height=20,
        bytes=len(data),
        type="image/png",
        source="drawn",
        session=None,
        captured_at=None,
        added_at=now,
        labelled_by="test",
    )
