"""Challengers whose exam is not over, and what they say of the traffic that the champion answers.

A challenger that was told "more images" waits. Meanwhile services let it answer a sampled share of
the predictions, too, in the shadow of the champion's answers (service.shadow). Which predictions
those are is said by their ids alone, so by neither answer; what is lost when a service is busy is
lost by time, not by content. Nothing here is evidence for the gate: docs/adr/0031 says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

from core.store import registry
from core.store.registry import Version

_TIMESTAMP: Any = sa.DateTime(timezone=True)

# The last bits of an id are random (core.store.predictions.new_id), and used for nothing else.
_RANDOM_BITS = 62


class ChallengerAnswerRow(SQLModel, table=True):
    """What a challenger said of one prediction's picture."""

    __tablename__ = "challenger_answers"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.Index(
            "challenger_answers_differing",
            "version",
            "at",
            postgresql_where=sa.text("label <> answered"),
        ),
        sa.Index("challenger_answers_by_time", "at"),
    )

    version: str = Field(primary_key=True, foreign_key="versions.version")
    prediction: UUID = Field(primary_key=True)
    at: datetime = Field(sa_type=_TIMESTAMP)
    champion: str = Field(foreign_key="versions.version")
    answered: str
    label: str
    probability: float = Field(sa_type=sa.REAL)


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What a challenger said of one prediction's picture.

    Attributes:
        version: The challenger.
        prediction: Whose picture it is.
        at: When that was asked for.
        champion: The version that answered.
        answered: What it said.
        label: What the challenger said.
        probability: Of `label`, by the challenger, in [0, 1].
    """

    version: str
    prediction: UUID
    at: datetime
    champion: str
    answered: str
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Beside:
    """How a challenger's answers stand beside a champion's, over the sampled predictions.

    Attributes:
        champion: The version that answered.
        scored: Predictions that both have answered.
        differing: Those on which they differ.
        labelled: Differing ones whose true label somebody has said.
        gained: Of those, the ones that only the challenger names rightly.
        lost: Of those, the ones that only the champion does.
        first: When the first of the predictions was asked for.
        last: When the last was.
    """

    champion: str
    scored: int
    differing: int
    labelled: int
    gained: int
    lost: int
    first: datetime
    last: datetime

    @property
    def share(self) -> float:
        """Share of the predictions on which they differ: neither can be better by more."""
        return self.differing / self.scored


@dataclass(frozen=True, slots=True)
class Differing:
    """A prediction on which the two differ.

    Attributes:
        prediction: Its id.
        at: When it was asked for.
        champion: The version that answered.
        answered: What it said.
        label: What the challenger said.
        probability: Of that, by the challenger.
        true_label: What the picture shows, once somebody has said so; None also where retention
            has dropped the prediction.
    """

    prediction: UUID
    at: datetime
    champion: str
    answered: str
    label: str
    probability: float
    true_label: str | None


# The last word on each challenger counts; a look that is under way has none yet. It is looked at
# again for a class only while no later job for that class has ended (job_rows.last_for_label).
_WAITING = sa.text("""
      WITH last AS (
    SELECT DISTINCT ON (challenger) id, challenger, status, labels, result ->> 'champion' AS held
      FROM jobs
     WHERE challenger IS NOT NULL AND finished_at IS NOT NULL
     ORDER BY challenger, id DESC)
    SELECT challenger
      FROM last
     WHERE status = 'more images'
       AND held = :champion
       AND EXISTS (SELECT
                     FROM jsonb_array_elements_text(last.labels) AS own (label)
                    WHERE NOT EXISTS (SELECT
                                        FROM jobs AS later
                                       WHERE later.id > last.id
                                         AND later.finished_at IS NOT NULL
                                         AND later.labels ? own.label))
     ORDER BY id DESC
     LIMIT 1
