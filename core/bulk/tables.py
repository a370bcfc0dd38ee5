"""Answers as columns: the Arrow table of a batch, and the files it ends up in.

| column | what |
|---|---|
| path | as listed |
| sha256 | of the image's bytes; null where they could not be read |
| label, confidence | the likeliest label and its probability |
| top | the likeliest labels, best first: `[{label, probability}]` |
| margin, entropy | lead over the second label; uncertainty in nats |
| error | why there is no answer; null where there is one |

In a CSV `top` is JSON, null is an empty cell, and no cell is a formula to a spreadsheet program.
pyarrow is imported when it is used, not before.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from core.bulk.scoring import Scored
from core.bundle import outputs
from core.catalog.report import showable
from core.catalog.spreadsheet import neutralise
from core.errors import UsageError

COLUMNS = ("path", "sha256", "label", "confidence", "top", "margin", "entropy", "error")


def require_arrow() -> None:
    """Refuse to begin where the tables cannot be written.

    Raises:
        UsageError: pyarrow is not installed.
    """
    _arrow()


def schema(facts: Mapping[str, str]) -> Any:
    """Return the Arrow schema, with facts about the run as its metadata."""
    pa = _arrow()
    candidate = pa.struct([("label", pa.string()), ("probability", pa.float32())])
    kinds = {
        "confidence": pa.float32(),
        "margin": pa.float32(),
        "entropy": pa.float32(),
        "top": pa.list_(candidate),
    }
    return pa.schema(
        [(name, kinds.get(name, pa.string())) for name in COLUMNS],
        metadata={f"weakspot.{name}": value for name, value in facts.items()},
    )


def to_table(scored: Scored, labels: Sequence[str], top_k: int, shape: Any) -> Any:
    """Return the answers of one batch as an Arrow table.

    Args:
        scored: The answers.
        labels: The classes, in the order of the outputs.
        top_k: How many labels `top` has, at most.
        shape: What `schema` gave.
    """
    pa = _arrow()
    probabilities = scored.outputs.probabilities
    answered = np.array([error is None for error in scored.errors], dtype=np.bool_)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    names = pa.array([showable(label) for label in labels], pa.string())

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        """Put the answers' values where their images stand; elsewhere the first one, masked."""
        return values[np.maximum(np.cumsum(answered) - 1, 0)] if len(values) else values

    def column(values: NDArray[Any]) -> Any:
        if not len(values):
            return pa.nulls(len(answered), pa.float32())
        return pa.array(spread(values).astype(np.float32), mask=~answered)

    first = pa.array(spread(best[:, 0]), mask=~answered) if len(best) else None
    columns = {
        "path": [showable(item.path) for item in scored.items],
        "sha256": scored.sha256,
        "label": pa.nulls(len(answered), pa.string()) if first is None else names.take(first),
        "confidence": column(outputs.confidence(probabilities)) if len(best) else column(best),
        "top": _top(best, probabilities, answered, names, shape),
        "margin": column(outputs.margin(probabilities)) if len(best) else column(best),
        "entropy": column(outputs.entropy(probabilities)) if len(best) else column(best),
        "error": [showable(error) if error else None for error in scored.errors],
    }
    return pa.table([columns[name] for name in COLUMNS], schema=shape)


def concatenate(tables: Sequence[Any]) -> Any:
    """Return tables under one another as one."""
    return _arrow().concat_tables(tables).combine_chunks()


def write_parquet(path: Path, tables: Iterable[Any], shape: Any) -> int:
    """Write tables, each as a row group, and return how many rows there were."""
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]

    rows = 0
    with cast("Any", parquet).ParquetWriter(path, shape, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Return a table that `write_parquet` wrote."""
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]

    return cast("Any", parquet).read_table(path, columns=columns, partitioning=None)


def write_csv(path: Path, tables: Iterable[Any]) -> int:
    """Write tables as one CSV and return how many rows there were."""
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for table in tables:
            found = cast("list[dict[str, Any]]", table.to_pylist())
            writer.writerows([_cell(row[name]) for name in COLUMNS] for row in found)
            rows += len(found)
    return rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.7g}"
    return neutralise(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _top(
    best: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    answered: NDArray[np.bool_],
    names: Any,
    shape: Any,
) -> Any:
    pa = _arrow()
    kind = shape.field("top").type
    chances = np.take_along_axis(probabilities, best, axis=1)
    values = pa.StructArray.from_arrays(
        [names.take(pa.array(best.ravel())), pa.array(chances.ravel(), pa.float32())],
        fields=list(kind.value_type),
    )
    starts = np.concatenate([[0], np.cumsum(answered)]).astype(np.int32) * best.shape[1]
    mask = pa.array(~answered)
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), values, type=kind, mask=mask)


def _arrow() -> Any:
    try:
        import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise UsageError("pyarrow is not installed; pip install 'weakspot[bulk]'") from error
    return pa
