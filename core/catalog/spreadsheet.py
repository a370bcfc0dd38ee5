"""Lists of labelled images as CSV: read with suspicion, written without formulas.

A cell that begins with `=`, `+`, `-`, `@`, tab or carriage return is a formula to a spreadsheet
program. Such a cell is written with a `'` before it, which is taken off again on reading, so
that every path and label comes back as it was.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from core.catalog.layout import SPLIT_NAMES, Split
from core.catalog.report import SetAside, showable
from core.errors import CatalogError

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NEEDED = ("path", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a list of labelled images; the path may be relative to the list."""

    path: str
    label: str
    split: Split | None
    captured_at: datetime | None
    session: str | None


def read_rows(data: bytes, source: str, set_aside: SetAside) -> Iterator[Row]:
    """Yield the rows of a CSV with the columns path, label [, split, captured_at, session].

    Other columns are passed over. A moment without a time zone is taken as UTC.

    Args:
        data: The file, in UTF-8.
        source: How to call it in messages.
        set_aside: Told about rows that make no sense.

    Raises:
        CatalogError: It is no CSV, or lacks a column.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{showable(source)} is not UTF-8 (byte {error.start}); save it as CSV UTF-8"
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
        if missing := [column for column in _NEEDED if column not in columns]:
            raise CatalogError(
                f"{showable(source)} lacks the column {' and '.join(missing)}; it has "
                f"{', '.join(columns) or 'none'}; the first line must name path,label"
            )
        reader.fieldnames = columns
        for cells in reader:
            try:
                yield _row(cells)
            except ValueError as error:
                set_aside.add("row", f"{source}, line {reader.line_num}", str(error))
    except csv.Error as error:
        line = reader.reader.line_num
        raise CatalogError(f"{showable(source)}, line {line}: {error}") from error


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a CSV whose cells no spreadsheet program takes for formulas."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([neutralise(cell) for cell in row] for row in rows)
    return text.getvalue()


def neutralise(cell: str) -> str:
    """Return a cell that is no formula; `restore` gives back the original.

    Example:
        >>> neutralise("=1+1"), restore("'=1+1")
        ("'=1+1", '=1+1')
    """
    return f"'{cell}" if cell.lstrip("'").startswith(_FORMULA_STARTS) else cell


def restore(cell: str) -> str:
    """Return a cell as it was before `neutralise`."""
    neutral = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA_STARTS)
    return cell[1:] if neutral else cell


def parse_moment(text: str) -> datetime:
    """Return an ISO 8601 moment in UTC; one without a time zone is taken as UTC.

    Raises:
        ValueError: It is none, or lies outside of the years 1 to 9999.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!a} is no ISO 8601 moment such as 2026-01-31") from error


def _row(cells: Mapping[str, str | None]) -> Row:
    # A short row has None in the columns it lacks.
    path = restore(cells.get("path") or "")
    label, split, captured_at, session = (
        restore((cells.get(column) or "").strip())
        for column in ("label", "split", "captured_at", "session")
    )
    if not path.strip():
        raise ValueError("the path is empty")
    if "\0" in path + session:
        raise ValueError("a cell has a NUL character")
    if split and split.lower() not in SPLIT_NAMES:
        raise ValueError(f"the split {split!a} is none of train, val, test")
    return Row(
        path,
        label,
        SPLIT_NAMES[split.lower()] if split else None,
        parse_moment(captured_at) if captured_at else None,
        session or None,
    )
