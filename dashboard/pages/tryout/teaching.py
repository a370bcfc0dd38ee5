"""What somebody says of a picture that was answered wrong: it becomes one to learn from.

Somebody chose it, so it says nothing about how often the model is right: it is for learning alone,
and no draw and no exam sees it. What nearly repeats a picture that versions are examined with is
refused, or the exam would ask what was taught.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.catalog.answering import Desktop, NewImage, take_in
from core.catalog.neighbours import NEAR_BITS
from core.errors import ConflictError, UsageError
from core.images.archive import Archive
from core.images.decode import decode
from core.images.phash import perceptual_hash
from core.store import audit, image_facts, images
from core.store.database import transaction
from core.store.inbox_queue import Desk
from dashboard.pages.tryout.desk import MAX_BYTES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.registry import Version
    from dashboard.door.caller import Caller
    from dashboard.page import House

_SOURCE = "try"


@dataclass(frozen=True, slots=True)
class Lesson:
    """What somebody says of a picture.

    Attributes:
        data: Its bytes.
        label: What it really shows.
        said: What the version had said.
    """

    data: bytes
    label: str
    said: str


def teach(house: House, caller: Caller, version: Version, lesson: Lesson) -> str:
    """Take a picture into the pool, to be learnt from, and return what to say of it.

    Raises:
        UsageError: The version has no such class.
        InvalidImageError: The bytes are no usable image.
        ConflictError: The pool has the picture already, or nearly, where versions are examined.
        StoreError: Postgres is away.
    """
    if lesson.label not in version.labels:
        raise UsageError(f"{version.version} has no class called {lesson.label!r}; choose another")
    phash = perceptual_hash(decode(lesson.data, max_bytes=MAX_BYTES))
    sha256 = hashlib.sha256(lesson.data).hexdigest()
    at = Desktop(Desk(caller.name, "try"), Archive(house.home / "archive"), house.clock.now())
    with transaction(house.engine) as connection:
        images.lock(connection)
        _refuse_known(connection, sha256, lesson.label)
        _refuse_examined(connection, phash)
        at.archive.put(lesson.data)
        new = NewImage(sha256, lesson.label, at.now, "learning", _SOURCE)
        number = take_in(connection, at.archive, new, at)
        audit.record(
            connection,
            now=at.now,
            by=caller.name,
            action="teach image",
            subject=str(number),
            detail={"label": lesson.label, "said": lesson.said, "version": version.version},
        )
    return (
        f"Kept as image {number}: the next training learns it as {lesson.label}. "
        "No accuracy counts it."
    )


def _refuse_known(connection: Connection, sha256: str, label: str) -> None:
    known = images.known(connection, [sha256]).get(sha256)
    if known is None:
        return
    number = images.ids(connection, [sha256])[sha256]
    if known[0] == label:
        raise ConflictError(f"the pool has this picture already as {label}: image {number}")
    raise ConflictError(
        f"the pool has this picture already: image {number}, labelled {known[0]}; it keeps that "
        "label, which the inbox corrects where it looks wrong"
    )


def _refuse_examined(connection: Connection, phash: int) -> None:
    near = image_facts.alike(connection, phash, NEAR_BITS)
    if any(split != "train" for _, _, split in near):
        raise ConflictError(
            "the picture nearly repeats one with which versions are examined; what is asked in "
            "exams cannot be learnt from, so it was not kept"
        )
