"""What images that belong together were called, group by group: a session, or near-duplicates.

`class_days` keeps of each group how many were right, which is all that a verdict needs; what a
class is mistaken for asks for the answers themselves.
"""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Together:
    """Images of a class that belong together, and were judged on one day.

    Attributes:
        day: The day.
        n: How many there are, two or more.
        said: What they were called, right answers included: `{predicted label: images}`.
    """

    day: date
    n: int
    said: dict[str, int]


# Groups as core.store.validations has them; sorted by what they are, not by who they are.
_TOGETHER = sa.text("""
    WITH answered AS (
        SELECT v.day, COALESCE('session ' || i.session, 'cluster ' || i.cluster) AS belongs_to,
               r.predicted, count(*) AS n
          FROM validation_results r
          JOIN validations v ON v.id = r.validation
          JOIN images i ON i.id = r.image
         WHERE v.version = :version
           AND r.label = :label
           AND r.predicted IS NOT NULL
           AND v.status = 'done'
           AND i.purpose <> 'nothing'
           AND v.day BETWEEN :first AND :last
         GROUP BY v.day, belongs_to, r.predicted)
    SELECT day, sum(n)::bigint AS images, jsonb_object_agg(predicted, n) AS said
      FROM answered
     GROUP BY day, belongs_to
    HAVING sum(n) > 1
     ORDER BY day, images, said
""")


def of_class(
    connection: Connection, version: str, label: str, first: date, last: date
) -> list[Together]:
    """Return the images of a class that belong together, group by group, in the order of days."""
    values = {"version": version, "label": label, "first": first, "last": last}
    return [Together(*row) for row in connection.execute(_TOGETHER, values)]
