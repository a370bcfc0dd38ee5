"""The images of a folder or a CSV, one after the other, in an order that never changes.

A folder is walked depth first, the names of each folder sorted, so that a run which was killed
finds its place again. At most one folder's names are held at a time. Hidden files and those whose
name is no picture's are passed over; a link to a file is followed, a link to a folder is not.

A CSV needs a column `path`, relative to the CSV, absolute, or any address that fsspec reads.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.catalog.layout import is_candidate
from core.catalog.report import showable
from core.catalog.spreadsheet import restore
from core.errors import CatalogError
from core.images.source import protocol, require_backend


@dataclass(frozen=True, slots=True)
class Item:
    """One image to be answered.

    Attributes:
        path: As the result calls it: relative to the folder, or as the CSV writes it.
        uri: Where it lies.
    """

    path: str
    uri: str


def list_items(source: Path) -> Iterator[Item]:
    """Return an iterator over the images of a folder or CSV.

    Raises:
        CatalogError: It is not there, is neither, or a folder or row in it cannot be read.
    """
    if source.is_dir():
        return _walk(source)
    if source.suffix.lower() == ".csv" and source.is_file():
        return _rows(source)
    raise CatalogError(f"{showable(str(source))} is no folder and no .csv file")


def _walk(folder: Path) -> Generator[Item]:
    """Yield the pictures below a folder; a name that ends with `/` is a folder still to open."""
    base = f"{folder}/".replace("//", "/")
    waiting = [""]
    while waiting:
        path = waiting.pop()
        if path and not path.endswith("/"):
            yield Item(path, base + path)
        else:
            waiting += sorted(_names(base, path), reverse=True)


def _names(base: str, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(base + prefix) as found:
            for entry in found:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name != "__MACOSX":
                        yield f"{path}/"
                elif is_candidate((entry.name,)) and not entry.is_dir():
                    yield path
    except OSError as error:
        where = showable(base + prefix)
        raise CatalogError(f"{where} cannot be listed: {error.strerror or error}") from error


def _rows(source: Path) -> Generator[Item]:
    where, parent = showable(str(source)), source.absolute().parent
    reader = None
    known: set[str] = set()
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            column = _path_column(next(reader, list[str]()), where)
            for cells in filter(None, reader):
                path = restore(cells[column]) if column < len(cells) else ""
                if not path.strip():
                    raise CatalogError(f"{where}, line {reader.line_num}: the path is empty")
                if (backend := protocol(path)) not in known:
                    require_backend(path)
                    known.add(backend)
                yield Item(path, path if "://" in path else str(parent / path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        line = f", line {reader.line_num}" if reader else ""
        raise CatalogError(f"{where}{line} cannot be read: {error}") from error


def _path_column(header: list[str], where: str) -> int:
    columns = [name.strip().lower() for name in header]
    if "path" not in columns:
        found = ", ".join(columns) or "nothing"
        raise CatalogError(f"{where} lacks the column path in its first line; it has {found}")
    return columns.index("path")
