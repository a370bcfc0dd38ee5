"""Decoded images of a run that was killed, used again when they are whole.

Beside the file of pixels lies a note, written when every image is decoded and on disk: whose
pixels they are, and which images could not be read. Without the note, or with another's, the
pixels are decoded again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import TrainingError
from core.images.preprocess import Recipe
from core.store.images import Sample


def key_of(samples: Sequence[Sample], recipe: Recipe) -> str:
    """Return the SHA-256 of what decides about the pixels: the images in order, and the recipe."""
    digest = hashlib.sha256(json.dumps(recipe.to_dict(), sort_keys=True).encode())
    digest.update("".join(f"{sample.sha256}\n" for sample in samples).encode())
    return digest.hexdigest()


def find(path: Path, key: str) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
    """Return the kept pixels and, by place, why an image was not read; None if not all are there.

    Args:
        path: The file of pixels.
        key: Whose they must be.
    """
    try:
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        if note["key"] != key:
            return None
        pixels = np.lib.format.open_memmap(path, mode="r")
        return pixels, {int(place): why for place, why in note["unreadable"].items()}
    except (OSError, ValueError, KeyError):
        return None


def create(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Return a new file of pixels, whose room on the disk is taken at once.

    Raises:
        TrainingError: There is no such room: better now than as a bus error half way.
    """
    _note(path).unlink(missing_ok=True)
    size = math.prod(shape)
    try:
        pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise TrainingError(
            f"{path.parent} cannot take {shape[0]} images of {shape[1]} x {shape[2]}, "
            f"{size / 1e6:.0f} MB: {error.strerror}; make room, or take a smaller --image-size "
            "or --limit-per-class"
        ) from error
    return pixels


def keep(path: Path, key: str, pixels: np.memmap, unreadable: Mapping[int, str]) -> None:
    """Note that all pixels are there; they are on disk before the note is."""
    pixels.flush()
    unfinished = _note(path).with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump({"key": key, "unreadable": dict(unreadable)}, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(_note(path))


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
