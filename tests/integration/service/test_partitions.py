"""The days of the prediction log."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.clock import FixedClock
from core.errors import StoreError
from core.store import predictions
from core.store.database import transaction
from core.store.partitions import days_present, drop_partitions_before, ensure_partitions
from core.store.predictions import Filter, Prediction, new_id
from service.upkeep import Upkeep

FIRST = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rows(n: int, at: datetime = NOON) -> list[Prediction]:
    """Return predictions of one moment."""
    return [
        Prediction(new_id(at), at, "v1", "Dog", 0.9, [], 0.8, 0.1, {}, 1.0, "ab" * 32)
        for _ in range(n)
    ]


def held_by(connection: Connection) -> dict[str, int]:
    """Return how many rows each table of the log holds."""
    statement = sa.text("SELECT tableoid::regclass::text, count(*) FROM predictions GROUP BY 1")
    return {row[0]: row[1] for row in connection.execute(statement)}


def at_once(*tasks: Callable[[], object]) -> None:
    """Run tasks in threads; the first error is raised here."""
    errors: list[Exception] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors, errors


class TestEnsurePartitions:
    """Making days ahead."""

    def test_makes_what_is_missing_and_no_more(self, engine: Engine):
        """It runs every hour, and mostly has nothing to do."""
        days = [FIRST + timedelta(days=i) for i in range(3)]

        with transaction(engine) as connection:
            made = ensure_partitions(connection, days[:2])
            again = ensure_partitions(connection, days)

        assert (made, again) == (days[:2], days[2:])
        with transaction(engine) as connection:
            assert days_present(connection) == days

    def test_moves_in_what_waited_in_the_default(self, engine: Engine):
        """Rows that came before their partition are not left behind, nor those of other days."""
        with transaction(engine) as connection:
            predictions.insert_many(connection, rows(3) + rows(2, NOON + timedelta(days=1)))

        with transaction(engine) as connection:
            ensure_partitions(connection, [FIRST])
            predictions.insert_many(connection, rows(1))

        with transaction(engine) as connection:
            assert held_by(connection) == {"predictions_20260301": 4, "predictions_default": 2}

    def test_gives_each_day_the_indexes_of_the_whole(self, engine: Engine):
        """A partition without them would be scanned from end to end."""
        with transaction(engine) as connection:
            ensure_partitions(connection, [FIRST])
            attached = connection.execute(
                sa.text("""
                    SELECT count(*)
                      FROM pg_inherits i
                      JOIN pg_index x ON x.indexrelid = i.inhrelid
                     WHERE x.indrelid = 'predictions_20260301'::regclass
                """)
            ).scalar_one()

        assert attached == 2

    def test_draws_the_line_at_midnight(self, engine: Engine):
        """The first moment of a day is its own, the last one too."""
        midnight = datetime(2026, 3, 2, tzinfo=UTC)
        with transaction(engine) as connection:
            ensure_partitions(connection, [FIRST, FIRST + timedelta(days=1)])

            predictions.insert_many(
                connection, rows(1, midnight) + rows(2, midnight - timedelta(microseconds=1))
            )

            assert held_by(connection) == {"predictions_20260301": 2, "predictions_20260302": 1}

    def test_is_safe_when_two_programs_do_it_at_once_under_writes(self, engine: Engine):
        """Two services start together while a third is answering."""
        days = [FIRST + timedelta(days=i) for i in range(8)]

        def ensure() -> None:
            with transaction(engine) as connection:
                ensure_partitions(connection, days)

        def write() -> None:
            for _ in range(40):
                with transaction(engine) as connection:
                    predictions.insert_many(connection, rows(2))

        at_once(ensure, write, ensure, write)

        with transaction(engine) as connection:
            assert days_present(connection) == days
            assert held_by(connection) == {"predictions_20260301": 160}

    def test_gives_up_soon_when_somebody_holds_the_log(self, engine: Engine):
        """F22: everybody who reads the log would queue behind it."""
        with engine.connect() as reader:
            reader.execute(sa.text("SELECT * FROM predictions"))

            with pytest.raises(StoreError, match="lock timeout"), transaction(engine) as connection:
                ensure_partitions(connection, [FIRST])


class TestDropPartitionsBefore:
    """Retention."""

    def test_drops_older_days_with_all_their_rows(self, engine: Engine):
        """Wherever a row lies, in a partition or in the default, its time decides."""
        days = [FIRST + timedelta(days=i) for i in range(3)]
        with transaction(engine) as connection:
            ensure_partitions(connection, days)
            for day in (-5, 0, 1, 2):
                predictions.insert_many(connection, rows(1, NOON + timedelta(days=day)))

        with transaction(engine) as connection:
            dropped = drop_partitions_before(connection, days[1])

        with transaction(engine) as connection:
            assert dropped == days[:1]
            assert days_present(connection) == days[1:]
            assert held_by(connection) == {"predictions_20260302": 1, "predictions_20260303": 1}


class TestUpkeep:
    """The service's own housekeeping."""

    def test_keeps_yesterday_to_a_week_ahead_and_drops_the_rest(self, engine: Engine):
        """F30: partitions are rolled and retention honoured, whatever the day is."""
        early = Upkeep(engine, clock=FixedClock(NOON), retention_days=5)
        late = Upkeep(engine, clock=FixedClock(NOON + timedelta(days=10)), retention_days=5)
        early.run_once()
        with transaction(engine) as connection:
            predictions.insert_many(connection, rows(1) + rows(1, NOON + timedelta(days=6)))

        late.run_once()

        with transaction(engine) as connection:
            assert days_present(connection)[0] == FIRST + timedelta(days=5)
            assert days_present(connection)[-1] == FIRST + timedelta(days=17)
            assert predictions.count(connection, Filter()) == 1