""")

_WRITE = sa.text("""
    INSERT INTO challenger_answers
           (version, prediction, at, champion, answered, label, probability)
    VALUES (:version, :prediction, :at, :champion, :answered, :label, :probability)
        ON CONFLICT DO NOTHING
""")

_BESIDE = sa.text("""
    SELECT a.champion, count(*) AS scored,
           count(*) FILTER (WHERE a.label <> a.answered) AS differing,
           count(p.true_label) AS labelled,
           count(*) FILTER (WHERE p.true_label = a.label) AS gained,
           count(*) FILTER (WHERE p.true_label = a.answered) AS lost,
           min(a.at) AS first, max(a.at) AS last
      FROM challenger_answers a
      LEFT JOIN predictions p
        ON p.id = a.prediction AND p.at = a.at AND a.label <> a.answered
       AND p.true_label IS NOT NULL
     WHERE a.version = :version
     GROUP BY a.champion
     ORDER BY max(a.at) DESC
""")

_DIFFERING = sa.text("""
    SELECT a.prediction, a.at, a.champion, a.answered, a.label, a.probability, p.true_label
      FROM challenger_answers a
      LEFT JOIN predictions p ON p.id = a.prediction AND p.at = a.at
     WHERE a.version = :version AND a.label <> a.answered
     ORDER BY a.at DESC, a.prediction DESC
     LIMIT :limit
""")


def is_sampled(prediction: UUID, share: float) -> bool:
    """Say whether a prediction belongs to the sampled share: always the same, by its id alone.

    A smaller share's sample is part of a larger one's.

    Args:
        prediction: Its id.
        share: In [0, 1]; nothing belongs to 0, everything to 1.
    """
    return (prediction.int & ((1 << _RANDOM_BITS) - 1)) < share * (1 << _RANDOM_BITS)


def waiting(connection: Connection, champion: str) -> Version | None:
    """Return the challenger whose exam against a champion goes on; of several the latest.

    Args:
        connection: Where the jobs are.
        champion: The version that serves.
    """
    name = connection.execute(_WAITING, {"champion": champion}).scalar_one_or_none()
    return None if name is None else registry.get(connection, name)


def write(connection: Connection, opinions: Sequence[SecondOpinion]) -> None:
    """Write down what a challenger said; what is there already stays as it is."""
    names = SecondOpinion.__dataclass_fields__
    rows = [{name: getattr(each, name) for name in names} for each in opinions]
    if rows:
        connection.execute(_WRITE, rows)


def count(connection: Connection, version: str, champion: str) -> int:
    """Return how many predictions of a champion a challenger has answered, too."""
    statement = sa.select(sa.func.count()).where(
        col(ChallengerAnswerRow.version) == version, col(ChallengerAnswerRow.champion) == champion
    )
    return connection.execute(statement).scalar_one()


def beside(connection: Connection, version: str) -> list[Beside]:
    """Return how a version's answers stand beside each champion's, the latest first."""
    return [Beside(*row) for row in connection.execute(_BESIDE, {"version": version})]


def differing(connection: Connection, version: str, *, limit: int = 20) -> list[Differing]:
    """Return predictions on which a version differs from the champion, the newest first.

    Args:
        connection: Where the answers are.
        version: The challenger.
        limit: So many at most.
    """
    rows = connection.execute(_DIFFERING, {"version": version, "limit": limit})
    return [Differing(*row) for row in rows]


def delete_before(connection: Connection, moment: datetime, *, limit: int) -> int:
    """Forget answers to predictions from before a moment, so many at most; return how many."""
    old = (
        sa.select(col(ChallengerAnswerRow.version), col(ChallengerAnswerRow.prediction))
        .where(col(ChallengerAnswerRow.at) < moment)
        .limit(limit)
    )
    key = sa.tuple_(col(ChallengerAnswerRow.version), col(ChallengerAnswerRow.prediction))
    return connection.execute(sa.delete(ChallengerAnswerRow).where(key.in_(old))).rowcount
