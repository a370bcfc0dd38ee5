"""Keeps the prediction log's days in order, and notices when nobody examines them.

Partitions are made ahead and old ones dropped: at the start, every hour, and whenever the clock
reaches another day. When that fails nothing is lost: rows of a day without a partition wait in the
default one.

Every five minutes it is asked which days the monitor should have examined by now. A monitor that
is dead cannot say so itself. Nor does a service that has died say any more that it cannot load the
champion. What is found is put into the outbox; who sends it is the monitor, once it lives again, or
whatever else empties the outbox (docs/alerts.md).
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import date, timedelta

from sqlalchemy import Engine

from core import refused_loads, telling
from core.clock import Clock, day_bounds
from core.errors import WeakspotError
from core.store import challengers, due, idempotency, outbox
from core.store.database import transaction
from core.store.due import Look
from core.store.partitions import drop_partitions_before, ensure_partitions
from core.telling import News

_log = logging.getLogger(__name__)

_EVERY_S = 3600.0
_AGAIN_S = 30.0  # after a failure
_LATE_S = 300.0  # between two looks for a monitor that is late
_COUNT_S = 30.0  # between two counts of messages that have not arrived
_LOOK_S = 1.0  # how often the clock is asked for the day
_DAYS_AHEAD = 7
_ANSWERS_KEPT = timedelta(hours=24)  # under their Idempotency-Key
_PIECE = 5_000


class Upkeep:
    """The thread that looks after the prediction log's partitions, and after the monitor.

    Args:
        engine: Where the log is.
        clock: Says which day it is.
        retention_days: Days of predictions that are kept.
        monitor_hour_utc: Hour at which the monitor examines the day before.

    Attributes:
        late: What the last look for a late monitor found.
        undelivered: Messages about alerts that wait or are on their way, and that were given up,
            at the last look.
    """

    def __init__(
        self, engine: Engine, *, clock: Clock, retention_days: int, monitor_hour_utc: int = 2
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._retention_days = retention_days
        self._monitor_hour_utc = monitor_hour_utc
        self.late = Look(())
        self.undelivered = (0, 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def run_once(self) -> None:
        """Make what is missing for yesterday to a week ahead, and drop what is too old.

        Raises:
            StoreError: Postgres is away, or others hold the log for too long.
        """
        today = self._clock.now().date()
        days = [today + timedelta(days=i) for i in range(-1, _DAYS_AHEAD + 1)]
        with transaction(self._engine) as connection:
            ensure_partitions(connection, days)
        with transaction(self._engine) as connection:
            oldest = today - timedelta(days=self._retention_days)
            dropped = drop_partitions_before(connection, oldest)
        self._forget_answers(oldest)
        if dropped:
            _log.info("dropped the predictions of %d days before %s", len(dropped), oldest)

    def look_for_the_monitor(self) -> None:
        """Raise the alert that days have not been examined in time, or resolve it.

        Raises:
            StoreError: Postgres is away.
        """
        with transaction(self._engine) as connection:
            now = self._clock.now()
            self.late = due.look(connection, now, hour_utc=self._monitor_hour_utc)
            news = [News("opened", self.late.raised)] if self.late.raised else []
            news += [News("resolved", self.late.resolved)] if self.late.resolved else []
            telling.tell(connection, news, now=now)
        if self.late.raised:
            _log.error("the monitor is late: %s", self.late.to_text())
        if self.late.resolved:
            _log.info("the monitor is no longer late")

    def look_for_refused_loads(self) -> None:
        """Raise the alert that a service cannot load the champion, or resolve it.

        Raises:
            StoreError: Postgres is away.
        """
        with transaction(self._engine) as connection:
            refused_loads.follow(connection, now=self._clock.now())

    def count_the_undelivered(self) -> None:
        """Count the messages about alerts that have not arrived.

        Raises:
            StoreError: Postgres is away.
        """
        with transaction(self._engine) as connection:
            counts = outbox.counts(connection)
        self.undelivered = (counts["waiting"] + counts["sending"], counts["dead"])

    def _forget_answers(self, oldest: date) -> None:
        """Forget answers under an Idempotency-Key, and challengers' answers to what is dropped."""
        first, _ = day_bounds(oldest)
        moment = self._clock.now() - _ANSWERS_KEPT
        for forget, before in (
            (idempotency.delete_before, moment),
            (challengers.delete_before, first),
        ):
            forgotten = _PIECE
            while forgotten == _PIECE and not self._stopping.is_set():
                with transaction(self._engine) as connection:
                    forgotten = forget(connection, before, limit=_PIECE)

    def _work(self) -> None:
        done_on: date | None = None
        next_s = next_count_s = 0.0
        # Not at once: a monitor that is started with this service needs a while to catch up.
        next_look_s = time.monotonic() + _LATE_S
        while not self._stopping.is_set():
            try:
                today = self._clock.now().date()
                if today != done_on or time.monotonic() >= next_s:
                    done_on, next_s = today, time.monotonic() + _AGAIN_S
                    self.run_once()
                    next_s = time.monotonic() + _EVERY_S
                if time.monotonic() >= next_count_s:
                    next_count_s = time.monotonic() + _COUNT_S
                    self.count_the_undelivered()
                if time.monotonic() >= next_look_s:
                    next_look_s = time.monotonic() + _LATE_S
                    self.look_for_the_monitor()
                    self.look_for_refused_loads()
            except WeakspotError as error:
                _log.warning("the prediction log's days could not be looked after: %s", error)
            except Exception:
                # A thread that ends here would let the default partition grow for ever.
                _log.exception("the prediction log's days could not be looked after")
            self._stopping.wait(_LOOK_S)
