"""The days after a promotion: a version on probation, and what its predecessor says meanwhile.

A promotion that the loop has made is watched for some days. Both versions answer the same images,
those that were labelled since, so neither was chosen by them. What a person promoted is a person's
decision, and has no probation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.store import registry
from core.store.images import Sample

Status = Literal["open", "kept", "rolled back", "replaced"]
Ending = Literal["kept", "rolled back", "replaced"]

# Who moves the alias when a challenger has passed the gate.
LOOP: Final = "worker"

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class ProbationRow(SQLModel, table=True):
    """One promotion, and what became of it."""

    __tablename__ = "probations"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.CheckConstraint("status IN ('open', 'kept', 'rolled back', 'replaced')"),
        sa.Index("probations_by_version", "version"),
    )

    move: int = Field(
        sa_column=sa.Column(
            sa.BigInteger, sa.ForeignKey("aliases.id"), primary_key=True, autoincrement=False
        )
    )
    version: str = Field(foreign_key="versions.version")
    against: str = Field(foreign_key="versions.version")
    began_at: datetime = Field(sa_type=_TIMESTAMP)
    status: str
    last_day: date | None = None
    evidence: dict[str, Any] = Field(sa_type=_JSON)
    ended_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)


class SecondAnswerRow(SQLModel, table=True):
    """What the predecessor said of one image that its successor was examined on."""

    __tablename__ = "second_answers"  # pyright: ignore[reportAssignmentType]

    version: str = Field(primary_key=True)
    against: str = Field(primary_key=True)
    image: int = Field(
        sa_column=sa.Column(sa.BigInteger, sa.ForeignKey("images.id"), primary_key=True)
    )
    predicted: str


@dataclass(frozen=True, slots=True)
class Probation:
    """One promotion, and what became of it.

    Attributes:
        move: The alias's move that it began with.
        version: The version promoted.
        against: The one that served before.
        began_at: When it was promoted.
        status: `open` while it is watched; `kept` when nothing spoke against it in time;
            `rolled back`; `replaced` when the alias was moved by something else meanwhile.
        last_day: The last day that was looked at.
        evidence: What was counted up to then, as `monitor.judgement.probation` says it.
        ended_at: When it was decided.
    """

    move: int
    version: str
    against: str
    began_at: datetime
    status: Status
    last_day: date | None
    evidence: dict[str, Any]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pairs:
    """So many groups of images of a class that were answered alike; most groups are one image.

    Attributes:
        label: The class.
        n: Images in such a group.
        gained: How many of them only the new version names rightly.
        lost: How many only its predecessor does.
        times: How many such groups there are.
    """

    label: str
    n: int
    gained: int
    lost: int
    times: int


_BEGIN = sa.text("""
    INSERT INTO probations (move, version, against, began_at, status, evidence)
    VALUES (:move, :version, :against, :began_at, 'open', '{}')
        ON CONFLICT (move) DO NOTHING
""")

_UNANSWERED = sa.text("""
    SELECT i.id, i.uri, i.sha256, r.label, i.split
      FROM validation_results r
      JOIN images i ON i.id = r.image
     WHERE r.validation = :validation
       AND r.predicted IS NOT NULL
       AND i.purpose <> 'nothing'
       AND i.added_at > :began_at
       AND NOT EXISTS (SELECT FROM second_answers a
                        WHERE a.version = :version AND a.against = :against AND a.image = i.id)
     ORDER BY r.label, i.sha256
""")

_ANSWER = sa.text("""
    INSERT INTO second_answers (version, against, image, predicted)
    VALUES (:version, :against, :image, :predicted)
        ON CONFLICT DO NOTHING
""")

# Images of one session belong together; without a session, near-duplicates do: as in validations.
_PAIRS = sa.text("""
    WITH grouped AS (
        SELECT r.label, count(*) AS n,
               count(*) FILTER (WHERE r.predicted = r.label AND a.predicted <> r.label) AS gained,
               count(*) FILTER (WHERE r.predicted <> r.label AND a.predicted = r.label) AS lost
          FROM second_answers a
          JOIN validation_results r ON r.version = a.version AND r.image = a.image
          JOIN validations v ON v.id = r.validation
          JOIN images i ON i.id = a.image
         WHERE a.version = :version
           AND a.against = :against
           AND r.predicted IS NOT NULL
           AND v.status = 'done'
           AND i.purpose <> 'nothing'
           AND v.day BETWEEN :first AND :last
         GROUP BY r.label, v.day, COALESCE('session ' || i.session, 'cluster ' || i.cluster))
    SELECT label, n, gained, lost, count(*) AS times
      FROM grouped
     GROUP BY label, n, gained, lost
     ORDER BY label, n, gained, lost
