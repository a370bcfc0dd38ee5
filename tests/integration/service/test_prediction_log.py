"""The prediction log over Postgres and the spool: every answered row is there, once, whole."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import SystemClock
from core.errors import OverloadedError, RefusedRowError, StoreAwayError
from core.store import idempotency, predictions
from core.store.database import create_engine, transaction
from core.store.predictions import Filter, Prediction
from service.log import log_entry
from service.log.log_entry import Entry
from service.log.log_store import LogStore
from service.log.prediction_log import PredictionLog
from service.log.replayer import Replayer
from service.log.spool import Spool
from service.upkeep import Upkeep
from tests.faults import eventually, gate
from tests.log_writer import kept_of, said
from tests.serving import logged

NOWHERE = "postgresql://weakspot@127.0.0.1:9/weakspot"


@pytest.fixture
def away() -> Iterator[Engine]:
    """An engine on a Postgres that is not there."""
    engine = create_engine(NOWHERE)
    yield engine
    engine.dispose()


@contextmanager
def opened(engine: Engine) -> Iterator[LogStore]:
    """Open the log's way to a database until the block ends."""
    store = LogStore(engine)
    store.start()
    try:
        yield store
    finally:
        store.stop()


def commit(
    engine: Engine, folder: Path | None, rows: Sequence[Prediction], *, max_bytes: int = 10_000_000
) -> list[object]:
    """Commit rows in one group, and return what became of each."""

    async def group(log: PredictionLog) -> list[object]:
        return await asyncio.gather(*map(log.commit, rows), return_exceptions=True)

    spool = Spool(folder, max_bytes=max_bytes) if folder else None
    with opened(engine) as store:
        log = PredictionLog(store, spool, max_waiting=100)
        log.start()
        outcomes = asyncio.run(group(log))
        log.stop()
    if spool:
        spool.seal()
    return outcomes


def replay(engine: Engine, folder: Path) -> Spool:
    """Bring a spool into a database, and return it."""
    spool = Spool(folder, max_bytes=10_000_000)
    with opened(engine) as store:
        Replayer(store, spool).run_once()
    return spool


def count(engine: Engine) -> int:
    """Return how many predictions are in the log."""
    with transaction(engine) as connection:
        return predictions.count(connection, Filter())


class TestCommit:
    """One group of predictions."""

    def test_is_not_spoilt_by_one_bad_row(self, engine: Engine, tmp_path: Path):
        """A picture with a strange name must not cost its neighbours their answers."""
        rows = [said(), said(), said("nul \0"), said(), said()]

        outcomes = commit(engine, tmp_path, rows)

        bad = outcomes.pop(2)
        assert outcomes == ["stored"] * 4
        assert isinstance(bad, RefusedRowError)
        assert count(engine) == 4

    def test_goes_to_the_spool_while_postgres_is_away(
        self, away: Engine, engine: Engine, tmp_path: Path
    ):
        """F02: answered all the same, and in Postgres later; what never can be is refused."""
        rows = [said(), said("nul \0"), said()]

        first, bad, last = commit(away, tmp_path, rows)

        assert (first, last) == ("spooled", "spooled")
        assert isinstance(bad, RefusedRowError)
        replay(engine, tmp_path)
        assert set(logged(engine)) == {str(rows[0].id), str(rows[2].id)}
        assert list(tmp_path.iterdir()) == []

    def test_is_refused_when_the_spool_is_full(self, away: Engine, tmp_path: Path):
        """Bounded disk: the caller hears when to come again."""
        outcomes = commit(away, tmp_path, [said() for _ in range(5)], max_bytes=3_000)

        assert outcomes[:2] == ["spooled", "spooled"]
        assert [type(each) for each in outcomes[2:]] == [OverloadedError] * 3
        assert all(getattr(each, "retry_after_s", 0) == 5 for each in outcomes[2:])

    def test_is_refused_without_a_spool(self, away: Engine):
        """Who wants no spool gets 503 instead."""
        (outcome,) = commit(away, None, [said()])

        assert isinstance(outcome, StoreAwayError)


class TestStore:
    """The log's way to Postgres."""

    def test_notices_a_postgres_that_hangs(self, database_url: str):
        """F22: a server that says nothing is away too, within seconds."""
        with gate(database_url) as way, opened(create_engine(way.url)) as store:
            assert store.write([Entry(said())]) == [None]
            way.freeze()
            begun = time.monotonic()
            with pytest.raises(StoreAwayError):
                store.write([Entry(said())])
            waited_s = time.monotonic() - begun
            begun = time.monotonic()
            with pytest.raises(StoreAwayError):
                store.write([Entry(said())])

            assert waited_s < 4
            assert time.monotonic() - begun < waited_s / 2

    def test_notices_a_locked_table(self, engine: Engine):
        """F22: a migration in the way must not hold the callers."""
        with opened(engine) as store, transaction(engine) as connection:
            connection.execute(sa.text("LOCK TABLE predictions IN EXCLUSIVE MODE"))
            begun = time.monotonic()
            with pytest.raises(StoreAwayError, match="lock"):
                store.write([Entry(said())])

        assert time.monotonic() - begun < 3


