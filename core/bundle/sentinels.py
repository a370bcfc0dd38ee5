"""A few dozen real images and what the model said of them when the bundle was made.

Whoever loads the bundle, on whatever machine, asks the model again: an answer that moved means
other weights, another graph or a runtime that computes wrongly, and is caught before a user sees
it. Alone and as one batch, because graphs have been exported that work at one size only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from core.bundle import files
from core.bundle.manifest import Manifest
from core.bundle.outputs import Outputs
from core.errors import BundleError

ALLOWED_DIFFERENCE = 1e-2  # of a logit, in float32; other machines reach about 1e-4
# In half precision or bfloat16: 0.04 to 0.19 was seen of ResNet50. It can turn only an answer
# whose first two labels stand closer than e^(2 x 0.25) = 1.6 to 1.
ALLOWED_COARSE_DIFFERENCE = 0.25

_ROUNDING = 1e-3
_SMALLEST_BATCH = 3
_LARGEST_BATCH = 16  # the runtimes keep the memory of the largest batch they ever saw


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Images with the answers they must get.

    Attributes:
        images: Real, preprocessed by the bundle's recipe, uint8 (n, H, W, 3), n >= 1.
        logits: The graph's `logits` for them, float32 (n, K).
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]

    def first(self, n: int) -> Sentinels:
        """Return the first n of them."""
        return Sentinels(self.images[:n], self.logits[:n])


def save(sentinels: Sentinels) -> bytes:
    """Return the content of `sentinels.safetensors`."""
    return safetensors.numpy.save(
        {
            "images": np.ascontiguousarray(sentinels.images),
            "logits": np.ascontiguousarray(sentinels.logits),
        }
    )


def read(folder: Path, manifest: Manifest) -> Sentinels:
    """Return the sentinels of a bundle.

    Raises:
        BundleError: They are altered, or not of the type and shape that the manifest asks for.
    """
    path = folder / files.SENTINELS
    try:
        tensors = safetensors.numpy.load(files.read_member(folder, manifest, files.SENTINELS))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{path} is no safetensors file: {error}") from error
    if tensors.keys() != {"images", "logits"}:
        raise BundleError(f"{path} holds {sorted(tensors)}, not images and logits")
    images, logits = tensors["images"], tensors["logits"]
    n, recipe = len(images), manifest.recipe
    if images.dtype != np.uint8 or images.shape != (n, recipe.height, recipe.width, 3) or not n:
        raise BundleError(
            f"{path}: images are {images.dtype} {images.shape}, and must be one or more uint8 "
            f"of {recipe.height} x {recipe.width} x 3"
        )
    if logits.dtype != np.float32 or logits.shape != (n, len(manifest.labels)):
        raise BundleError(
            f"{path}: logits are {logits.dtype} {logits.shape}, and must be float32 "
            f"{(n, len(manifest.labels))}"
        )
    return Sentinels(images, logits)


def allowed_difference(*, exact: bool) -> float:
    """Return by how much a logit may differ, in an engine that computes in float32 or not."""
    return ALLOWED_DIFFERENCE if exact else ALLOWED_COARSE_DIFFERENCE


def check(
    run: Callable[[NDArray[np.uint8]], Outputs],
    sentinels: Sentinels,
    manifest: Manifest,
    *,
    allowed: float = ALLOWED_DIFFERENCE,
) -> None:
    """Ask the model about its sentinels, one alone and all in batches.

    Raises:
        BundleError: It fails at a batch size, a logit moved by more than `allowed`,
            the probabilities are not softmax(logits), or an embedding is not of length 1.
    """
    n = len(sentinels.images)
    everything = np.arange(max(n, _SMALLEST_BATCH)) % n
    batches = np.array_split(everything, -(-len(everything) // _LARGEST_BATCH))
    for rows in (np.arange(1), *batches):
        outputs = run(sentinels.images[rows])
        check_answers(outputs, sentinels.logits[rows], manifest.version, allowed)


def check_answers(
    outputs: Outputs, expected: NDArray[np.float32], version: str, allowed: float
) -> None:
    """Hold answers to n sentinels against the logits they must have, float32 (n, K).

    Raises:
        BundleError: A logit moved by more than `allowed`, the probabilities are not
            softmax(logits), or an embedding is not of length 1.
    """
    difference = float(np.abs(outputs.logits - expected).max())
    # Not `difference > allowed`: that is false for a NaN among the stored logits.
    if not difference <= allowed:
        raise BundleError(
            f"version {version} answers its own sentinels otherwise than when it was made: a logit "
            f"of a batch of {len(expected)} is off by {difference:.2e}, more than "
            f"{allowed:.0e}; export it again"
        )
    if not _is_softmax(outputs):
        raise BundleError(f"version {version}: probabilities are not softmax(logits)")
    length = np.linalg.norm(outputs.embedding, axis=1)
    if not np.allclose(length, 1, atol=_ROUNDING):
        raise BundleError(f"version {version}: an embedding has length {length.min():.3f}, not 1")


def _is_softmax(outputs: Outputs) -> bool:
    shifted = outputs.logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    return bool(np.allclose(outputs.probabilities, softmax, atol=_ROUNDING))
