"""What the pool knows of some of its images, asked by their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from core.images.phash import from_signed, to_signed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_HASHES = sa.text("SELECT id, phash FROM images WHERE id = ANY(:ids)")

_TAKEN_SINCE = sa.text("""
    SELECT id
      FROM images
     WHERE id = ANY(:ids)
       AND COALESCE(captured_at, added_at) >= :since
""")

# Every hash of the pool is read, which takes a tenth of a second a million.
_ALIKE = sa.text("""
    SELECT phash, cluster, split
      FROM images
     WHERE bit_count(CAST(phash # :phash AS bit(64))) <= :bits
""")


def alike(connection: Connection, phash: int, bits: int) -> list[tuple[int, int, str]]:
    """Return (phash, cluster, split) of the images whose perceptual hash is near another.

    Args:
        connection: Where the pool is.
        phash: That other one, 0 to 2**64 - 1.
        bits: In how many bits they may differ.
    """
    values = {"phash": to_signed(phash), "bits": bits}
    return [(row.phash, row.cluster, row.split) for row in connection.execute(_ALIKE, values)]


def hashes(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return the perceptual hash of each image, 0 to 2**64 - 1, by its number.

    Args:
        connection: Where the pool is.
        ids: The images' numbers; unknown ones are left out.
    """
    rows = connection.execute(_HASHES, {"ids": list(ids)})
    return {row.id: from_signed(row.phash) for row in rows}


def taken_since(connection: Connection, ids: Sequence[int], since: datetime) -> frozenset[int]:
    """Return those of some images that were taken from a moment on.

    One without a date counts by when it came into the pool.
    """
    values = {"ids": list(ids), "since": since}
    return frozenset(connection.execute(_TAKEN_SINCE, values).scalars())
