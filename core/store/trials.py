"""The searches for better options, trial by trial, as a page or a program reads them.

Optuna keeps them (trainer.search.tune), in tables of its own in the schema `optuna` of this
database, which it makes at the first search. They are read here without it, so that whoever shows
them need not have it installed. Of its tables only what is named below is used; the pinned version
has them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

SCHEMA = "optuna"
# What a search notes with a study, and with each of its trials.
FACTS = "weakspot"
OPTIONS = "options"
ERROR = "error"

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a search.

    Attributes:
        number: Counted from 0.
        state: `COMPLETE`; `PRUNED`, when it was ended for lagging behind; `FAIL`; or under way.
        options: What it was run with, of what is searched.
        accuracy: Share of the validation images named rightly; None before the end.
        passes: Accuracy after each pass: `[(pass, accuracy), ...]`.
        began: When, by its own machine's clock, without a zone.
        seconds: What it took; None while it runs.
        error: Why it failed; empty when it did not.
    """

    number: int
    state: State
    options: dict[str, Any]
    accuracy: float | None
    passes: list[tuple[int, float]]
    began: datetime | None
    seconds: float | None
    error: str


@dataclass(frozen=True, slots=True)
class Study:
    """One search.

    Attributes:
        name: Its name.
        facts: What it searches and on what, and what mattered: `space`, `base`, `snapshot`,
            `snapshot_at`, `importance`.
        trials: All of them, the oldest first.
    """

    name: str
    facts: dict[str, Any]
    trials: list[Trial]

    @property
    def best(self) -> Trial | None:
        """The trial of the highest accuracy, the first of equals; None before one is complete."""
        done = [each for each in self.trials if each.state == "COMPLETE"]
        return max(done, key=lambda each: (each.accuracy or 0.0, -each.number), default=None)

    def history(self) -> list[tuple[int, float]]:
        """Return after each complete trial its number and the best accuracy until then."""
        found: list[tuple[int, float]] = []
        for each in self.trials:
            if each.state == "COMPLETE" and each.accuracy is not None:
                best = max(each.accuracy, found[-1][1] if found else 0.0)
                found.append((each.number, best))
        return found


_STUDIES = sa.text("SELECT study_name FROM optuna.studies ORDER BY study_id")

# One attribute of ours a study: the schema is Optuna's, so ours stays in one place.
_FACTS = sa.text("""
    SELECT s.study_id, a.value_json
      FROM optuna.studies s
 LEFT JOIN optuna.study_user_attributes a ON a.study_id = s.study_id AND a.key = :facts
     WHERE s.study_name = :name
""")

_TRIALS = sa.text("""
    SELECT t.number, t.state, t.datetime_start AS began,
           extract(epoch FROM t.datetime_complete - t.datetime_start) AS seconds,
           v.value AS accuracy, o.value_json AS options, e.value_json AS error,
           (SELECT json_agg(json_build_array(i.step, i.intermediate_value) ORDER BY i.step)
              FROM optuna.trial_intermediate_values i
             WHERE i.trial_id = t.trial_id) AS passes
      FROM optuna.trials t
 LEFT JOIN optuna.trial_values v ON v.trial_id = t.trial_id AND v.objective = 0
 LEFT JOIN optuna.trial_user_attributes o ON o.trial_id = t.trial_id AND o.key = :options
 LEFT JOIN optuna.trial_user_attributes e ON e.trial_id = t.trial_id AND e.key = :error
     WHERE t.study_id = :study
  ORDER BY t.number
""")


def studies(connection: Connection) -> list[str]:
    """Return the names of all searches, the oldest first; none before the first search."""
    if not exists(connection):
        return []
    return list(connection.execute(_STUDIES).scalars())


def study(connection: Connection, name: str) -> Study | None:
    """Return one search with all its trials; None where there is none of that name."""
    if not exists(connection):
        return None
    found = connection.execute(_FACTS, {"name": name, "facts": FACTS}).one_or_none()
    if found is None:
        return None
    values = {"study": found.study_id, "options": OPTIONS, "error": ERROR}
    rows = connection.execute(_TRIALS, values)
    return Study(name, json.loads(found.value_json or "{}"), [_trial(row) for row in rows])


def _trial(row: Any) -> Trial:
    return Trial(
        number=row.number,
        state=row.state,
        options=json.loads(row.options or "{}"),
        accuracy=row.accuracy,
        passes=[(int(step), float(value)) for step, value in row.passes or ()],
        began=row.began,
        seconds=None if row.seconds is None else float(row.seconds),
        error=json.loads(row.error or '""'),
    )


def exists(connection: Connection) -> bool:
    """Say whether there was ever a search; before the first the tables are not there."""
    return connection.execute(sa.text("SELECT to_regclass('optuna.studies')")).scalar() is not None
