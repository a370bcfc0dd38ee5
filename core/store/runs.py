"""Who does which piece of scheduled work, and whether it is done.

A piece of work is a slot: a kind, a model version, and what is due, such as a day. Its row is
unique, so of two monitors that wake at once one finds the slot taken, however much of the work each
of them means to do: that is the scope, and stands in the row's detail. The row carries a lease,
which a living holder renews, and a fence, which grows with every holder: whoever was paused and
taken over still believes in its run, but its writes are refused.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import StaleRunError

Outcome = Literal["running", "done", "failed"]

# Where a run's detail keeps how much of its slot was done, and how far a step has come.
SCOPE = "scope"
PROGRESS = "progress"

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class RunRow(SQLModel, table=True):
    """One piece of scheduled work."""

    __tablename__ = "runs"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.UniqueConstraint("kind", "version", "slot", name="runs_slot_unique"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    kind: str
    version: str
    slot: str
    holder: str
    fence: int = Field(sa_type=sa.BigInteger)
    lease_until: datetime = Field(sa_type=_TIMESTAMP)
    started_at: datetime = Field(sa_type=_TIMESTAMP)
    finished_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    outcome: str
    detail: dict[str, Any] = Field(sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class Slot:
    """One piece of work that is due.

    Attributes:
        kind: What is done, such as `day`.
        version: The model version it is done for; empty for what is done for all.
        slot: What is due, such as `2026-03-08`.
        scope: How much of it is to be done this time, such as `so far`; empty for all there is.
        outdoes: Scopes that this one goes beyond: a slot that was done so far may be taken again.
    """

    kind: str
    version: str
    slot: str
    scope: str = ""
    outdoes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one slot: who has it, under which fence, and what came of it."""

    id: int
    kind: str
    version: str
    slot: str
    holder: str
    fence: int
    lease_until: datetime
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome
    detail: dict[str, Any]


# One statement, so that two claims at once cannot both succeed. A lease that ends later than a
# lease taken now could was taken before the clock was set back, and would be waited for in vain.
_CLAIM = sa.text("""
    INSERT INTO runs AS r (kind, version, slot, holder, fence, lease_until, started_at,
                           outcome, detail)
    VALUES (:kind, :version, :slot, :holder, 1, :lease_until, :now, 'running',
            jsonb_build_object('scope', CAST(:scope AS text)))
        ON CONFLICT ON CONSTRAINT runs_slot_unique DO UPDATE
       SET holder = excluded.holder,
           fence = r.fence + 1,
           lease_until = excluded.lease_until,
           started_at = excluded.started_at,
           finished_at = NULL,
           outcome = 'running',
           detail = excluded.detail
     WHERE r.outcome = 'failed'
        OR (r.outcome = 'done' AND r.detail ->> 'scope' = ANY(:outdoes))
        OR (r.outcome = 'running' AND (r.lease_until <= :now OR r.lease_until > :longest))
 RETURNING r.id, r.kind, r.version, r.slot, r.holder, r.fence, r.lease_until, r.started_at,
           r.finished_at, r.outcome, r.detail
""")


def claim(
    connection: Connection, slot: Slot, *, holder: str, now: datetime, lease_s: int
) -> Run | None:
    """Take a slot that is new, has failed, was done in part, or whose holder's lease has run out.

    Commit at once: until then, nobody else can see that the slot is taken.

    Args:
        connection: Where to write.
        slot: The piece of work.
        holder: Who takes it, for the others' logs.
        now: The present moment.
        lease_s: After so many seconds without a heartbeat the slot is free again.

    Returns:
        The run; None when the slot is done already or somebody else is at it.
    """
    lease = timedelta(seconds=lease_s)
    values = {
        "kind": slot.kind,
        "version": slot.version,
        "slot": slot.slot,
        "holder": holder,
        "now": now,
        "lease_until": now + lease,
        "longest": now + 2 * lease,
        "scope": slot.scope,
        "outdoes": list(slot.outdoes),
    }
    row = connection.execute(_CLAIM, values).one_or_none()
    return None if row is None else Run(*row)


