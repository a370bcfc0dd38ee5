"""Labels corrected since their exam: their days are counted anew before the next day is examined.

A person who corrects a label in the inbox, or calls an image unusable, need not know that exams had
drawn it. Once a day, and not at each click: what people have seen in the morning stands all day.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from core.store import audit, images, last_runs, validations
from core.store.database import transaction
from core.store.last_runs import Errand
from monitor import replay
from monitor.retraffic import Terms

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.clock import Clock
    from monitor.page import MonitorOptions, OnProgress
    from monitor.replay import Replayed

# A correction bears the moment at which it began, and is seen when it is committed.
_OVERLAP: Final = timedelta(minutes=10)


def follow(
    engine: Engine,
    *,
    options: MonitorOptions,
    clock: Clock,
    by: str,
    on_progress: OnProgress | None = None,
) -> Replayed | None:
    """Count the exams anew whose images have another label or purpose since the last time.

    All in one transaction: a day is counted by the old labels or by the new ones.

    Args:
        engine: The database.
        options: What the owner chose.
        clock: What time it is.
        by: Who asks, for the audit trail.
        on_progress: Told what is being done.

    Returns:
        What the replay found; None when no exam had drawn a corrected image.

    Raises:
        StoreError: Postgres is away; nothing has changed.
    """
    began = clock.now()
    tell = on_progress or (lambda _stage, _done, _total: None)
    with transaction(engine) as connection:
        last = last_runs.last_errand(connection, last_runs.CORRECTIONS)
        # A clock that was ahead then must not hide what was corrected since.
        since = min(last.started_at, began) - _OVERLAP if last else None
        deeds = (images.RELABELLED, images.PURPOSE_SET)
        corrected = {int(each) for each in audit.subjects_since(connection, deeds, since)}
        days = validations.days_of_images(connection, corrected)
        if not days:
            nothing = Errand(last_runs.CORRECTIONS, by, began, clock.now(), "done", {"exams": 0})
            last_runs.leave(connection, nothing, quiet=True)
            return None
        terms = Terms(engine, options, clock, by, tell)
        found = replay.recount(connection, days[0], days[-1], terms=terms)
        replay.record(connection, found, terms, began, last_runs.CORRECTIONS)
    return found
