"""A long run's results so far, in whole parts on disk, so that a killed run goes on.

    preds.parquet.parts/
      state.json             what is being done: another bundle or option is refused
      part-000001.parquet    so many rows, in the order of the listing
      part-000002.parquet

A part appears whole or not at all (temporary name, fsync, rename), and so does the file they are
put together into. One process at a time works on them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, cast

from core.bulk import tables
from core.errors import CatalogError, ConflictError, UsageError

_STATE = "state.json"
_PARTS_TOGETHER = 16  # in one row group of the merged file


class Parts:
    """The parts of one result; made by `open_parts`.

    Args:
        folder: Where they lie.
        shape: Their Arrow schema.
    """

    def __init__(self, folder: Path, shape: Any) -> None:
        self._folder = folder
        self._shape = shape
        self._count = len(list(self.finished()))

    def finished(self) -> Iterator[Path]:
        """Yield the parts on disk, in order.

        Raises:
            CatalogError: One is missing among them.
        """
        for number, path in enumerate(sorted(self._folder.glob("part-*.parquet")), start=1):
            if path != self._path(number):
                raise CatalogError(f"{self._path(number)} is gone; remove {self._folder}")
            yield path

    def add(self, table: Any) -> None:
        """Keep some more rows."""
        with _appearing(self._path(self._count + 1)) as path:
            tables.write_parquet(path, [table], self._shape)
        self._count += 1

    def merge(self, out: Path) -> int:
        """Put all parts together into `out`, remove them, and return the number of rows."""
        listed = self.finished()
        groups = iter(lambda: list(islice(listed, _PARTS_TOGETHER)), [])
        found = (tables.concatenate([*map(tables.read_parquet, each)]) for each in groups)
        # Beside the parts until it is whole: they are on the same disk as `out`.
        with _appearing(out, inside=self._folder) as path:
            if out.suffix.lower() == ".csv":
                rows = tables.write_csv(path, found)
            else:
                rows = tables.write_parquet(path, found, self._shape)
        shutil.rmtree(self._folder)
        return rows

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06}.parquet"


@contextmanager
def open_parts(out: Path, facts: Mapping[str, str], shape: Any) -> Generator[Parts]:
    """Give the parts of a result, those of an earlier run included.

    Args:
        out: The file that they become.
        facts: What the result depends on; an earlier run must have had the same.
        shape: The Arrow schema.

    Raises:
        ConflictError: Another process is at work on them.
        UsageError: The earlier run had another bundle, source or option.
        CatalogError: The disk refuses.
    """
    folder = folder_of(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CatalogError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        _lock(descriptor, folder)
        _check(folder, facts)
        yield Parts(folder, shape)
    except OSError as error:
        raise CatalogError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def folder_of(out: Path) -> Path:
    """Return the folder of a result's parts."""
    return out.with_name(f"{out.name}.parts")


def recorded(out: Path) -> dict[str, str]:
    """Return the facts of the run that is under way; empty when there is none.

    Raises:
        CatalogError: They cannot be read.
    """
    path = folder_of(out) / _STATE
    try:
        return cast("dict[str, str]", json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} cannot be read: {error}; remove {path.parent}") from error


def _check(folder: Path, facts: Mapping[str, str]) -> None:
    before = recorded(folder.with_name(folder.name.removesuffix(".parts")))
    if not before:
        with _appearing(folder / _STATE) as path:
            path.write_text(json.dumps(dict(facts), indent=2) + "\n", encoding="utf-8")
        return
    for name in sorted({*before, *facts}):
        if before.get(name) != facts.get(name):
            raise UsageError(
                f"{folder} holds an unfinished run whose {name} was {before.get(name)}, and now "
                f"it is {facts.get(name)}; finish that run, choose another --out, or remove the "
                "folder to start over"
            )


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConflictError(f"another process is at work on {folder}") from error


@contextmanager
def _appearing(target: Path, inside: Path | None = None) -> Generator[Path]:
    """Give a path to write to, which becomes `target` when all of it is on disk."""
    path = (inside or target.parent) / f"{target.name}.tmp"
    yield path
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
