"""From a folder, a CSV or a URI to a list of images that somebody has labelled.

Nothing is read here but names and the CSV: images are opened later, by content. Addresses come
out absolute, so that every program finds the images wherever it is started.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from core.catalog import layout
from core.catalog.layout import Split
from core.catalog.report import SetAside, showable
from core.catalog.spreadsheet import read_rows
from core.errors import CatalogError
from core.images.source import require_backend

# SPLIT/CLASS/FOLDER/IMAGE: one level more than any layout, so that what lies too deep is
# reported; and a symbolic link back to the top ends somewhere.
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image, not yet read.

    Attributes:
        uri: An absolute path or an fsspec URI.
        name: Its class, as the source writes it.
        split: The side it is given; None when it is to be drawn.
        captured_at: When it was taken; None when unknown.
        session: Images of one session are one bet; None when unknown.
    """

    uri: str
    name: str
    split: Split | None = None
    captured_at: datetime | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All labelled images of one source.

    Attributes:
        source: Its absolute path or URI.
        entries: The images, in the order of their addresses or of the CSV's rows.
        ignored: Files that are no images, and hidden ones.
        is_remote: Whether reading them means waiting for a network.
    """

    source: str
    entries: list[Entry]
    ignored: int
    is_remote: bool


def list_images(source: str, set_aside: SetAside) -> Listing:
    """List the labelled images of a folder, a CSV, or a URI of either.

    Args:
        source: A path, or an fsspec URI such as `s3://bucket/animals` or `gs://bucket/day.csv`.
        set_aside: Told about images without a class and rows without sense.

    Raises:
        CatalogError: It is not there, cannot be listed, or is no folder and no CSV.
    """
    if "::" in source and not Path(source).exists():
        raise CatalogError(f"{source} chains file systems; unpack it and import the folder")
    if "://" in source and not source.startswith("file://"):
        return _list_remote(source, set_aside)
    # A symbolic link to the folder is followed now: the address must outlive the link.
    path = Path(source.removeprefix("file://")).expanduser().resolve()
    try:
        return _list_local(path, set_aside)
    except OSError as error:
        raise CatalogError(
            f"{showable(str(path))} cannot be read: {error.strerror or error}"
        ) from error


def _list_local(path: Path, set_aside: SetAside) -> Listing:
    if path.is_dir():
        base = f"{path}/".replace("//", "/")
        return _from_folder(
            str(path), _walk(path, set_aside), set_aside, base=base, is_remote=False
        )
    if path.is_file():
        data = path.read_bytes() if _is_csv(path.name) else None
        return _from_csv(str(path), data, set_aside, base=f"{path.parent}/")
    raise CatalogError(
        f"{showable(str(path))} does not exist; give a folder of class folders, a CSV or a URI"
    )


def _list_remote(source: str, set_aside: SetAside) -> Listing:
    require_backend(source)
    try:
        system, root = _open_file_system(source)
        if not system.isdir(root):
            data = system.cat_file(root) if _is_csv(root) else None
            parent = str(system.unstrip_protocol(root)).rpartition("/")[0]
            return _from_csv(source, data, set_aside, base=f"{parent}/")
        top = f"{root.rstrip('/')}/"
        paths = [str(path).removeprefix(top) for path in system.find(root)]
    except CatalogError:
        raise
    except FileNotFoundError as error:
        raise CatalogError(f"nothing lies at {source}") from error
    except Exception as error:  # every fsspec backend raises errors of its own
        raise CatalogError(f"{source} cannot be listed: {error or type(error).__name__}") from error
    base = str(system.unstrip_protocol(top)).rstrip("/")
    return _from_folder(source, paths, set_aside, base=f"{base}/", is_remote=True)


def _open_file_system(uri: str) -> tuple[Any, str]:
    import fsspec.core  # pyright: ignore[reportMissingTypeStubs]  # it ships none

    return cast("Any", fsspec.core).url_to_fs(uri)


def _from_folder(
    source: str,
    paths: Iterable[str],
    set_aside: SetAside,
    *,
    base: str,
    is_remote: bool,
) -> Listing:
    arranged = layout.arrange(paths, set_aside)
    entries = [Entry(base + place.path, place.name, place.split) for place in arranged.places]
    return Listing(source, entries, arranged.ignored, is_remote)


def _from_csv(source: str, data: bytes | None, set_aside: SetAside, *, base: str) -> Listing:
    if data is None:
        raise CatalogError(
            f"{showable(source)} is no folder and no .csv file; give a folder of class folders, "
            "a CSV with the columns path,label, or a URI of either"
        )
    entries: list[Entry] = []
    for row in read_rows(data, source, set_aside):
        uri = row.path.removeprefix("file://")
        if uri == row.path and "://" not in uri and not uri.startswith("/"):
            uri = os.path.normpath(base + uri) if base.startswith("/") else base + uri
        entries.append(Entry(uri, row.label, row.split, row.captured_at, row.session))
    return Listing(source, entries, 0, any("://" in entry.uri for entry in entries))


def _is_csv(name: str) -> bool:
    return name.lower().endswith(".csv")


def _walk(folder: Path, set_aside: SetAside) -> Iterator[str]:
    """Yield the regular files below a folder, relative to it; links are followed."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(folder / prefix) as found:
                items = list(found)
        except OSError as error:
            if not prefix:
                raise
            set_aside.add("unreadable", prefix, f"the folder cannot be listed: {error.strerror}")
            continue
        for item in items:
            path = f"{prefix}{item.name}"
            # Pipes and devices would be waited on for ever; a link to nowhere is reported later.
            if item.is_file() or (item.is_symlink() and not item.is_dir()):
                yield path
            elif item.is_dir() and path.count("/") < _DEEPEST - 1:
                waiting.append(f"{path}/")
