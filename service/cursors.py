"""A place in the prediction log, as callers carry it from one page to the next."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.errors import UsageError
from core.store.predictions import Position

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = struct.Struct(">q16s")  # microseconds since 1970, then the id


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
        packed = base64.b64decode(cursor, altchars=b"-_", validate=True)
        microseconds, identity = _FORM.unpack(packed)
        return Position(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=identity))
    except (binascii.Error, struct.error, ValueError, OverflowError) as error:
        raise UsageError("the cursor is not one of ours; begin again without it") from error
