"""A place in the prediction log, or in a numbered list, as callers carry it from page to page."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.errors import UsageError
from core.store.predictions import Position
from service.schemas import LARGEST_NUMBER

_NOT_OURS = (binascii.Error, struct.error, ValueError, OverflowError)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = struct.Struct(">q16s")  # microseconds since 1970, then the id
_NUMBER = struct.Struct(">Q")


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


def _decoded(cursor: str) -> bytes:
    return base64.b64decode(cursor, altchars=b"-_", validate=True)


def _refusal() -> UsageError:
    return UsageError("the cursor is not one of ours; begin again without it")