def heartbeat(
    connection: Connection,
    run: Run,
    *,
    now: datetime,
    lease_s: int,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Renew a run's lease, and add to its detail how far it has come.

    Raises:
        StaleRunError: Somebody else has taken the run over.
    """
    until = now + timedelta(seconds=lease_s)
    statement = _mine(run).values(lease_until=until, detail=_with(detail or {}))
    if connection.execute(statement).rowcount == 0:
        raise _stale(connection, run)


def note(connection: Connection, run: Run, detail: Mapping[str, Any]) -> None:
    """Add to a run's detail how far it has come, for those who look at it meanwhile.

    Raises:
        StaleRunError: Somebody else has taken the run over.
    """
    if connection.execute(_mine(run).values(detail=_with(detail))).rowcount == 0:
        raise _stale(connection, run)


def require_fence(connection: Connection, run: Run) -> None:
    """Refuse to go on for a holder that has been replaced; call it first in each transaction.

    The row stays locked to the end of the transaction, so nobody takes over between this
    question and the commit of what is written after it.

    Raises:
        StaleRunError: Somebody else has taken the run over.
    """
    statement = sa.select(col(RunRow.fence)).where(
        col(RunRow.id) == run.id, col(RunRow.outcome) == "running"
    )
    if connection.execute(statement.with_for_update()).scalar_one_or_none() != run.fence:
        raise _stale(connection, run)


def finish(
    connection: Connection,
    run: Run,
    *,
    outcome: Literal["done", "failed"],
    now: datetime,
    detail: Mapping[str, Any],
) -> None:
    """End a run and write down what came of it; a failed one is free to be taken again.

    Its scope and steps stay, where `detail` does not name them anew; how far it had come does not.

    Raises:
        StaleRunError: Somebody else has taken the run over.
    """
    values = _with(detail).op("-")(sa.literal(PROGRESS, sa.Text()))
    statement = _mine(run).values(outcome=outcome, finished_at=now, lease_until=now, detail=values)
    if connection.execute(statement).rowcount == 0:
        raise _stale(connection, run)


def get(connection: Connection, slot: Slot) -> Run | None:
    """Return the run of a slot; None when nobody has ever taken it."""
    statement = _RUNS.where(
        col(RunRow.kind) == slot.kind,
        col(RunRow.version) == slot.version,
        col(RunRow.slot) == slot.slot,
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Run(*row)


def held_by(connection: Connection, slot: Slot, *, now: datetime) -> str | None:
    """Return who is at work on a slot at this moment; None when nobody is."""
    run = get(connection, slot)
    at_work = run is not None and run.outcome == "running" and run.lease_until > now
    return run.holder if run is not None and at_work else None


def done_slots(
    connection: Connection, kinds: Sequence[str], first: str, last: str, *, but: str | None = None
) -> set[str]:
    """Return which slots from `first` to `last` (as text, inclusive) some version has done.

    Args:
        connection: Where to ask.
        kinds: Which runs count.
        first: The first slot.
        last: The last slot.
        but: A scope that does not count as done; None counts them all.
    """
    statement = sa.select(col(RunRow.slot)).where(
        col(RunRow.kind).in_(list(kinds)),
        col(RunRow.slot).between(first, last),
        col(RunRow.outcome) == "done",
    )
    if but is not None:
        statement = statement.where(_SCOPE_OF.is_distinct_from(but))
    return set(connection.execute(statement).scalars())


def slots_at_work(connection: Connection, kinds: Sequence[str], *, now: datetime) -> list[Run]:
    """Return the runs that somebody is at now: begun, and with a lease that has not run out."""
    statement = _RUNS.where(
        col(RunRow.kind).in_(list(kinds)),
        col(RunRow.outcome) == "running",
        col(RunRow.lease_until) > now,
    )
    return [Run(*row) for row in connection.execute(statement.order_by(col(RunRow.slot)))]


def tries(connection: Connection, kinds: Sequence[str], slot: str) -> list[Run]:
    """Return the runs of one slot, whatever the version, the one started last first."""
    statement = _RUNS.where(col(RunRow.kind).in_(list(kinds)), col(RunRow.slot) == slot)
    order = (col(RunRow.started_at).desc(), col(RunRow.id).desc())
    return [Run(*row) for row in connection.execute(statement.order_by(*order))]


def latest(
    connection: Connection, limit: int = 100, kinds: Sequence[str] | None = None
) -> list[Run]:
    """Return the runs started last, the newest first; only those of `kinds` when given."""
    chosen = _RUNS if kinds is None else _RUNS.where(col(RunRow.kind).in_(list(kinds)))
    statement = chosen.order_by(col(RunRow.started_at).desc(), col(RunRow.id).desc())
    return [Run(*row) for row in connection.execute(statement.limit(limit))]


def some(connection: Connection, numbers: Collection[int]) -> list[Run]:
    """Return the runs of some numbers, the oldest first; about a thousand at most."""
    statement = _RUNS.where(col(RunRow.id).in_(numbers)).order_by(col(RunRow.id))
    return [Run(*row) for row in connection.execute(statement)]


def _mine(run: Run) -> sa.Update:
    return sa.update(RunRow).where(
        col(RunRow.id) == run.id,
        col(RunRow.fence) == run.fence,
        col(RunRow.outcome) == "running",
    )


def _with(detail: Mapping[str, Any]) -> sa.ColumnElement[Any]:
    """Return a run's detail with some keys added, or put in place of what they were."""
    return col(RunRow.detail).op("||")(sa.literal(dict(detail), _JSON))


def _stale(connection: Connection, run: Run) -> StaleRunError:
    row = connection.execute(_RUNS.where(col(RunRow.id) == run.id)).one_or_none()
    what = f"the {run.kind} run of {run.slot} for {run.version}"
    if row is None:
        return StaleRunError(f"{what} no longer exists; the write is refused")
    if row.fence == run.fence:
        return StaleRunError(f"{what} has ended already ({row.outcome}); the write is refused")
    return StaleRunError(f"{what} was taken over by {row.holder}; the write is refused")


_SCOPE_OF = col(RunRow.detail).op("->>")(SCOPE)
_RUNS = sa.select(*[getattr(RunRow, name) for name in Run.__dataclass_fields__])
