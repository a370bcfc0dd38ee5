"""The reference profile: what traffic looked like to the model when nothing was wrong.

Drawn from the test split when a version is trained, kept in its bundle, and compared with each
day's predictions by the monitor. At most 2,000 rows: enough to see a shift of a tenth of a
standard deviation, small enough to be read in a moment.

True labels and digests came later than the format: an older bundle has neither, and a weak class of
it is held against the images judged before it sank.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from core.bundle import files
from core.bundle.manifest import Manifest
from core.bundle.outputs import EMBEDDING_SIZE
from core.errors import BundleError
from core.images.descriptors import DESCRIPTORS

COLUMNS = (*DESCRIPTORS, "confidence", "entropy", "margin")
MAX_ROWS = 2_000

_DIGEST_BYTES = 32
_COLUMN = "column."  # keeps a descriptor's name from ever meeting the other tensors'


@dataclass(frozen=True, slots=True)
class ReferenceProfile:
    """One row for each of n reference images.

    Attributes:
        columns: COLUMNS, each float64 (n,).
        predicted: Index of the predicted label, int64 (n,).
        embedding: Of length 1, float32 (n, 256).
        labels: Index of the true label, int64 (n,); None in a bundle made without.
        digests: SHA-256 of each image's bytes, uint8 (n, 32); None in a bundle made without.

    Raises:
        BundleError: A column is missing, unknown, of another type or length, or holds NaN, or
            there are more than MAX_ROWS rows.
    """

    columns: dict[str, NDArray[np.float64]]
    predicted: NDArray[np.int64]
    embedding: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    digests: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        n = len(self.predicted)
        if n > MAX_ROWS:
            raise BundleError(f"a reference profile of {n} rows; draw {MAX_ROWS} at most")
        if set(self.columns) != set(COLUMNS):
            raise BundleError(
                f"a reference profile has the columns {sorted(COLUMNS)}, not {sorted(self.columns)}"
            )
        for name, column in self.columns.items():
            _check(name, column, np.dtype(np.float64), (n,))
        _check("predicted", self.predicted, np.dtype(np.int64), (n,))
        _check("embedding", self.embedding, np.dtype(np.float32), (n, EMBEDDING_SIZE))
        if self.labels is not None:
            _check("labels", self.labels, np.dtype(np.int64), (n,))
        if self.digests is not None:
            _check("digests", self.digests, np.dtype(np.uint8), (n, _DIGEST_BYTES))


def save(profile: ReferenceProfile) -> bytes:
    """Return the content of `profile.safetensors`."""
    tensors: dict[str, NDArray[np.generic]] = {
        "predicted": np.ascontiguousarray(profile.predicted),
        "embedding": np.ascontiguousarray(profile.embedding),
    }
    for name, found in (("labels", profile.labels), ("digests", profile.digests)):
        if found is not None:
            tensors[name] = np.ascontiguousarray(found)
    for name, column in profile.columns.items():
        tensors[_COLUMN + name] = np.ascontiguousarray(column)
    return safetensors.numpy.save(tensors)


def load(data: bytes) -> ReferenceProfile:
    """Return the profile that `save` wrote.

    Raises:
        BundleError: It is no safetensors file, or a column is wrong.
    """
    try:
        tensors = safetensors.numpy.load(data)
        predicted, embedding = tensors.pop("predicted"), tensors.pop("embedding")
        labels, digests = tensors.pop("labels", None), tensors.pop("digests", None)
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"the reference profile cannot be read: {error}") from error
    columns = {name.removeprefix(_COLUMN): column for name, column in tensors.items()}
    return ReferenceProfile(columns, predicted, embedding, labels, digests)


def read(folder: Path, manifest: Manifest) -> ReferenceProfile:
    """Return the profile of a bundle.

    Raises:
        BundleError: It is missing, altered or wrong.
    """
    profile = load(files.read_member(folder, manifest, files.PROFILE))
    k = len(manifest.labels)
    for name, numbers in (("predicted", profile.predicted), ("true", profile.labels)):
        if numbers is not None and len(numbers) and not 0 <= numbers.min() <= numbers.max() < k:
            raise BundleError(f"{folder / files.PROFILE}: a {name} label is not among the {k}")
    return profile


def _check(
    name: str, column: NDArray[np.generic], kind: np.dtype[np.generic], shape: tuple[int, ...]
) -> None:
    if column.dtype != kind or column.shape != shape:
        raise BundleError(
            f"{name} of the reference profile is {column.dtype} {column.shape}, not {kind} {shape}"
        )
    if not np.isfinite(column.astype(np.float64)).all():
        raise BundleError(f"{name} of the reference profile holds NaN or infinity")
