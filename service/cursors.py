"""A place in the prediction log or in another list, as callers carry it from page to page."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from core.errors import UsageError
from core.store.predictions import Position
from service.schemas import LARGEST_NUMBER

_NOT_OURS = (binascii.Error, struct.error, ValueError, OverflowError)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = struct.Struct(">q16s")  # microseconds since 1970, then the id
_NUMBER = struct.Struct(">Q")
_WHOLE = re.compile(r"[0-9]{1,19}")


def write(position: Position) -> str:
    """Return a position as letters, digits, `-` and `_`."""
    microseconds = (position.at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_FORM.pack(microseconds, position.id.bytes)).decode()


def read(cursor: str) -> Position:
    """Return the position that `write` wrote.

    Raises:
        UsageError: It was not written by us.
    """
    try:
        microseconds, identity = _FORM.unpack(_decoded(cursor))
        return Position(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=identity))
    except _NOT_OURS as error:
        raise _refusal() from error


def write_number(number: int) -> str:
    """Return the number of a row as letters, digits, `-` and `_`."""
    return base64.urlsafe_b64encode(_NUMBER.pack(number)).decode()


def read_number(cursor: str) -> int:
    """Return the number that `write_number` wrote.

    Raises:
        UsageError: It was not written by us.
    """
    try:
        (number,) = _NUMBER.unpack(_decoded(cursor))
    except _NOT_OURS as error:
        raise _refusal() from error
    if not 1 <= number <= LARGEST_NUMBER:
        raise _refusal()
    return number


def write_words(*words: str) -> str:
    """Return the words by which a list is ordered as letters, digits, `-` and `_`."""
    said = json.dumps(words, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).decode()


def read_words(cursor: str, n: int) -> list[str]:
    """Return the `n` words that `write_words` wrote.

    Raises:
        UsageError: It was not written by us.
    """
    try:
        words = json.loads(_decoded(cursor))
        if not isinstance(words, list) or len(words) != n or not all(map(_is_word, words)):
            raise _refusal()
        # Halves of characters cannot be encoded, here or for Postgres.
        "".join(words).encode()
    except (*_NOT_OURS, RecursionError) as error:
        raise _refusal() from error
    return words


def _is_word(found: object) -> bool:
    # Postgres cannot hold NUL in text.
    return isinstance(found, str) and "\0" not in found


def read_day(word: str) -> date:
    """Return the day that a word of a cursor names.

    Raises:
        UsageError: It names none.
    """
    try:
        return date.fromisoformat(word)
    except ValueError as error:
        raise _refusal() from error


def read_moment(word: str) -> datetime:
    """Return the moment, with its zone, that a word of a cursor names.

    Raises:
        UsageError: It names none.
    """
    try:
        moment = datetime.fromisoformat(word)
    except ValueError as error:
        raise _refusal() from error
    if moment.tzinfo is None:
        raise _refusal()
    return moment


def read_whole(word: str, *, most: int) -> int:
    """Return the whole number from 0 to `most` that a word of a cursor names.

    Raises:
        UsageError: It names none.
    """
    if not _WHOLE.fullmatch(word) or int(word) > most:
        raise _refusal()
    return int(word)


def _decoded(cursor: str) -> bytes:
    return base64.b64decode(cursor, altchars=b"-_", validate=True)


def _refusal() -> UsageError:
    return UsageError("the cursor is not one of ours; begin again without it")
