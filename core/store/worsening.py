"""Which open alerts are worse than people were told, and how high their evidence went.

Worse is a matter of counts (core.stats.worse): the images of the class since the last telling, as
the version examined on each day answered them, against the images that were told of. How much
images of one session are worth goes by how alike they were of late (`model_days.correlation`).
Evidence is remembered to be shown. It starts again after each alarm, so it says nothing about
worse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import col

from core.stats.worse import Counts, find_worse, pairs_of
from core.store import class_days, model_days
from core.store.alerts import ALERTS, MOST_EVIDENCE, Alert, AlertRow
from core.store.told import Told

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.class_days import ClassDay

# Locked in one order, so that two that note at once do not wait for each other.
_UNRESOLVED = sa.text("""
    SELECT a.id, f.label, a.peak
      FROM alerts AS a
      JOIN flags AS f ON f.id = a.flag
     WHERE a.state <> 'resolved'
       AND f.version = :version
       AND f.raised_on <= :day
     ORDER BY a.id
       FOR UPDATE OF a
""")


def note_evidence(
    connection: Connection, version: str, day: date, evidence: Mapping[str, float]
) -> None:
    """Remember the largest evidence seen of each class that has an unresolved alert.

    Args:
        connection: Where the alerts are.
        version: The version judged. Alerts of flags against another one are left alone.
        day: The day judged; alerts of later flags are left alone.
        evidence: Of that day, by class.
    """
    rows = connection.execute(_UNRESOLVED, {"version": version, "day": day})
    grown = [
        {"alert": row.id, "now_at": min(evidence[row.label], MOST_EVIDENCE)}
        for row in rows
        if evidence.get(row.label, 0.0) > row.peak
    ]
    if grown:
        statement = (
            sa.update(AlertRow)
            .where(col(AlertRow.id) == sa.bindparam("alert"))
            .values(peak=sa.bindparam("now_at"))
        )
        connection.execute(statement, grown)


def take_worsened(connection: Connection, *, but: Collection[int] = ()) -> list[Alert]:
    """Return the alerts shown to be worse than people were told, and count them as told now.

    The last of `told` is what is to be told, the one before it what was. Snoozed alerts are left
    asleep.

    Args:
        connection: The transaction that tells.
        but: Flags that are told of anyway.
    """
    statement = (
        ALERTS.where(col(AlertRow.state).in_(("open", "acknowledged")))
        .where(col(AlertRow.flag).is_not(None), col(AlertRow.flag).not_in(but))
        .where(sa.func.jsonb_array_length(AlertRow.told) > 0)
        .order_by(col(AlertRow.id))
        .with_for_update(of=AlertRow)
    )
    found = [Alert(*row) for row in connection.execute(statement)]
    if not found:
        return []
    last = {each.id: each.was_told()[-1] for each in found}
    days = _days_of(connection, found, min(told.since for told in last.values()))
    versions = {day.version for each in days.values() for day in each}
    alike = model_days.correlations(connection, versions)
    worse = [
        (each, told)
        for each in found
        if (told := _worse_than(last[each.id], days[each.label or ""], alike)) is not None
    ]
    for alert, told in worse:
        kept = [*alert.told, told.to_json()]
        statement = sa.update(AlertRow).where(col(AlertRow.id) == alert.id)
        connection.execute(statement.values(told=kept, level=alert.level + 1))
    ids = [alert.id for alert, _ in worse]
    rows = connection.execute(ALERTS.where(col(AlertRow.id).in_(ids)).order_by(col(AlertRow.id)))
    return [Alert(*row) for row in rows]


def _days_of(
    connection: Connection, found: list[Alert], first: date
) -> Mapping[str, list[ClassDay]]:
    labels = sorted({each.label for each in found if each.label is not None})
    days: dict[str, list[ClassDay]] = defaultdict(list)
    for row in class_days.matrix(connection, first, date.max, labels):
        days[row.label].append(row)
    return days


def _worse_than(told: Told, days: list[ClassDay], alike: Mapping[str, float]) -> Told | None:
    since = [day for day in days if day.day > told.until]
    compared = [day for day in days if day.day >= told.since]
    then = pairs_of(size for day in compared if day.day <= told.until for size, _ in day.shared)
    # A version just promoted knows nothing yet of how alike images are; the one before it does.
    correlation = max((alike.get(day.version, 0.0) for day in compared), default=0.0)
    found = find_worse(
        [Counts(day.correct, day.n, pairs_of(size for size, _ in day.shared)) for day in since],
        Counts(told.correct, told.n, then),
        correlation,
    )
    if found is None:
        return None
    return Told(since[found.first].day, since[-1].day, found.n, found.correct)
