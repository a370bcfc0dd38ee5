"""Images of the pool that a version may still be judged on: how many there are, and a draw of them.

Which they are is the same for both: nothing that it learnt from, was chosen by or was judged on
already, and nothing that was labelled for what a model said of it.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from core.store.images import Sample

# What this version was trained or tuned on, and what it was already judged on, says nothing new.
# Nor do test images of before its promotion, where the gate chose it by just these. An image that
# was chosen by what a model said of it says how it was chosen.
_MAY_BE_DRAWN = """
          FROM images i
         WHERE i.label = ANY(:labels)
           AND i.purpose = 'all'
           AND (i.captured_at IS NULL OR i.captured_at < :before)
           AND i.added_at > CASE
               WHEN i.split <> 'test' THEN CAST(:snapshot_at AS timestamptz)
               WHEN NOT :chosen THEN '-infinity'
               ELSE (SELECT COALESCE(min(at), :snapshot_at) FROM aliases WHERE version = :version)
               END
           AND NOT EXISTS (SELECT FROM validation_results r
                            WHERE r.version = :version AND r.image = i.id)
"""

# Freshest day first, so that today's pictures judge today; inside a day the order is a hash of
# (salt, digest): random, yet the same whenever the draw is repeated.
_DRAW = sa.text(f"""
    SELECT id, uri, sha256, label, split
      FROM (SELECT i.id, i.uri, i.sha256, i.label, i.split,
                   row_number() OVER (PARTITION BY i.label
                       ORDER BY date_trunc('day', i.captured_at AT TIME ZONE 'UTC')
                                    DESC NULLS LAST,
                                md5(:salt || i.sha256)) AS place
            {_MAY_BE_DRAWN}) AS ordered
      JOIN unnest(CAST(:labels AS text[]), CAST(:quotas AS bigint[])) AS wanted (name, quota)
        ON wanted.name = label
     WHERE place <= quota
     ORDER BY label, place
""")  # noqa: S608 - put together from constants

_FRESH = sa.text(f"""
    SELECT i.label, CASE WHEN CAST(:since AS timestamptz) IS NULL OR count(i.captured_at) = 0
                         THEN count(*)
                         ELSE count(*) FILTER (WHERE i.captured_at >= :since) END AS n
    {_MAY_BE_DRAWN} GROUP BY i.label
""")


def draw(  # noqa: PLR0913 - for whom, what may be drawn and how much, each by name
    connection: Connection,
    *,
    version: str,
    labels: Sequence[str],
    before: datetime,
    snapshot_at: datetime,
    per_class: int | Sequence[int],
    chosen: bool = False,
) -> list[Sample]:
    """Return up to `per_class` images of each label that this version was not judged on.

    Args:
        connection: Where to ask.
        version: The version to be judged; images judged or learnt from are left out.
        labels: The classes to draw from.
        before: Only images captured earlier: the end of the day examined.
        snapshot_at: When the version's training set was frozen.
        per_class: Images of each class, or one number for each of `labels`.
        chosen: Whether the gate chose it: test images of before its promotion are left out then.
    """
    quotas = [per_class] * len(labels) if isinstance(per_class, int) else list(per_class)
    rows = connection.execute(
        _DRAW,
        {
            "version": version,
            "labels": list(labels),
            "before": before,
            "snapshot_at": snapshot_at,
            "chosen": chosen,
            "quotas": quotas,
            "salt": f"{version}/{before:%Y-%m-%d}/",
        },
    )
    return [Sample(row.id, row.uri, row.sha256, row.label, row.split) for row in rows]


def fresh(  # noqa: PLR0913 - as `draw`
    connection: Connection,
    *,
    version: str,
    labels: Sequence[str],
    before: datetime,
    snapshot_at: datetime,
    since: datetime | None = None,
    chosen: bool = False,
) -> list[int]:
    """Return how many images of each label `draw` could give, in the order of `labels`.

    Arguments are those of `draw`, and `since`: only images taken from then on, except where none
    of a label's is dated; None for all.
    """
    values = {
        "version": version,
        "labels": list(labels),
        "before": before,
        "snapshot_at": snapshot_at,
        "chosen": chosen,
        "since": since,
    }
    counts = {row.label: row.n for row in connection.execute(_FRESH, values)}
    return [counts.get(label, 0) for label in labels]
