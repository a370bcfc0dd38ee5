"""Searches in a line each: how many trials of which state, and the best of them.

The tables are Optuna's; core.store.trials says what is used of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from core.store.trials import exists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The complete trial of the highest accuracy, the first of equals."""

    number: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One search.

    Attributes:
        id: Its number; the larger is the newer.
        name: Its name.
        states: How many of its trials are in each state, as `core.store.trials.State` names them.
        best: The best trial; None before one is complete.
    """

    id: int
    name: str
    states: Mapping[str, int]
    best: BestTrial | None

    @property
    def n_trials(self) -> int:
        """How many trials it has."""
        return sum(self.states.values())


_LINES = sa.text("""
    SELECT s.study_id, s.study_name, c.states, b.number, b.value
      FROM (SELECT study_id, study_name
              FROM optuna.studies
             WHERE study_id < coalesce(CAST(:before AS bigint), 9223372036854775807)
               AND study_name = coalesce(CAST(:name AS text), study_name)
             ORDER BY study_id DESC
             LIMIT :most) s
 LEFT JOIN LATERAL (SELECT jsonb_object_agg(g.state, g.n) AS states
                      FROM (SELECT t.state::text AS state, count(*) AS n
                              FROM optuna.trials t
                             WHERE t.study_id = s.study_id
                             GROUP BY 1) g) c ON true
 LEFT JOIN LATERAL (SELECT t.number, v.value
                      FROM optuna.trials t
                      JOIN optuna.trial_values v ON v.trial_id = t.trial_id AND v.objective = 0
                     WHERE t.study_id = s.study_id AND t.state = 'COMPLETE'
                       AND v.value IS NOT NULL
                     ORDER BY v.value DESC, t.number
                     LIMIT 1) b ON true
  ORDER BY s.study_id DESC
""")


def page(connection: Connection, most: int, *, before: int | None = None) -> list[StudyLine]:
    """Return the latest searches, the newest first; none before the first search.

    Args:
        connection: Where Optuna has its tables, once there is a search.
        most: At most so many.
        before: Only those of smaller numbers; None for all.
    """
    return _lines(connection, {"before": before, "name": None, "most": most})


def get(connection: Connection, name: str) -> StudyLine | None:
    """Return the search of that name; None where there is none."""
    return next(iter(_lines(connection, {"before": None, "name": name, "most": 1})), None)


def _lines(connection: Connection, asked: dict[str, Any]) -> list[StudyLine]:
    if not exists(connection):
        return []
    return [
        StudyLine(
            id=row.study_id,
            name=row.study_name,
            states=row.states or {},
            best=None if row.number is None else BestTrial(row.number, row.value),
        )
        for row in connection.execute(_LINES, asked)
    ]
