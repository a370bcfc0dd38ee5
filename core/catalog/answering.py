"""What somebody says of an image of the inbox: what becomes of the log and of the pool.

A picture that was drawn by chance comes into the pool like an imported one, on a side of the split
that its digest decides: it may judge. One that was chosen because its label would teach much comes
in for learning alone, or classes would be judged by what the model finds hardest; nor does it count
among the labels that predictions have. A suspect keeps its place, and its label is confirmed or
corrected. Days an image was examined on count it anew when they are replayed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from core.catalog.layout import Split
from core.catalog.neighbours import NEAR_BITS, Neighbour, Newcomer
from core.catalog.splits import DEFAULT_SPLIT, divide
from core.errors import ConflictError, NotFoundError, UsageError
from core.images.decode import decode, sniff
from core.images.phash import from_signed, perceptual_hash, to_signed
from core.store import (
    audit,
    image_facts,
    images,
    inbox,
    inbox_queue,
    label_suspects,
    predictions,
    registry,
    validations,
)
from core.store.known_labels import require_known

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.images.archive import Archive
    from core.store.inbox import Item
    from core.store.inbox_queue import Desk

UNDOABLE = 10  # answers of one person, the last of them

_SOURCE = "inbox"


@dataclass(frozen=True, slots=True)
class Desktop:
    """Who says something of an image, when, and where the pictures of the traffic lie."""

    desk: Desk
    archive: Archive
    now: datetime


@dataclass(frozen=True, slots=True)
class NewImage:
    """A picture of the archive that comes into the pool.

    Attributes:
        sha256: Its digest.
        label: What it shows.
        taken_at: When it was sent.
        purpose: What it may be used for; what is not for `all` stands on the training side.
        source: Where it comes from.
    """

    sha256: str
    label: str
    taken_at: datetime
    purpose: images.Purpose
    source: str = _SOURCE


def answer(connection: Connection, item: int, label: str, at: Desktop) -> Item:
    """Write down what an image shows; said again by the same person, nothing changes.

    Raises:
        NotFoundError: There is no such image, or its picture is gone.
        UsageError: There is no such class.
        ConflictError: Somebody else has said something, or has it on the screen.
        InvalidImageError: Its picture was altered on the disk.
    """
    images.lock(connection)  # before the row, as an import does, or each would wait for the other
    return _answered(connection, inbox.get(connection, item), label, at)


def correct(connection: Connection, item: int, label: str, at: Desktop) -> Item:
    """Say something else of an image that was answered, whoever answered it; as `answer`."""
    images.lock(connection)
    found = inbox.get(connection, item)
    if _is_repeated(found, "labelled", label, at):
        return found
    if found.state in {"labelled", "unusable"}:
        _take_back(connection, found, at)
        found = inbox.get(connection, item)
    return _answered(connection, found, label, at)


def unusable(connection: Connection, item: int, at: Desktop) -> Item:
    """Say that an image shows none of the classes, or nothing; it leaves statistics and training.

    Raises:
        NotFoundError: There is no such image.
        ConflictError: Somebody else has said something, or has it on the screen.
    """
    found = inbox.get(connection, item)
    if _is_repeated(found, "unusable", None, at):
        return found
    _require_free(found, at)
    undo: dict[str, Any] = {}
    if found.image is not None:
        before = images.set_purpose(connection, found.image, "nothing", now=at.now, by=at.desk.by)
        undo = {"purpose": before}
    return _settled(connection, found, "unusable", None, at, image=found.image, undo=undo)


def undo(connection: Connection, item: int, at: Desktop) -> Item:
    """Take back one of the last things somebody said, and give them the image again.

    Raises:
        NotFoundError: There is no such image.
        ConflictError: It is none of their last ten answers.
    """
    own = inbox.lately(connection, by=at.desk.by, limit=UNDOABLE)
    if item not in {each.id for each in own}:
        raise ConflictError(f"image {item} is none of your last {UNDOABLE} answers; correct it")
    _take_back(connection, inbox.get(connection, item), at)
    return inbox.get(connection, item)


def days_to_replay(connection: Connection, item: Item) -> list[date]:
    """Return the days whose counts have to be computed anew for what was said to show."""
    return validations.days_of_images(connection, [item.image]) if item.image is not None else []


def take_in(connection: Connection, archive: Archive, new: NewImage, at: Desktop) -> int:
    """Put a picture of the archive into the pool, and return its number there.

    Its side is that of its near-duplicates; where there are none, its digest decides.

    Raises:
        NotFoundError: The archive does not hold it.
        InvalidImageError: It was altered on the disk.
    """
    data = archive.get(new.sha256)
    pixels = decode(data)
    phash = perceptual_hash(pixels)
    images.lock(connection)
    near = [
        Neighbour(from_signed(hashed), cluster, cast("Split", split))
        for hashed, cluster, split in image_facts.alike(connection, phash, NEAR_BITS)
    ]
    side: Split | None = None if new.purpose == "all" else "train"
    division = divide([Newcomer(new.sha256, phash, new.label, side)], near, DEFAULT_SPLIT)
    height, width = pixels.shape[:2]
    row = images.Image(
        uri=str(archive.path(new.sha256).resolve()),
        sha256=new.sha256,
        phash=to_signed(phash),
        cluster=division.clusters[0],
        label=new.label,
        split=division.splits[0],
        width=width,
        height=height,
        bytes=len(data),
        type=sniff(data),
        source=new.source,
        session=None,
        captured_at=new.taken_at,
        added_at=at.now,
        labelled_by=at.desk.by,
        purpose=new.purpose,
    )
    images.insert(connection, [row])
    return images.ids(connection, [new.sha256])[new.sha256]


def _is_repeated(found: Item, state: inbox.State, label: str | None, at: Desktop) -> bool:
    """Say whether this is an answer whose receipt was lost on the way."""
    said = (found.state, found.answer, found.answered_by)
    return said == (state, label, at.desk.by)


def _answered(connection: Connection, found: Item, label: str, at: Desktop) -> Item:
    """Write down what an image shows; the pool is locked."""
    if _is_repeated(found, "labelled", label, at):
        return found
    _require_free(found, at)
    champion = registry.champion(connection)
    require_known(connection, label, champion.labels if champion else ())
    image, undo = (_confirm if found.stream == "suspect" else _take_in)(
        connection, found, label, at
    )
    return _settled(connection, found, "labelled", label, at, image=image, undo=undo)


def _require_free(found: Item, at: Desktop) -> None:
    if found.state == "gone":
        raise ConflictError("this image has got a label elsewhere meanwhile; take another one")
    if found.state != "waiting":
        said = found.answer or found.state
        raise ConflictError(f"{found.answered_by or 'somebody'} has said already: {said}")
    if (
        found.holder not in {None, at.desk.holder}
        and found.held_until
        and found.held_until > at.now
    ):
        raise ConflictError("somebody else is looking at this image; take another one")


def _confirm(
    connection: Connection, found: Item, label: str, at: Desktop
) -> tuple[int | None, dict[str, Any]]:
    """Confirm or correct the label of an image of the pool."""
    if found.image is None:
        raise UsageError(f"image {found.id} of the inbox is in no pool; load the page anew")
    before = images.relabel(connection, found.image, label, now=at.now, by=at.desk.by).label
    if before == label:
        # Where the monitor has let it go meanwhile there is nothing to clear.
        with suppress(NotFoundError):
            label_suspects.clear(
                connection,
                [found.image],
                by=at.desk.by,
                reason="looked at in the inbox",
                now=at.now,
            )
    return found.image, {"label": before}


def _take_in(
    connection: Connection, found: Item, label: str, at: Desktop
) -> tuple[int | None, dict[str, Any]]:
    """Bring a picture of the traffic into the pool, and its label to its prediction."""
    by, now = at.desk.by, at.now
    kept: dict[str, Any] = {}
    if found.stream == "drawn" and found.prediction is not None:
        # Retention may have dropped it.
        with suppress(NotFoundError):
            kept["said"] = predictions.get(connection, found.prediction).true_label
            predictions.set_label(connection, found.prediction, label, by=by, now=now)
    purpose: images.Purpose = "all" if found.stream == "drawn" else "learning"
    image = images.ids(connection, [found.sha256]).get(found.sha256)
    if image is None:
        image = take_in(
            connection, at.archive, NewImage(found.sha256, label, found.at, purpose), at
        )
        return image, kept | {"purpose": "nothing", "label": label}
    before = images.relabel(connection, image, label, now=now, by=by).label
    # An import may have brought it in meanwhile; what that says it may be used for stands.
    used = images.purpose_of(connection, image)
    if used == "nothing":
        images.set_purpose(connection, image, purpose, now=now, by=by)
    return image, kept | {"purpose": used, "label": before}


def _take_back(connection: Connection, found: Item, at: Desktop) -> None:
    """Put everything back as it was before the image was answered, and let it wait again."""
    by, now, kept = at.desk.by, at.now, found.undo or {}
    if found.image is not None and "label" in kept:
        images.relabel(connection, found.image, kept["label"], now=now, by=by)
        if found.stream == "suspect" and kept["label"] == found.answer:
            label_suspects.hold_again(connection, found.image)
    if found.image is not None and "purpose" in kept:
        images.set_purpose(connection, found.image, kept["purpose"], now=now, by=by)
    if "said" in kept and found.prediction is not None:
        with suppress(NotFoundError):
            predictions.set_label(connection, found.prediction, kept["said"], by=by, now=now)
    inbox.reopen(connection, found.id, holder=at.desk.holder, until=now + inbox_queue.LEASE)
    detail = {"was": found.answer or found.state, "by": found.answered_by}
    _record(connection, found, "undo inbox", detail, at)


def _settled(  # noqa: PLR0913 - what was said, and of what
    connection: Connection,
    found: Item,
    state: inbox.Settled,
    label: str | None,
    at: Desktop,
    *,
    image: int | None,
    undo: dict[str, Any],
) -> Item:
    inbox.settle(
        connection,
        found.id,
        state,
        answer=label,
        by=at.desk.by,
        now=at.now,
        image=image,
        undo=undo,
    )
    detail = {"stream": found.stream, "label": label, "image": image, "sha256": found.sha256}
    _record(connection, found, f"inbox {state}", detail, at)
    return inbox.get(connection, found.id)


def _record(
    connection: Connection, found: Item, action: str, detail: dict[str, Any], at: Desktop
) -> None:
    audit.record(
        connection,
        now=at.now,
        by=at.desk.by,
        action=action,
        subject=str(found.id),
        detail=detail,
    )
