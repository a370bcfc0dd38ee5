"""From a source of labelled images to rows of the pool, with a report of what happened.

Images are read first, side by side; then sides are drawn and everything new is stored in one
transaction, so that an import that is stopped has changed nothing. An import takes memory for
its rows and for a fingerprint of each image of the pool: about 1 GB a million images.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from core.catalog import intake
from core.catalog.intake import OnProgress, Origin
from core.catalog.labels import Settled, settle
from core.catalog.reading import Sighting, look_at
from core.catalog.report import ImportReport, SetAside, showable
from core.catalog.sources import Entry, Listing, list_images
from core.catalog.splits import DEFAULT_SPLIT, Fractions, check_split
from core.errors import CatalogError
from core.store import audit, images
from core.store.database import transaction


def import_images(  # noqa: PLR0913  # the room's front door: each is a thing a person says
    engine: Engine,
    source: str,
    *,
    split: Fractions = DEFAULT_SPLIT,
    source_name: str | None = None,
    labelled_by: str = "import",
    captured_at: datetime | None = None,
    added_at: datetime,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Take the labelled images of a folder, a CSV or a URI into the pool.

    What cannot be taken in is counted and reported, and stops nothing. Images that the pool
    holds are recognised by their bytes: importing a folder again changes nothing, except that
    an address under which nothing lies any more is replaced by the one found now.

    Args:
        engine: The database.
        source: A folder of class folders, with or without split folders around them; a CSV
            with the columns path,label [, split, captured_at, session]; or a URI of either.
        split: Shares of train, val and test, where the source names no side.
        source_name: What to call the source in each row; its address when left out.
        labelled_by: Who or what said what the images show.
        captured_at: When they were taken, where the source does not say it of each.
        added_at: The present moment.
        on_progress: Told (stage, done, total).

    Raises:
        CatalogError: The source cannot be listed, or not one image in it can be used.
        StoreError: Postgres is away, or another import has been storing for too long.
        UsageError: The split is no split.
    """
    set_aside = SetAside()
    listing = list_images(source, set_aside)
    origin = Origin(source_name or listing.source, labelled_by, added_at, captured_at)
    return import_listing(
        engine, listing, origin, set_aside=set_aside, split=split, on_progress=on_progress
    )


def import_listing(
    engine: Engine,
    listing: Listing,
    origin: Origin,
    *,
    set_aside: SetAside,
    split: Fractions = DEFAULT_SPLIT,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Take listed images into the pool; see `import_images`.

    Args:
        engine: The database.
        listing: The images; nothing but their addresses is trusted.
        origin: What is written beside each.
        set_aside: What was left out while the list was made; more is added.
        split: Shares of train, val and test, where an entry names no side.
        on_progress: Told (stage, done, total).
    """
    started = time.monotonic()
    fractions = check_split(split)
    tell: OnProgress = on_progress or _silent
    settled, sightings = _read(engine, listing, set_aside, tell)
    with transaction(engine) as connection:
        images.lock(connection)
        outcome = intake.sort_out(connection, sightings, settled.labels, set_aside)
        if not outcome.fresh and not outcome.known:
            raise CatalogError(_why_nothing(listing, set_aside))
        stored = intake.store(connection, outcome.fresh, origin, fractions, tell)
        moved = intake.follow(connection, outcome.known)
        classes = _classes(connection, set(settled.labels.values()))
        if stored.added or moved:
            _record(connection, origin, added=stored.added, moved=moved)
    return ImportReport(
        source=listing.source,
        found=len(listing.entries),
        added=stored.added,
        known=len(outcome.known),
        moved=moved,
        ignored=listing.ignored,
        set_aside=set_aside,
        classes=classes,
        near_duplicates=stored.near_duplicates,
        leaks=stored.leaks,
        seconds=time.monotonic() - started,
    )


def _read(
    engine: Engine, listing: Listing, set_aside: SetAside, tell: OnProgress
) -> tuple[Settled, list[Sighting]]:
    """Settle the names of the classes, and read every image of those that may stand."""
    with transaction(engine) as connection:
        settled = settle({entry.name for entry in listing.entries}, images.labels(connection))
        known = {bytes.fromhex(digest) for digest in images.digests(connection)}
    entries = list(_accepted(listing.entries, settled, set_aside))
    usable: list[Sighting] = []
    tell("reading images", 0, len(entries))
    found = look_at(entries, known=known, is_remote=listing.is_remote)
    for done, sighting in enumerate(found, start=1):
        if isinstance(sighting, Sighting):
            usable.append(sighting)
        else:
            set_aside.add(sighting.reason, sighting.entry.uri, sighting.why)
        tell("reading images", done, len(entries))
    return settled, usable


def _accepted(entries: Sequence[Entry], settled: Settled, set_aside: SetAside) -> Iterator[Entry]:
    for entry in entries:
        if entry.name in settled.refused:
            set_aside.add("label", entry.uri, settled.refused[entry.name])
        else:
            yield entry


def _why_nothing(listing: Listing, set_aside: SetAside) -> str:
    """Say why an import has nothing to take in, with the most frequent reason's first case."""
    source = showable(listing.source)
    worst = set_aside.worst()
    if worst is None:
        return (
            f"{source} holds no images; expected CLASS/IMAGE.jpg, or SPLIT/CLASS/IMAGE.jpg, "
            "or a CSV with the columns path,label"
        )
    return (
        f"{source} holds no image that can be used: {set_aside.count()} set aside, "
        f"such as {worst.what}: {worst.why}"
    )


def _classes(connection: Connection, labels: set[str]) -> dict[str, dict[str, int]]:
    classes: dict[str, dict[str, int]] = {}
    for count in images.counts(connection):
        if count.label in labels:
            classes.setdefault(count.label, dict.fromkeys(images.SPLITS, 0))[count.split] = count.n
    return classes


def _record(connection: Connection, origin: Origin, *, added: int, moved: int) -> None:
    audit.record(
        connection,
        now=origin.added_at,
        by=origin.labelled_by,
        action="import images",
        subject=origin.source,
        detail={"added": added, "moved": moved},
    )


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