class TestReplay:
    """The spool on its way into Postgres."""

    def test_stores_what_may_be_there_already_once(
        self, away: Engine, engine: Engine, tmp_path: Path
    ):
        """The answer to a COMMIT can be lost: the same rows are in Postgres and in the spool."""
        rows = [said() for _ in range(5)]
        commit(engine, None, rows[:3])
        commit(away, tmp_path, rows)
        commit(away, tmp_path, rows[:1])

        replay(engine, tmp_path)

        assert sorted(logged(engine)) == sorted(str(row.id) for row in rows)

    def test_gives_the_row_that_a_direct_write_gives(self, engine: Engine, tmp_path: Path):
        """To the last bit of the embedding."""
        direct = said()
        twin = replace(direct, id=said().id)
        commit(engine, None, [direct])
        spool = Spool(tmp_path, max_bytes=10_000_000)
        spool.append([log_entry.encode(Entry(twin))])
        spool.seal()

        replay(engine, tmp_path)

        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT to_jsonb(p) - 'id' FROM predictions p"))
            first, second = rows.scalars()
        assert first == second

    def test_sets_a_refused_row_aside(self, engine: Engine, tmp_path: Path):
        """One row that Postgres never takes must not hold up the others for ever."""
        rows = [said(), replace(said(), image_sha256="x" * 65), said()]
        spool = Spool(tmp_path, max_bytes=10_000_000)
        spool.append([log_entry.encode(Entry(row)) for row in rows])
        spool.seal()

        replay(engine, tmp_path)

        assert set(logged(engine)) == {str(rows[0].id), str(rows[2].id)}
        assert [path.suffix for path in tmp_path.iterdir()] == [".refused"]

    def test_by_two_at_once_is_harmless(self, away: Engine, engine: Engine, tmp_path: Path):
        """Whoever finds a spool may empty it."""
        rows = [said() for _ in range(50)]
        for start in range(0, 50, 10):
            commit(away, tmp_path, rows[start : start + 10])
        first, second = (Spool(tmp_path, max_bytes=10_000_000) for _ in range(2))
        with opened(engine) as one, opened(engine) as other:
            threads = [Replayer(one, first), Replayer(other, second)]
            for thread in threads:
                thread.start()
            eventually(lambda: list(tmp_path.iterdir()) == [])
            for thread in threads:
                thread.stop()

        assert sorted(logged(engine)) == sorted(str(row.id) for row in rows)


class TestKeys:
    """Answers kept with their predictions."""

    def test_are_kept_once(self, engine: Engine):
        """Of two processes with one key, one wins; the other leaves no row."""
        first, second = said(), said()
        kept = kept_of(first)
        with opened(engine) as store:
            (won,) = store.write([Entry(first, kept)])
            lost, other = store.write(
                [Entry(second, replace(kept, prediction=second.id)), Entry(said())]
            )

        assert (won, type(lost).__name__, other) == (None, "ConflictError", None)
        assert str(second.id) not in logged(engine)

    def test_are_forgotten_in_pieces(self, engine: Engine):
        """A day's keys are many; no statement deletes them all."""
        rows = [said() for _ in range(5)]
        with transaction(engine) as connection:
            idempotency.claim(connection, [kept_of(row) for row in rows])
            newest = rows[-1].at

            assert idempotency.delete_before(connection, newest, limit=3) == 3
            assert idempotency.delete_before(connection, newest, limit=3) == 1
            found = idempotency.find(connection, "test", str(rows[-1].id))
            assert found == kept_of(rows[-1])

    def test_are_forgotten_after_a_day(self, engine: Engine):
        """Upkeep runs every hour; the table must not grow for ever."""
        old, new = said(), said()
        with transaction(engine) as connection:
            late = replace(kept_of(old), at=old.at - timedelta(hours=25))
            idempotency.claim(connection, [late, kept_of(new)])

        Upkeep(engine, clock=SystemClock(), retention_days=90).run_once()

        with transaction(engine) as connection:
            assert idempotency.find(connection, "test", str(old.id)) is None
            assert idempotency.find(connection, "test", str(new.id)) is not None


class TestKill:
    """F03: the process is killed in mid-commit, again and again."""

    @pytest.mark.parametrize("is_away", [False, True])
    def test_leaves_every_answer_once_and_nothing_half(
        self, database_url: str, engine: Engine, tmp_path: Path, is_away: bool
    ):
        """What was answered is there after the restart, with its key, and only once."""
        answered: set[str] = set()
        for round_ in range(6):
            answered |= _killed(NOWHERE if is_away else database_url, tmp_path, round_)

        spool = replay(engine, tmp_path)

        rows = logged(engine).keys()
        with engine.connect() as connection:
            keys = set(connection.execute(sa.text("SELECT key FROM idempotency")).scalars())
        assert len(answered) > 100
        assert answered <= rows
        assert keys == rows
        assert (spool.predictions, spool.aside) == (0, 0)


def _killed(url: str, folder: Path, round_: int) -> set[str]:
    """Run a log, kill it a moment after its first answer; return what it answered."""
    command = [sys.executable, "-m", "tests.log_writer", url, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.03 + 0.017 * round_)
        process.kill()
        rest = process.stdout.read()
    whole = (first + rest).rpartition("\n")[0]
    return set(whole.splitlines())
