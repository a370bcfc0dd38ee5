"""Which labelled images a version sees as most like a picture, by its embedding (pgvector).

All of a bounded set are compared, and no index is kept: those that the version was last examined
with, whose embeddings are known anyway. Each version has a space of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

COMPARED = 20_000

# Embeddings have length 1, so the inner product is the cosine of the angle between two.
_SIMILAR = sa.text("""
    WITH latest AS (
        SELECT image, embedding
          FROM validation_traces
         WHERE version = :version
         ORDER BY day DESC
         LIMIT :compared
    ), nearest AS (
        SELECT image, -(embedding <#> CAST(:asked AS halfvec(256))) AS likeness
          FROM latest
         ORDER BY embedding <#> CAST(:asked AS halfvec(256)), image
         LIMIT :most
    )
    SELECT n.image, i.label, n.likeness
      FROM nearest n
      JOIN images i ON i.id = n.image
     ORDER BY n.likeness DESC, n.image
""")

_SEEN = sa.text("""
    SELECT count(*)
      FROM (SELECT FROM validation_traces WHERE version = :version LIMIT :compared) AS examined
""")


@dataclass(frozen=True, slots=True)
class Similar:
    """An image of the pool, its label, and the cosine between its embedding and the given one."""

    image: int
    label: str
    likeness: float


def similar(
    connection: Connection, version: str, embedding: NDArray[np.float32], *, most: int
) -> list[Similar]:
    """Return the images that a version sees as most like an embedding, the likest first.

    Args:
        connection: Where to ask.
        version: Whose embeddings are compared: those of the latest `COMPARED` images that it was
            examined with.
        embedding: What it saw in a picture, float32 (256,), of length 1.
        most: How many to return.
    """
    values = {"version": version, "compared": COMPARED, "most": most}
    asked = "[" + ",".join(f"{number:.6g}" for number in embedding) + "]"
    rows = connection.execute(_SIMILAR, values | {"asked": asked})
    return [Similar(row.image, row.label, float(row.likeness)) for row in rows]


def seen(connection: Connection, version: str) -> int:
    """Return with how many images `similar` compares: at most `COMPARED`."""
    values = {"version": version, "compared": COMPARED}
    return connection.execute(_SEEN, values).scalar_one()
