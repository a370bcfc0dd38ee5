"""Searches as pages show them: every trial in one line, with its last pass instead of all of them.

The tables are Optuna's; core.store.trials says what is used of them, and reads a search whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from core.store.trials import ERROR, FACTS, OPTIONS, exists

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.trials import State

# As in trainer.search.studies: a process says every few seconds that it is alive.
SILENT_AFTER_S = 30
MOST_SEARCHES = 500


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One trial of a search.

    Attributes:
        number: Counted from 0.
        state: `COMPLETE`; `PRUNED`, when it was ended for lagging behind; `FAIL`; or under way.
        options: What it was run with, of what is searched.
        accuracy: Share of the validation images named rightly; None before the end.
        passes: Passes made so far.
        last: Accuracy after the last of them; None before the first.
        seconds: What it took; None while it runs.
        silent: Whether it is under way, and its process has not been heard of for half a minute.
        error: Why it failed; empty when it did not.
    """

    number: int
    state: State
    options: dict[str, Any]
    accuracy: float | None
    passes: int
    last: float | None
    seconds: float | None
    silent: bool
    error: str


@dataclass(frozen=True, slots=True)
class Search:
    """One search.

    Attributes:
        name: Its name.
        n_trials: How many trials it has.
        trials: Some of them, the oldest first.
        space: What each option may be: a list of choices, or `low`, `high`, `log` and `step`.
        importance: How much each option mattered, in shares, when a process last ended; empty
            where that could not be told.
        epochs: Most passes of a trial; None where the search does not say.
    """

    name: str
    n_trials: int
    trials: list[TrialLine]
    space: dict[str, Any]
    importance: dict[str, float]
    epochs: int | None

    @property
    def complete(self) -> list[TrialLine]:
        """The trials that were carried through, the oldest first."""
        return [
            each for each in self.trials if each.state == "COMPLETE" and each.accuracy is not None
        ]

    @property
    def best(self) -> TrialLine | None:
        """The trial of the highest accuracy, the first of equals; None before one is complete."""
        return max(
            self.complete, key=lambda each: (each.accuracy or 0.0, -each.number), default=None
        )

    @property
    def options(self) -> list[str]:
        """The names of what is searched, what mattered most first."""
        names = {name for each in self.trials for name in each.options}
        return sorted(names, key=lambda name: (-self.importance.get(name, 0.0), name))


_NAMES = sa.text("""
    SELECT study_name FROM optuna.studies ORDER BY study_id DESC LIMIT :most
""")

_FACTS = sa.text("""
    SELECT s.study_id, a.value_json,
           (SELECT count(*) FROM optuna.trials t WHERE t.study_id = s.study_id) AS n_trials
      FROM optuna.studies s
 LEFT JOIN optuna.study_user_attributes a ON a.study_id = s.study_id AND a.key = :facts
     WHERE s.study_name = :name
""")

# Heartbeats are stamped by this server's clock, so their age is told by it, too.
_LINES = sa.text("""
    SELECT t.number, t.state::text AS state,
           extract(epoch FROM t.datetime_complete - t.datetime_start)::float AS seconds,
           v.value AS accuracy, o.value_json AS options, e.value_json AS error,
           p.step AS passes, p.intermediate_value AS last,
           t.state = 'RUNNING' AND h.heartbeat < (now() AT TIME ZONE 'UTC')
               - make_interval(secs => :patience) AS silent
      FROM (SELECT *
              FROM optuna.trials
             WHERE study_id = :study AND number >= :start
             ORDER BY CASE WHEN :latest THEN -number ELSE number END
             LIMIT :most) t
 LEFT JOIN optuna.trial_values v ON v.trial_id = t.trial_id AND v.objective = 0
 LEFT JOIN optuna.trial_user_attributes o ON o.trial_id = t.trial_id AND o.key = :options
 LEFT JOIN optuna.trial_user_attributes e ON e.trial_id = t.trial_id AND e.key = :error
 LEFT JOIN optuna.trial_heartbeats h ON h.trial_id = t.trial_id
 LEFT JOIN LATERAL (SELECT i.step, i.intermediate_value
                      FROM optuna.trial_intermediate_values i
                     WHERE i.trial_id = t.trial_id
                     ORDER BY i.step DESC
                     LIMIT 1) p ON true
  ORDER BY t.number
""")


def names(connection: Connection) -> list[str]:
    """Return the names of the latest searches, the newest first; none before the first search."""
    if not exists(connection):
        return []
    return list(connection.execute(_NAMES, {"most": MOST_SEARCHES}).scalars())


def search(connection: Connection, name: str, most: int) -> Search | None:
    """Return a search with the latest of its trials; None where there is none of that name.

    Args:
        connection: Where Optuna has its tables; they are there when `names` gave any.
        name: Its name.
        most: At most so many trials.
    """
    return _search(connection, name, {"start": 0, "latest": True, "most": most})


def page(connection: Connection, name: str, *, start: int, most: int) -> Search | None:
    """Return a search with some of its trials; None where there is none of that name.

    Its `best` is that of these trials alone; `core.store.study_lines` knows that of all.

    Args:
        connection: Where Optuna has its tables; they are there when `names` gave any.
        name: Its name.
        start: Number of the first trial that is wanted.
        most: At most so many trials.
    """
    return _search(connection, name, {"start": start, "latest": False, "most": most})


def _search(connection: Connection, name: str, wanted: dict[str, Any]) -> Search | None:
    found = connection.execute(_FACTS, {"name": name, "facts": FACTS}).one_or_none()
    if found is None:
        return None
    facts = json.loads(found.value_json or "{}")
    values = {"study": found.study_id, "options": OPTIONS, "error": ERROR}
    rows = connection.execute(_LINES, values | wanted | {"patience": SILENT_AFTER_S})
    return Search(
        name=name,
        n_trials=found.n_trials,
        trials=[_line(row) for row in rows],
        space=facts.get("space", {}),
        importance=facts.get("importance", {}),
        epochs=facts.get("base", {}).get("epochs"),
    )


def _line(row: Any) -> TrialLine:
    return TrialLine(
        number=row.number,
        state=row.state,
        options=json.loads(row.options or "{}"),
        accuracy=row.accuracy,
        passes=row.passes or 0,
        last=row.last,
        seconds=row.seconds,
        silent=bool(row.silent),
        error=json.loads(row.error or '""'),
    )
