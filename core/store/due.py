"""Which days are due to be examined, and which of them nobody has examined in time.

Read off `runs` each time, so it is known to every program, also while no monitor lives. Whoever
looks raises one alert for all that is late and resolves it when nothing is any more; of several
who look at once, one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from core.clock import day_bounds
from core.store import last_runs, notices, registry, runs
from core.store.last_runs import Errand
from core.store.runs import Slot

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.alerts import Alert

# The kind of a day's run. Its scope is how much of the day was examined: all of it; what there was
# before it was over; all but the labelled images, whose draw was left to a later day.
DAY: Final = "day"
WHOLE, SO_FAR, WITHOUT_DRAW = "whole", "so far", "without draw"
# What each goes beyond: a day that was examined so far is examined again when it is over.
OUTDOES: Final = {SO_FAR: (), WITHOUT_DRAW: (SO_FAR,), WHOLE: (SO_FAR, WITHOUT_DRAW)}

# Looked at every five minutes, so whoever should know does so within the hour.
GRACE: Final = timedelta(minutes=50)
# What the alert is known by.
KIND: Final = "monitor"
CAUSE: Final = "late"
_LOOKED_BACK_DAYS: Final = 30
_NAMED: Final = 5


# Once its day is over by this clock, a run that ended within the next two minutes is believed: so
# far clocks drift. One that ended in the future of a day that is not over cannot be. Days are
# compared as their text, 2026-03-08, which every slot of this kind is.
_DISOWN = sa.text("""
    UPDATE runs
       SET outcome = 'failed', detail = detail || :reason
     WHERE kind = :kind
       AND outcome = 'done'
       AND slot >= :first
       AND (finished_at > :now + interval '2 minutes'
            OR (finished_at > :now AND slot >= :today)
            OR (slot >= to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                AND detail ->> 'scope' IS DISTINCT FROM :so_far))
 RETURNING slot
""").bindparams(
    sa.bindparam("reason", type_=JSONB), sa.bindparam("now", type_=sa.DateTime(timezone=True))
)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the days found.

    Attributes:
        late: Days that should have been examined by now, the oldest first.
        raised: The alert that this look raised; None when it was known, or nothing is late.
        resolved: The alert that this look resolved.
    """

    late: tuple[date, ...]
    raised: Alert | None = None
    resolved: Alert | None = None

    def to_text(self) -> str:
        """Return which days are late, in words; empty when none is."""
        if not self.late:
            return ""
        named = ", ".join(map(str, self.late[:_NAMED]))
        more = f" and {len(self.late) - _NAMED} more" * (len(self.late) > _NAMED)
        return f"not examined in time: {named}{more}"


def missed_days(
    connection: Connection, now: datetime, *, hour_utc: int, catch_up_days: int
) -> list[date]:
    """Return the days that are due and not done, the oldest first.

    A day is due once it is over and the set hour of the next has come.

    Args:
        connection: Where to ask.
        now: The present moment.
        hour_utc: The set hour.
        catch_up_days: How far back a missed day counts.
    """
    moves = registry.history(connection)
    if not moves:
        return []
    last = (now - timedelta(hours=hour_utc)).date() - timedelta(days=1)
    first = max(moves[0].at.astimezone(UTC).date(), last - timedelta(days=catch_up_days))
    done = runs.done_slots(connection, (DAY,), first.isoformat(), last.isoformat(), but=SO_FAR)
    span = range((last - first).days + 1)
    days = [first + timedelta(days=offset) for offset in span]
    return [day for day in days if day.isoformat() not in done]


def slot_of(day: date, version: str, scope: str) -> Slot:
    """Return the slot of a day: one for each version, whatever the scope."""
    return Slot(DAY, version, day.isoformat(), scope, OUTDOES[scope])


def disown_mistimed(connection: Connection, now: datetime) -> list[date]:
    """Free the days that a wrong clock let somebody examine too early, and return them.

    Their runs ended in the future, or before their day did: what they summed up and checked is a
    part of the day. It stays, draw included, until the day is examined again.
    """
    first = now.date() - timedelta(days=_LOOKED_BACK_DAYS)
    values = {
        "kind": DAY,
        "so_far": SO_FAR,
        "first": first.isoformat(),
        "today": now.date().isoformat(),
        "now": now,
    }
    said = f"examined while the clock was wrong; it is {now:%Y-%m-%d %H:%M} UTC"
    reason = {"error": "ClockError", "detail": said}
    found = connection.execute(_DISOWN, values | {"reason": reason}).scalars()
    return sorted(date.fromisoformat(slot) for slot in found)


def late_days(connection: Connection, now: datetime, *, hour_utc: int) -> list[date]:
    """Return the days that were due 50 minutes ago and that nobody is at, the oldest first.

    The day on which the first version was promoted is examined like any, but not called late: it
    was no whole day, and whoever tries things out on it may have started no monitor yet.
    """
    missed = missed_days(
        connection, now - GRACE, hour_utc=hour_utc, catch_up_days=_LOOKED_BACK_DAYS
    )
    served = registry.history(connection)[0].at if missed else now
    missed = [day for day in missed if day_bounds(day)[0] >= served]
    if not missed:
        return []
    at_work = runs.slots_at_work(connection, (DAY,), now=now)
    # While a monitor is at the oldest, it is on its way to the others.
    return [] if at_work else missed


def look(connection: Connection, now: datetime, *, hour_utc: int, by: str = "service") -> Look:
    """Raise the alert that the monitor is late, or resolve it, as the days ask.

    Args:
        connection: The transaction to write in.
        now: The present moment.
        hour_utc: The hour at which the monitor examines the day before.
        by: Who looks; `runs` keeps who was last to.
    """
    late = tuple(late_days(connection, now, hour_utc=hour_utc))
    said = {"late": [day.isoformat() for day in late]}
    last_runs.leave(connection, Errand(last_runs.LATE_CHECK, by, now, now, "done", said))
    if not late:
        resolved = notices.resolve(connection, KIND, CAUSE, now=now)
        return Look(late, resolved=resolved)
    found = Look(late)
    raised = notices.raise_once(
        connection,
        KIND,
        CAUSE,
        title=f"The monitor is late: {found.to_text()}",
        body="\n".join(
            [
                f"At {now:%Y-%m-%d %H:%M} UTC, {len(late)} due "
                f"{'day is' if len(late) == 1 else 'days are'} without a finished run, and no "
                "monitor is at work. Until it is, weak classes go unnoticed.",
                *(_why(connection, day) for day in late[:_NAMED]),
                "What is wrong is in the monitor's log and in `weakspot monitor --status`; "
                "`weakspot monitor --once` examines what is due.",
            ]
        ),
        now=now,
    )
    return Look(late, raised=raised)


def _why(connection: Connection, day: date) -> str:
    """Say what became of the last try to examine a day."""
    tries = runs.tries(connection, (DAY,), day.isoformat())
    if not tries:
        return f"{day}: never begun."
    last = tries[0]
    if last.outcome == "running":
        return f"{day}: {last.holder} began it at {last.started_at:%H:%M} UTC and fell silent."
    return f"{day}: {last.detail.get('detail') or last.outcome}."