""")


def of_champion(connection: Connection) -> Probation | None:
    """Return the probation of the version that serves; None where the loop did not promote it.

    Its row is made when it is first asked for.
    """
    moves = registry.history(connection)
    if len(moves) < 2 or moves[-1].by != LOOP:
        return None
    last, before = moves[-1], moves[-2]
    values = {
        "move": last.id,
        "version": last.version,
        "against": before.version,
        "began_at": last.at,
    }
    connection.execute(_BEGIN, values)
    return Probation(
        *connection.execute(_PROBATIONS.where(col(ProbationRow.move) == last.id)).one()
    )


def note(
    connection: Connection, probation: Probation, *, day: date, evidence: dict[str, Any]
) -> None:
    """Write down what was counted up to a day."""
    _update(connection, probation.move, {"last_day": day, "evidence": evidence})


def end(connection: Connection, probation: Probation, status: Ending, *, now: datetime) -> None:
    """End a probation."""
    _update(connection, probation.move, {"status": status, "ended_at": now})


def end_replaced(connection: Connection, *, now: datetime) -> None:
    """End those whose version has been replaced by another move of the alias."""
    moves = registry.history(connection)
    if moves:
        statement = sa.update(ProbationRow).where(
            col(ProbationRow.status) == "open", col(ProbationRow.move) != moves[-1].id
        )
        connection.execute(statement.values(status="replaced", ended_at=now))


def rolled_back(connection: Connection, version: str) -> Probation | None:
    """Return the probation that a version did not stand; None where there is none."""
    statement = _PROBATIONS.where(
        col(ProbationRow.version) == version, col(ProbationRow.status) == "rolled back"
    )
    row = connection.execute(statement.order_by(col(ProbationRow.move).desc()).limit(1)).first()
    return None if row is None else Probation(*row)


def of_version(connection: Connection, version: str) -> list[Probation]:
    """Return the probations of a version, the newest first; most have one at most."""
    statement = _PROBATIONS.where(col(ProbationRow.version) == version)
    rows = connection.execute(statement.order_by(col(ProbationRow.move).desc()))
    return [Probation(*row) for row in rows]


def unanswered(connection: Connection, probation: Probation, validation: int) -> list[Sample]:
    """Return the images of an exam that the predecessor is still to answer, by label and digest.

    Only those that came into the pool after the promotion: earlier ones were the gate's, or are
    what the predecessor was found weak by.
    """
    values = {
        "validation": validation,
        "version": probation.version,
        "against": probation.against,
        "began_at": probation.began_at,
    }
    return [Sample(*row) for row in connection.execute(_UNANSWERED, values)]


def write_answers(
    connection: Connection, probation: Probation, answers: Sequence[tuple[int, str]]
) -> None:
    """Write down what the predecessor said of images, given as (image, predicted label)."""
    pair = {"version": probation.version, "against": probation.against}
    rows = [pair | {"image": image, "predicted": predicted} for image, predicted in answers]
    if rows:
        connection.execute(_ANSWER, rows)


def pairs(connection: Connection, probation: Probation, first: date, last: date) -> list[Pairs]:
    """Return how both versions answered the same images, from one day to another."""
    values = {
        "version": probation.version,
        "against": probation.against,
        "first": first,
        "last": last,
    }
    return [Pairs(*row) for row in connection.execute(_PAIRS, values)]


def _update(connection: Connection, move: int, values: dict[str, Any]) -> None:
    statement = sa.update(ProbationRow).where(col(ProbationRow.move) == move)
    connection.execute(statement.values(values))


_PROBATIONS = sa.select(*[getattr(ProbationRow, name) for name in Probation.__dataclass_fields__])
