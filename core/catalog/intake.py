"""From images that were read to rows: one row for each content, on its side of the split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from core.catalog.layout import Split
from core.catalog.neighbours import Neighbour, Newcomer
from core.catalog.reading import Looks, Sighting
from core.catalog.report import SetAside, showable
from core.catalog.sources import Entry
from core.catalog.splits import Fractions, divide
from core.images.phash import from_signed, to_signed
from core.store import images, inbox

OnProgress = Callable[[str, int, int], None]

_ROWS = 2_000  # a statement
_DIGESTS = 20_000  # a question


@dataclass(frozen=True, slots=True)
class Origin:
    """Where labels come from, as it is written beside each image.

    Attributes:
        source: What was imported.
        labelled_by: Who or what said what the images show.
        added_at: When they came into the pool.
        captured_at: When they were taken, where the source does not say it of each.
    """

    source: str
    labelled_by: str
    added_at: datetime
    captured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fresh:
    """An image that the pool does not hold."""

    entry: Entry
    sha256: str
    label: str
    looks: Looks


@dataclass(frozen=True, slots=True)
class Sorted:
    """Images that were read: the new ones, and the addresses of those the pool holds."""

    fresh: list[Fresh]
    known: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """How many images were added, how many of them look like another, and where that leaks."""

    added: int
    near_duplicates: int
    leaks: int


def sort_out(
    connection: Connection,
    sightings: Iterable[Sighting],
    labels: Mapping[str, str],
    set_aside: SetAside,
) -> Sorted:
    """Separate new images from known ones, and leave out repetitions and contradictions.

    Args:
        connection: Where the pool is.
        sightings: Images that were read.
        labels: The label that each entry's name stands for.
        set_aside: Told about the same bytes found twice, or under two labels.
    """
    by_digest: defaultdict[str, list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        by_digest[sighting.sha256].append(sighting)
    pool = _labels_in_pool(connection, list(by_digest))
    outcome = Sorted([], {})
    for digest, same in by_digest.items():
        agreeing = _agreeing(same, labels, pool.get(digest), set_aside)
        if not agreeing:
            continue
        first, *others = agreeing
        for other in others:
            why = f"the same bytes as {showable(first.entry.uri)}"
            set_aside.add("duplicate", other.entry.uri, why)
        if digest in pool:
            outcome.known[digest] = first.entry.uri
        elif first.looks is None:
            why = "left the pool while this import ran; import it again"
            set_aside.add("unreadable", first.entry.uri, why)
        else:
            outcome.fresh.append(Fresh(first.entry, digest, labels[first.entry.name], first.looks))
    return outcome


def store(
    connection: Connection,
    fresh: Sequence[Fresh],
    origin: Origin,
    fractions: Fractions,
    on_progress: OnProgress,
) -> Stored:
    """Draw the sides of new images and add them to the pool.

    Args:
        connection: A transaction that holds `images.lock`.
        fresh: Images that the pool does not hold.
        origin: What is written beside each.
        fractions: Shares of train, val and test, where an entry names no side.
        on_progress: Told (stage, done, total).
    """
    if not fresh:
        return Stored(0, 0, 0)
    pool = [
        Neighbour(from_signed(phash), cluster, cast("Split", split))
        for phash, cluster, split in images.clusters(connection)
    ]
    newcomers = [Newcomer(new.sha256, new.looks.phash, new.label, new.entry.split) for new in fresh]
    division = divide(newcomers, pool, fractions)
    rows = [
        _row(new, origin, split, cluster)
        for new, split, cluster in zip(fresh, division.splits, division.clusters, strict=True)
    ]
    added = 0
    for start in range(0, len(rows), _ROWS):
        on_progress("storing", start, len(rows))
        batch = rows[start : start + _ROWS]
        added += images.insert(connection, batch)
        inbox.let_go(connection, [row.sha256 for row in batch])
    on_progress("storing", len(rows), len(rows))
    return Stored(added, division.near_duplicates, division.leaks)


def follow(connection: Connection, known: Mapping[str, str]) -> int:
    """Correct the addresses of images that lie elsewhere now; return how many had moved.

    An address is kept as long as something lies there, and always when it is no local path.

    Args:
        connection: Where the pool is.
        known: Where an import found images of the pool, by digest.
    """
    moved: dict[str, str] = {}
    for digest, uri in _addresses(connection, list(known)).items():
        if uri != known[digest] and "://" not in uri and not Path(uri).exists():
            moved[digest] = known[digest]
    return images.relocate(connection, moved) if moved else 0


def _agreeing(
    same: list[Sighting], labels: Mapping[str, str], present: str | None, set_aside: SetAside
) -> list[Sighting]:
    """Return the sightings of one content whose label is beyond doubt; leave out the others."""
    said = sorted({labels[sighting.entry.name] for sighting in same})
    if present is None and len(said) == 1:
        return same
    for sighting in same:
        label = labels[sighting.entry.name]
        if present is None:
            why = f"the same bytes are labelled {' and '.join(map(repr, said))}"
            set_aside.add("two_labels", sighting.entry.uri, why)
        elif label != present:
            why = f"labelled {label!r} here, and {present!r} in the pool, which is kept"
            set_aside.add("two_labels", sighting.entry.uri, why)
    return [sighting for sighting in same if labels[sighting.entry.name] == present]


def _labels_in_pool(connection: Connection, digests: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(digests), _DIGESTS):
        known = images.known(connection, digests[start : start + _DIGESTS])
        found |= {digest: label for digest, (label, _) in known.items()}
    return found


def _addresses(connection: Connection, digests: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(digests), _DIGESTS):
        found |= images.addresses(connection, digests[start : start + _DIGESTS])
    return found


def _row(new: Fresh, origin: Origin, split: str, cluster: int) -> images.Image:
    return images.Image(
        uri=new.entry.uri,
        sha256=new.sha256,
        phash=to_signed(new.looks.phash),
        cluster=cluster,
        label=new.label,
        split=split,
        width=new.looks.width,
        height=new.looks.height,
        bytes=new.looks.bytes,
        type=new.looks.type,
        source=origin.source,
        session=new.entry.session,
        captured_at=new.entry.captured_at or origin.captured_at,
        added_at=origin.added_at,
        labelled_by=origin.labelled_by,
    )
