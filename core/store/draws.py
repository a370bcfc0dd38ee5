"""A day's predictions, drawn at random by predicted label: bounded, in one pass, never sorted.

Every predicted label gets its share of the sample, so that no class is missed by bad luck. What
is drawn follows from the salt and the rows' ids alone: not from where rows lie in the table, nor
from who asks. The log of the day is read once, side by side by Postgres' workers; only the few
rows that may be drawn are ever ranked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection

from core.clock import day_bounds
from core.images.descriptors import DESCRIPTORS
from core.store import database, halfvec
from core.store.predictions import EMBEDDING_DIMENSIONS

NUMBERS = ("confidence", "entropy", "margin")


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows drawn, in the order of their draw; what a row lacks is NaN.

    Attributes:
        labels: What each row predicted.
        columns: DESCRIPTORS and NUMBERS, each float64 (n,).
        embedding: float32 (n, 256).
        digests: SHA-256 of each image's bytes; none where they were not kept.
    """

    labels: list[str]
    columns: dict[str, NDArray[np.float64]]
    embedding: NDArray[np.float32]
    digests: tuple[str, ...] = ()


# The hash of an id is as good as a die, and the same on every reading. A row whose hash lies
# above the cut of its label cannot be among the quota, so only some twenty a label are ranked.
_CHOOSE = sa.text("""
    SELECT id, at
      FROM (SELECT p.id, p.at, w.quota, uuid_hash_extended(p.id, :seed) AS place,
                   row_number() OVER (PARTITION BY p.label
                                          ORDER BY uuid_hash_extended(p.id, :seed), p.id) AS rank
              FROM predictions p
              JOIN unnest(CAST(:labels AS text[]), CAST(:cuts AS bigint[]),
                          CAST(:quotas AS integer[])) AS w (label, cut, quota) USING (label)
             WHERE p.at >= :start AND p.at < :until AND p.version = :version
               AND uuid_hash_extended(p.id, :seed) <= w.cut) AS ranked
     WHERE rank <= quota
     ORDER BY place, id
""")

# halfvec_send: an embedding as bytes is read fifty times as fast as one in text.
_FETCH = sa.text("""
    SELECT p.id, p.label, p.confidence, p.entropy, p.margin, p.descriptors, p.image_sha256,
           halfvec_send(p.embedding) AS embedding
      FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS w (id, at)
      JOIN predictions p ON p.id = w.id AND p.at = w.at
     WHERE p.at >= :start AND p.at < :until
""")


def draw(
    connection: Connection,
    day: date,
    version: str,
    counts: Mapping[str, int],
    *,
    limit: int,
    salt: str,
) -> Drawn:
    """Return at most `limit` predictions of a day and version, each label in its proportion.

    Args:
        connection: Where the log is.
        day: The day, in UTC.
        version: The version that answered.
        counts: How often it predicted each label that day: `rollups.label_counts`. Labels that
            are not there are not drawn.
        limit: Rows at most.
        salt: The same draws the same rows again.
    """
    labels = sorted(label for label, n in counts.items() if n > 0)
    numbers = np.array([counts[label] for label in labels], dtype=np.int64)
    digest = hashlib.sha256(salt.encode()).digest()
    quotas = _quotas(numbers, limit, int.from_bytes(digest[:4]) / 2**32)
    wanted = {
        "seed": int.from_bytes(digest[8:16], signed=True),
        "labels": labels,
        "cuts": [_cut(q, n) for q, n in zip(quotas.tolist(), numbers.tolist(), strict=True)],
        "quotas": quotas.tolist(),
    }
    start, until = day_bounds(day)
    within = {"start": start, "until": until}
    database.allow_long_statements(connection)
    # A merge join would sort the whole day by label first, to skip what the cut skips anyway.
    connection.execute(sa.text("SET LOCAL enable_mergejoin = off"))
    chosen = connection.execute(_CHOOSE, wanted | within | {"version": version}).all()
    ids = [row.id for row in chosen]
    keys = {"ids": ids, "times": [row.at for row in chosen]}
    rows = {row.id: row for row in connection.execute(_FETCH, keys | within)}
    return _drawn([rows[each] for each in ids if each in rows])


def _quotas(numbers: NDArray[np.int64], limit: int, offset: float) -> NDArray[np.int64]:
    """Share the limit out in proportion; what remains of a row goes where `offset` has it."""
    total = int(numbers.sum())
    if total <= limit:
        return numbers
    ends = np.floor(numbers.cumsum() * (limit / total) + offset).astype(np.int64)
    return np.minimum(np.diff(ends, prepend=0), numbers)


def _cut(quota: int, n: int) -> int:
    """Return the hash below which the `quota` smallest of n lie, all but certainly."""
    share = min(1.0, (quota + 5 * math.sqrt(quota) + 12) / n)
    return 2**63 - 1 if share == 1.0 or quota == n else int(share * 2**64) - 2**63


def _drawn(rows: list[Any]) -> Drawn:
    columns = {
        name: np.array([each.descriptors.get(name, np.nan) for each in rows], dtype=np.float64)
        for name in DESCRIPTORS
    }
    for name in NUMBERS:
        columns[name] = np.array([getattr(each, name) for each in rows], dtype=np.float64)
    embedding = np.full((len(rows), EMBEDDING_DIMENSIONS), np.nan, dtype=np.float32)
    for place, each in enumerate(rows):
        if each.embedding is not None:
            embedding[place] = halfvec.from_binary(each.embedding)
    digests = tuple(each.image_sha256 for each in rows)
    return Drawn([each.label for each in rows], columns, embedding, digests)
