"""Two versions on the same images, class by class: the difference of their recalls, and how sure.

Three sources, the first that has anything: images that both have answered in daily exams, one of
them perhaps as the predecessor on probation; the gate's exam, where one was the other's challenger;
and the recalls that each was released with, which are no pairs and get no interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.stats.proportions import paired_difference
from core.store import side_by_side
from core.store.side_by_side import Pair

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from core.store.registry import Version

Source = Literal["exams", "gate", "releases", "nothing"]

# Of a normal distribution, 95 % lies within so many standard deviations.
_QUANTILE = 1.959964


@dataclass(frozen=True, slots=True)
class Row:
    """One class, or all images together.

    Attributes:
        label: The class; None for all images.
        n: Images behind it; None where nobody counted.
        a: Recall of the first version; None where it is not known.
        b: Recall of the second.
        difference: b minus a.
        low: Lower end of its 95 % interval; None where the images are no pairs.
        high: Upper end.
    """

    label: str | None
    n: int | None
    a: float | None
    b: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions, class by class.

    Attributes:
        a: The first.
        b: The second.
        source: Where the numbers come from.
        rows: The classes, the largest loss of `b` first.
        whole: All images together; None where nothing is known of them.
        job: The exam, where the source is the gate's.
    """

    a: str
    b: str
    source: Source
    rows: list[Row]
    whole: Row | None
    job: int | None = None


def compare(connection: Connection, a: Version, b: Version) -> Comparison:
    """Return two versions on the same images, by whichever source knows something."""
    pairs = side_by_side.pairs(connection, a.version, b.version)
    if pairs:
        return _paired(a.version, b.version, pairs, "exams")
    examined = _examined(connection, a.version, b.version)
    return examined or _released(a, b)


def _examined(connection: Connection, a: str, b: str) -> Comparison | None:
    """Return what a gate's exam of one against the other has counted; None without one."""
    for champion, challenger in ((a, b), (b, a)):
        exam = side_by_side.exam(connection, champion, challenger)
        if exam is None:
            continue
        job, gate = exam
        pairs = [pair for each in gate["classes"] if (pair := _of_gate(each, champion == a))]
        if pairs:
            return _paired(a, b, pairs, "gate", job)
    return None


def _of_gate(each: Mapping[str, Any], forward: bool) -> Pair | None:
    """Return a class of an exam as a pair; the gate keeps no count of what both name rightly."""
    n = int(each.get("n") or 0)
    if not n:
        return None
    gained, lost = int(each.get("gained") or 0), int(each.get("lost") or 0)
    up, down = (gained, lost) if forward else (lost, gained)
    return Pair(str(each.get("label", "")), n, _UNKNOWN, up, down)


_UNKNOWN = -1


def _paired(
    a: str, b: str, pairs: Sequence[Pair], source: Source, job: int | None = None
) -> Comparison:
    """Return classes with their paired differences, the largest loss first."""
    rows = _rows(pairs, [each.label for each in pairs])
    rows.sort(key=lambda row: (row.difference or 0.0, str(row.label)))
    known = all(each.both != _UNKNOWN for each in pairs)
    both = sum(each.both for each in pairs) if known else _UNKNOWN
    n, gained, lost = (
        sum(getattr(each, name) for each in pairs) for name in ("n", "gained", "lost")
    )
    return Comparison(a, b, source, rows, _rows([Pair("", n, both, gained, lost)], [None])[0], job)


def _rows(pairs: Sequence[Pair], labels: Sequence[str | None]) -> list[Row]:
    counts = np.array([[each.gained, each.lost, each.n] for each in pairs], dtype=np.int64).T
    difference, error = paired_difference(*counts)
    low = np.clip(difference - _QUANTILE * error, -1, 1).tolist()
    high = np.clip(difference + _QUANTILE * error, -1, 1).tolist()
    return [
        Row(
            label,
            pair.n,
            None if pair.both == _UNKNOWN else (pair.both + pair.lost) / pair.n,
            None if pair.both == _UNKNOWN else (pair.both + pair.gained) / pair.n,
            found,
            low[i],
            high[i],
        )
        for i, (label, pair, found) in enumerate(
            zip(labels, pairs, difference.tolist(), strict=True)
        )
    ]


def _released(a: Version, b: Version) -> Comparison:
    """Return the recalls that each was released with, side by side."""
    first, second = _recalls(a), _recalls(b)
    labels = sorted({*first, *second})
    rows = [
        Row(label, None, first.get(label), second.get(label), _minus(second, first, label))
        for label in labels
    ]
    rows.sort(key=lambda row: (row.difference is None, row.difference or 0.0, str(row.label)))
    tops = [each.metrics.get("test", {}).get("top1") for each in (a, b)]
    whole = Row(None, None, tops[0], tops[1], tops[1] - tops[0]) if None not in tops else None
    return Comparison(a.version, b.version, "releases" if rows or whole else "nothing", rows, whole)


def _recalls(version: Version) -> dict[str, float]:
    found: Mapping[str, Any] = version.metrics.get("test", {}).get("per_class") or {}
    return {label: float(each) for label, each in found.items() if each is not None}


def _minus(second: Mapping[str, float], first: Mapping[str, float], label: str) -> float | None:
    known = label in first and label in second
    return second[label] - first[label] if known else None
