"""The prediction log's own way to Postgres, and whether it is open.

Once Postgres has been found away, nobody waits for it again until a probe has found it back. A row
that Postgres refuses for what is in it never takes others down with it: its group is halved until
the row stands alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.errors import ConflictError, RefusedRowError, StoreAwayError, StoreError
from core.store import idempotency, predictions
from core.store.database import create_impatient_engine, transaction
from core.store.idempotency import Kept
from core.store.watchdog import Watchdog
from service.log.log_entry import Entry

_log = logging.getLogger(__name__)

_PATIENCE_S = 2.5  # above the statement timeout, so that Postgres speaks first if it can

Refusals = list[Exception | None]


class LogStore:
    """Groups of predictions into Postgres.

    Args:
        engine: Names the database; the connections are this class's own.

    Attributes:
        away: Why Postgres takes nothing just now; empty while it does.
    """

    def __init__(self, engine: Engine) -> None:
        self.away = ""
        self._engine = create_impatient_engine(engine, pool_size=8)
        self._watchdog = Watchdog(_PATIENCE_S)

    def start(self) -> None:
        """Start looking after the connections."""
        self._watchdog.start()

    def stop(self) -> None:
        """Close every connection."""
        self._watchdog.stop()
        self._engine.dispose()

    def write(self, entries: Sequence[Entry]) -> Refusals:
        """Commit entries; return for each what speaks against it, None for those that are in.

        Raises:
            StoreAwayError: Postgres is away, and some of them may be in all the same.
        """
        if self.away:
            raise StoreAwayError(self.away)
        try:
            return _in_halves(entries, self._commit)
        except StoreAwayError as error:
            self._gone(error)
            raise

    def replay(self, entries: Sequence[Entry]) -> Refusals:
        """Commit those entries that are not there yet; a success means that Postgres is back.

        Raises:
            StoreAwayError: It is not.
        """
        refusals = _in_halves(entries, self._commit_missing)
        self._back()
        return refusals

    def probe(self) -> bool:
        """Ask Postgres for nothing; return whether it answered."""
        try:
            self._run(lambda connection: connection.execute(sa.text("SELECT 1")))
        except StoreError:
            return False
        return True

    def reopen(self) -> None:
        """Let writes try again."""
        self._back()

    def find(self, caller: str, key: str) -> Kept | None:
        """Return the answer kept under a key; None also while Postgres cannot be asked."""
        if self.away:
            return None
        try:
            return self._run(lambda connection: idempotency.find(connection, caller, key))
        except StoreAwayError as error:
            self._gone(error)
            return None

    def _commit(self, entries: Sequence[Entry]) -> Refusals:
        return self._run(lambda connection: _insert(connection, entries))

    def _commit_missing(self, entries: Sequence[Entry]) -> Refusals:
        return self._run(lambda connection: _insert_missing(connection, entries))

    def _run(self, work: Callable[[Connection], Any]) -> Any:
        with self._watchdog.guard() as guard, transaction(self._engine) as connection:
            guard.attach(connection)
            return work(connection)

    def _gone(self, error: StoreAwayError) -> None:
        if not self.away:
            _log.error("Postgres is away: %s", error)
        self.away = str(error)

    def _back(self) -> None:
        if self.away:
            _log.warning("Postgres is back")
        self.away = ""


def _insert(connection: Connection, entries: Sequence[Entry]) -> Refusals:
    kept = [replace_logged(each.kept, "stored") for each in entries if each.kept]
    ours = idempotency.claim(connection, kept) if kept else set()
    refusals: Refusals = [
        ConflictError("another request with this Idempotency-Key was faster")
        if each.kept and each.prediction.id not in ours
        else None
        for each in entries
    ]
    rows = [each.prediction for each, no in zip(entries, refusals, strict=True) if no is None]
    predictions.insert_many(connection, rows)
    return refusals


def _insert_missing(connection: Connection, entries: Sequence[Entry]) -> Refusals:
    kept = [each.kept for each in entries if each.kept]
    if kept:
        idempotency.claim(connection, kept)
    predictions.insert_missing(connection, [each.prediction for each in entries])
    return [None] * len(entries)


def _in_halves(entries: Sequence[Entry], commit: Callable[[Sequence[Entry]], Refusals]) -> Refusals:
    """Commit entries together; where that is refused, in halves, down to the one at fault."""
    try:
        return commit(entries)
    except StoreAwayError:
        raise
    except Exception as error:
        if len(entries) == 1:
            _log.exception("prediction %s could not be written", entries[0].prediction.id)
            refusal = RefusedRowError("Postgres refuses to keep this prediction")
            refusal.__cause__ = error
            return [refusal]
    half = len(entries) // 2
    return _in_halves(entries[:half], commit) + _in_halves(entries[half:], commit)


def replace_logged(kept: Kept, where: str) -> Kept:
    """Return what is kept of an answer that says where its row is."""
    return replace(kept, answer={**kept.answer, "logged": where})
