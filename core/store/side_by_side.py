"""Two versions on the same images: per class, how many only one of them names rightly.

An image counts where both have answered it: in an exam of their own, or as a predecessor that was
asked beside its successor. What is right is the label that the image has today.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Pair:
    """Two versions on the images of one class that both have answered.

    Attributes:
        label: The class.
        n: Images.
        both: Those that both name rightly.
        gained: Those that only the second does.
        lost: Those that only the first does.
    """

    label: str
    n: int
    both: int
    gained: int
    lost: int


# Of an image that a version answered twice, its own exam's answer counts.
_ANSWERS = """
    SELECT DISTINCT ON (image) image, predicted
      FROM (SELECT image, predicted, 0 AS second
              FROM validation_results
             WHERE version = :{0} AND predicted IS NOT NULL
             UNION ALL
            SELECT image, predicted, 1
              FROM second_answers
             WHERE against = :{0}) AS said
     ORDER BY image, second
"""

_PAIRS = sa.text(f"""
    WITH a AS ({_ANSWERS.format("a")}), b AS ({_ANSWERS.format("b")})
    SELECT i.label, count(*) AS n,
           count(*) FILTER (WHERE a.predicted = i.label AND b.predicted = i.label) AS both,
           count(*) FILTER (WHERE a.predicted <> i.label AND b.predicted = i.label) AS gained,
           count(*) FILTER (WHERE a.predicted = i.label AND b.predicted <> i.label) AS lost
      FROM a
      JOIN b USING (image)
      JOIN images i ON i.id = a.image
     GROUP BY i.label
     ORDER BY i.label
""")  # noqa: S608 - names of parameters alone

_EXAM = sa.text("""
    SELECT id, result -> 'gate' AS gate
      FROM jobs
     WHERE challenger = :challenger
       AND result ->> 'champion' = :champion
       AND jsonb_typeof(result -> 'gate' -> 'classes') = 'array'
     ORDER BY id DESC
     LIMIT 1
""")


def pairs(connection: Connection, a: str, b: str) -> list[Pair]:
    """Return what two versions made of the images that both have answered, by class."""
    return [Pair(*row) for row in connection.execute(_PAIRS, {"a": a, "b": b})]


def exam(
    connection: Connection, champion: str, challenger: str
) -> tuple[int, Mapping[str, Any]] | None:
    """Return the last exam of a challenger against a champion: the job, and the gate's numbers.

    None where there was none.
    """
    values = {"champion": champion, "challenger": challenger}
    row = connection.execute(_EXAM, values).one_or_none()
    return None if row is None else (row.id, row.gate)
