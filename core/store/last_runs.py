"""What was done last: each step of a day, and the work that nobody has to claim.

Sending messages, looking whether the monitor is late, replaying days and looking for corrected
labels are done whenever somebody likes; each keeps one row in `runs`, the last time. So whoever
asks that table learns of everything the monitor does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from sqlalchemy import Connection

DELIVERY: Final = "delivery"
LATE_CHECK: Final = "late check"
REPLAY: Final = "replay"
CORRECTIONS: Final = "corrections"
ERRANDS: Final = (DELIVERY, LATE_CHECK, REPLAY, CORRECTIONS)
_LAST: Final = "last"


@dataclass(frozen=True, slots=True)
class LastStep:
    """The last time one step of a kind of work was gone through.

    Attributes:
        step: Its name.
        place: How many steps the same run went through before it.
        version: The version it was done for.
        slot: What was due, such as `2026-03-08`.
        started_at: When it began, as ISO 8601.
        seconds: How long it took; None while it runs.
        outcome: `running`, `done` or `failed`.
    """

    step: str
    place: int
    version: str
    slot: str
    started_at: str
    seconds: float | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Errand:
    """The last time of work that nobody has to claim.

    Attributes:
        kind: One of `ERRANDS`.
        holder: Who did it.
        started_at: When it began.
        finished_at: When it ended.
        outcome: How it ended.
        detail: What came of it.
    """

    kind: str
    holder: str
    started_at: datetime
    finished_at: datetime
    outcome: Literal["done", "failed"]
    detail: dict[str, Any]


# A clock that was set back is no reason to keep a moment of the future.
_LEAVE = sa.text("""
    INSERT INTO runs AS r (kind, version, slot, holder, fence, lease_until, started_at,
                           finished_at, outcome, detail)
    VALUES (:kind, '', :slot, :holder, 1, :finished_at, :started_at, :finished_at, :outcome,
            :detail)
        ON CONFLICT ON CONSTRAINT runs_slot_unique DO UPDATE
       SET holder = excluded.holder,
           fence = r.fence + 1,
           lease_until = excluded.lease_until,
           started_at = excluded.started_at,
           finished_at = excluded.finished_at,
           outcome = excluded.outcome,
           detail = excluded.detail
     WHERE NOT :quiet
        OR r.outcome <> excluded.outcome
        OR excluded.started_at NOT BETWEEN r.started_at AND r.started_at + interval '1 minute'
""").bindparams(sa.bindparam("detail", type_=JSONB))

_LAST_ERRANDS = sa.text("""
    SELECT kind, holder, started_at, finished_at, outcome, detail
      FROM runs
     WHERE kind = ANY(:kinds) AND version = '' AND slot = :slot
     ORDER BY kind
""")

_RECENT_RUNS = 1_000  # what was not done in so many runs is not done any more

_LAST_STEPS = sa.text("""
    WITH recent AS (
        SELECT id, version, slot, detail
          FROM runs
         WHERE kind = ANY(:kinds)
         ORDER BY started_at DESC, id DESC
         LIMIT :runs)
    SELECT DISTINCT ON (s.step ->> 'step')
           s.step ->> 'step' AS step, s.place, r.version, r.slot,
           s.step ->> 'started_at' AS started_at,
           CAST(s.step ->> 'seconds' AS double precision) AS seconds,
           s.step ->> 'outcome' AS outcome
      FROM recent r
      CROSS JOIN jsonb_array_elements(r.detail -> 'steps') WITH ORDINALITY AS s (step, place)
     ORDER BY s.step ->> 'step', s.step ->> 'started_at' DESC, r.id DESC
""")


def leave(connection: Connection, errand: Errand, *, quiet: bool = False) -> None:
    """Write down the last time of an errand, in place of the time before.

    Args:
        connection: Where to write.
        errand: What was done.
        quiet: Whether there was nothing to do: that is written once a minute at most.
    """
    values = asdict(errand) | {"slot": _LAST, "quiet": quiet}
    connection.execute(_LEAVE, values)


def last_errand(connection: Connection, kind: str) -> Errand | None:
    """Return the last time of one errand; None when it was never done."""
    row = connection.execute(_LAST_ERRANDS, {"kinds": [kind], "slot": _LAST}).one_or_none()
    return None if row is None else Errand(*row)


def last_errands(connection: Connection) -> list[Errand]:
    """Return the last time of each errand that was ever done, by kind."""
    rows = connection.execute(_LAST_ERRANDS, {"kinds": list(ERRANDS), "slot": _LAST})
    return [Errand(*row) for row in rows]


def last_steps(connection: Connection, kinds: Sequence[str]) -> list[LastStep]:
    """Return when each step was gone through last, in the order in which a day goes through them.

    Args:
        connection: Where to ask.
        kinds: Kinds of runs whose `detail` lists their steps.
    """
    rows = connection.execute(_LAST_STEPS, {"kinds": list(kinds), "runs": _RECENT_RUNS})
    return sorted((LastStep(*row) for row in rows), key=lambda step: step.place)
