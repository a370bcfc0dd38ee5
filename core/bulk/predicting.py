"""A version's answers for a folder or CSV of images, in one file: the whole way on one page.

list -> skip what an earlier run has done -> decode and ask -> parts on disk -> one file
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from core.bulk import tables
from core.bulk.listing import Item, list_items
from core.bulk.parts import Parts, folder_of, open_parts
from core.bulk.scoring import Pace, score
from core.bundle.runner import Runner
from core.catalog.report import showable
from core.errors import CatalogError, UsageError

SUFFIXES = (".parquet", ".csv")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What is wanted.

    Attributes:
        source: A folder of images, or a CSV with a column `path`.
        out: The file to write, .parquet or .csv.
        top_k: How many labels each image's `top` has, at most.
        part_rows: Rows after which the results so far are safe on disk.
    """

    source: Path
    out: Path
    top_k: int = 5
    part_rows: int = 1_000


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.

    Attributes:
        rows: In the file.
        resumed: Of them, those that an earlier run had done.
        unreadable: Images of this run that could not be answered.
    """

    rows: int
    resumed: int
    unreadable: int


def check(task: Task) -> None:
    """Refuse what cannot end well, before a model is loaded.

    Raises:
        UsageError: The output has another suffix or is there already, `top_k` or `part_rows` is
            below 1, or pyarrow is missing.
        CatalogError: The source is neither folder nor CSV.
    """
    if task.out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{task.out} must end with .parquet or .csv")
    if task.out.exists():
        raise UsageError(f"{task.out} exists already; remove it or choose another --out")
    if min(task.top_k, task.part_rows) < 1:
        raise UsageError(f"top_k {task.top_k} and part_rows {task.part_rows} must be 1 or more")
    tables.require_arrow()
    list_items(task.source)


def predict(
    runner: Runner, task: Task, pace: Pace, *, on_progress: Progress | None = None
) -> Report:
    """Answer every image of the source and write the answers; go on where a killed run was.

    Args:
        runner: The version to ask.
        task: What is wanted.
        pace: How the work is shared out.
        on_progress: Told (images done, images in all), an earlier run's included.

    Raises:
        UsageError: As `check`; or the unfinished run before had another bundle or option.
        ConflictError: Another process is writing the same file.
        CatalogError: The source cannot be listed, holds no images, or changed since the
            unfinished run; or the disk refuses.
        BundleError: The model failed.
    """
    check(task)
    total = sum(1 for _ in list_items(task.source))
    if not total:
        raise CatalogError(f"{showable(str(task.source))} holds no images")
    facts = _facts(runner, task)
    shape = tables.schema(facts)
    tell = on_progress or _say_nothing
    with open_parts(task.out, facts, shape) as parts:
        listed = list_items(task.source)
        resumed = _skip_finished(parts, listed, task)
        tell(resumed, total)
        done, unreadable = resumed, 0
        with closing(_answers(runner, task, pace, listed, parts, shape)) as answers:
            for rows, failed in answers:
                done, unreadable = done + rows, unreadable + failed
                tell(done, total)
        return Report(parts.merge(task.out), resumed, unreadable)


def _facts(runner: Runner, task: Task) -> dict[str, str]:
    return {
        "bundle": runner.digest,
        "version": runner.version,
        "engine": runner.engine,
        "source": showable(str(task.source.absolute())),
        "top_k": str(task.top_k),
    }


def _skip_finished(parts: Parts, listed: Iterator[Item], task: Task) -> int:
    """Take from the listing what is in the parts, and return how many images that is."""
    skipped = 0
    for path in parts.finished():
        found: list[str] = tables.read_parquet(path, ["path"])["path"].to_pylist()
        if found != [showable(item.path) for item in islice(listed, len(found))]:
            raise CatalogError(
                f"{showable(str(task.source))} lists other images than when {path} was written; "
                f"remove {folder_of(task.out)} to start over"
            )
        skipped += len(found)
    return skipped


def _answers(
    runner: Runner, task: Task, pace: Pace, items: Iterator[Item], parts: Parts, shape: Any
) -> Generator[tuple[int, int]]:
    """Score the images into parts; yields after each batch (rows, unreadable among them)."""
    pending: list[Any] = []
    rows = 0
    try:
        with closing(score(runner, items, pace)) as batches:
            for scored in batches:
                pending.append(tables.to_table(scored, runner.labels, task.top_k, shape))
                rows += len(scored.items)
                if rows >= task.part_rows:
                    done, pending, rows = pending, [], 0
                    parts.add(tables.concatenate(done))
                yield len(scored.items), sum(error is not None for error in scored.errors)
    finally:
        # Also when the run is interrupted: what was answered is not asked again.
        if pending:
            parts.add(tables.concatenate(pending))


def _say_nothing(_done: int, _total: int) -> None:
    """Draw no progress."""
