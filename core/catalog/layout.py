"""From the paths below a folder to classes and sides.

Two layouts are understood: class folders, `Cat/1.jpg`, and split folders with class folders
inside, `train/Cat/1.jpg`. Names alone decide here, and only about what is an image at all and
which class it shows; whether a file really is an image is found when it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from core.catalog.report import SetAside

Split = Literal["train", "val", "test"]

# Folder names and CSV cells that name a side, in any case.
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# A file of another kind beside the images is passed over; one that calls itself a picture
# but is none that can be used is reported. No suffix at all: the content decides.
_PICTURES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif"}
    | {"avif", "jp2", "jxl", "ppm", "pgm", "apng"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image of a folder stands.

    Attributes:
        path: Relative to the folder.
        name: Name of the class folder.
        split: Side that its split folder names; None without split folders.
    """

    path: str
    name: str
    split: Split | None


@dataclass(frozen=True, slots=True)
class Layout:
    """A folder understood: its images, and how many other files were passed over."""

    places: list[Place]
    ignored: int


def arrange(paths: Iterable[str], set_aside: SetAside) -> Layout:
    """Give each image below a folder its class and, with split folders, its side.

    Args:
        paths: Files, relative to the folder, with `/` between the parts.
        set_aside: Told about images that stand in no class folder.
    """
    images: list[tuple[str, ...]] = []
    ignored = 0
    for path in sorted(paths):
        parts = tuple(path.split("/"))
        if is_candidate(parts):
            images.append(parts)
        else:
            ignored += 1
    splits = _split_folders(images)
    depth = 3 if splits else 2
    places: list[Place] = []
    for parts in images:
        if len(parts) == depth and (not splits or parts[0] in splits):
            places.append(Place("/".join(parts), parts[-2], splits.get(parts[0])))
        else:
            set_aside.add("misplaced", "/".join(parts), _why_misplaced(parts, splits))
    return Layout(places, ignored)


def is_candidate(parts: tuple[str, ...]) -> bool:
    """Say whether a file may be a picture by its path, given in parts: not hidden, and named so."""
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    suffix = PurePosixPath(parts[-1]).suffix.lower().removeprefix(".")
    return not suffix or suffix in _PICTURES


def _split_folders(images: list[tuple[str, ...]]) -> dict[str, Split]:
    """Return the folders that name sides: named so, and holding class folders, not images.

    A class that happens to be called "Train" holds images, and stays a class. But where there
    is nothing except `train/1.jpg` and `test/2.jpg`, the classes are missing.
    """
    direct = Counter(parts[0] for parts in images if len(parts) == 2)
    deeper = Counter(parts[0] for parts in images if len(parts) > 2)
    sides = {folder for folder in direct | deeper if folder.lower() in SPLIT_NAMES}
    if len(sides) < 2 or sides != set(direct):
        sides = {folder for folder in sides if deeper[folder] > direct[folder]}
    return {folder: SPLIT_NAMES[folder.lower()] for folder in sides}


def _why_misplaced(parts: tuple[str, ...], splits: dict[str, Split]) -> str:
    expected = "SPLIT/CLASS/IMAGE" if splits else "CLASS/IMAGE"
    if splits and parts[0] not in splits:
        return f"stands beside the split folders {', '.join(sorted(splits))}; expected {expected}"
    if len(parts) < (3 if splits else 2):
        return f"stands in no class folder; expected {expected}"
    return f"lies in a folder inside a class folder; expected {expected}"
