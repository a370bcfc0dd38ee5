"""What a diagnosis is made of, gathered from the tables and the bundle: bounded, whatever the size.

The reference is the bundle's profile, as far as it knows its images' true labels, and the images
of earlier days that this version was right about. What is examined is never its own reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.bundle import files, profile
from core.errors import BundleError
from core.images.descriptors import DESCRIPTORS
from core.stats.cause import Rows
from core.store import (
    class_days,
    images,
    model_days,
    registry,
    sentinel_checks,
    together,
    traces,
)
from core.store.together import Together
from core.store.traces import Stretch, Trace

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.store.class_days import ClassDay
    from core.store.flags import Flag
    from core.store.registry import Version
    from core.store.sentinel_checks import Check

CURRENT, OF_OTHERS, EARLIER, EARLIER_OF_OTHERS = 300, 600, 200, 1_500  # images read at most
_DAYS = 60

UNKNOWN_IMAGE = 0


@dataclass(frozen=True, slots=True)
class ReferenceImages:
    """Images of the time when nothing was wrong.

    Attributes:
        rows: How the model and a person see them, with true labels; n of them.
        right: Which were answered rightly, (n,).
        images: Their numbers in the pool, int64 (n,); UNKNOWN_IMAGE for those not in it.
    """

    rows: Rows
    right: NDArray[np.bool_]
    images: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Material:
    """What is known of one flag.

    Attributes:
        label: The class that sank.
        version: The version examined.
        since: The day on which it most likely sank.
        until: The last day that counts.
        labels: The version's classes, in order.
        counts: The version's reference: `{label: {"n", "correct", "confused"}}`.
        check: What the frozen set said last; None when it was never asked.
        unsound_since: Since when it has been unsound without a break; None while it is sound.
        days: The class's days, in order.
        current: Images of the class since it sank.
        others: Images of other classes of the same days.
        reference: Images of before.
        together: Groups of these days whose images are one bet; empty where each is its own.
    """

    label: str
    version: str
    since: date
    until: date
    labels: tuple[str, ...]
    counts: dict[str, dict[str, object]]
    check: Check | None
    unsound_since: date | None
    days: Sequence[ClassDay]
    current: Sequence[Trace]
    others: Sequence[Trace]
    reference: ReferenceImages
    together: Sequence[Together] = field(default_factory=list[Together])


def gather(connection: Connection, flag: Flag, until: date, version: str) -> Material:
    """Return what is known of a flag at the end of a day.

    Args:
        connection: Where the tables are.
        flag: The flag.
        until: The last day that counts.
        version: The version examined by then: the flag's, or one that was promoted since.

    Raises:
        NotFoundError: The version is not registered.
    """
    known = registry.get(connection, version)
    since = Stretch(version, flag.since, until)
    current = traces.of_class(connection, since, flag.label, limit=CURRENT)
    others = traces.of_others(connection, since, flag.label, limit=OF_OTHERS)
    first = until - timedelta(days=_DAYS)
    seen = {trace.image for trace in (*current, *others)}
    earlier = Stretch(version, first, flag.since - timedelta(days=1))
    whole = model_days.at(connection, version, until)
    groups: list[Together] = []
    if whole is not None and whole.grouped:
        groups = together.of_class(connection, version, flag.label, first, until)
    return Material(
        label=flag.label,
        version=version,
        since=flag.since,
        until=until,
        labels=tuple(known.labels),
        counts=known.reference,
        check=sentinel_checks.last(connection, version, until),
        unsound_since=sentinel_checks.unsound_since(connection, version, until),
        days=class_days.of_label(connection, version, flag.label, first, until),
        current=current,
        others=others,
        reference=reference_of(connection, known, earlier, label=flag.label, without=seen),
        together=groups,
    )


def leads_of_wrong(found: Sequence[Trace]) -> NDArray[np.float64]:
    """Return by how much each wrong answer's logit lies above its label's at least, (n,)."""
    return np.array([_lead(each) for each in found if each.predicted != each.label], np.float64)


def _lead(wrong: Trace) -> float:
    if wrong.lead is not None:
        return wrong.lead
    # Judged before it was kept: the label has at most what the answer has left.
    sure = min(wrong.confidence, 1 - 1e-7)
    return max(float(np.log(sure / (1 - sure))), 0.0)


def reference_of(
    connection: Connection,
    version: Version,
    earlier: Stretch,
    *,
    label: str,
    without: Collection[int] = (),
) -> ReferenceImages:
    """Return the reference of a version: its bundle's profile, and what it was right about.

    Args:
        connection: Where the tables are.
        version: The version.
        earlier: The days whose images are taken.
        label: The class that most of them should be of.
        without: Numbers of images that are examined, and so are no reference.
    """
    before = traces.of_class(connection, earlier, label, limit=EARLIER)
    before += traces.of_others(connection, earlier, label, limit=EARLIER_OF_OTHERS)
    kept = [each for each in before if each.predicted == each.label and each.image not in without]
    rows, _ = rows_of(kept, version.labels)
    ids = np.array([trace.image for trace in kept], dtype=np.int64)
    learnt = _of_profile(connection, version, without={*without, *ids.tolist()})
    if learnt is None:
        return ReferenceImages(rows, np.ones(len(rows), dtype=np.bool_), ids)
    return ReferenceImages(
        Rows(
            np.concatenate([learnt.rows.labels, rows.labels]),
            np.concatenate([learnt.rows.embedding, rows.embedding]),
            np.concatenate([learnt.rows.descriptors, rows.descriptors]),
        ),
        np.concatenate([learnt.right, np.ones(len(rows), dtype=np.bool_)]),
        np.concatenate([learnt.images, ids]),
    )


def rows_of(found: Sequence[Trace], labels: Sequence[str]) -> tuple[Rows, NDArray[np.int64]]:
    """Return traces as rows, and what each was taken for, int64 (n,)."""
    index = {label: place for place, label in enumerate(labels)}
    n = len(found)
    embedding = np.array([trace.embedding for trace in found], dtype=np.float32)
    described = np.array([trace.descriptors for trace in found], dtype=np.float64)
    rows = Rows(
        np.array([index[trace.label] for trace in found], dtype=np.int64),
        embedding.reshape(n, traces.DIMENSIONS),
        described.reshape(n, len(DESCRIPTORS)),
    )
    return rows, np.array([index[trace.predicted] for trace in found], dtype=np.int64)


def _of_profile(
    connection: Connection, version: Version, without: Collection[int]
) -> ReferenceImages | None:
    """Return the profile's images; None where it does not know what they show."""
    folder = Path(version.uri)
    try:
        kept = profile.read(folder, files.read_manifest(folder))
    except BundleError:
        return None
    if kept.labels is None or not len(kept.predicted):
        return None
    ids = np.full(len(kept.predicted), UNKNOWN_IMAGE, dtype=np.int64)
    if kept.digests is not None:
        digests = [row.tobytes().hex() for row in kept.digests]
        known = images.ids(connection, digests)
        ids = np.array([known.get(digest, UNKNOWN_IMAGE) for digest in digests], dtype=np.int64)
    others = ~np.isin(ids, [image for image in without if image != UNKNOWN_IMAGE])
    described = np.stack([kept.columns[name] for name in DESCRIPTORS], axis=1)
    rows = Rows(kept.labels, kept.embedding, described).take(others)
    return ReferenceImages(rows, (kept.predicted == kept.labels)[others], ids[others])
