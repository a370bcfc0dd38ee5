"""The monitor as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from core.store import runs
from core.store.database import transaction
from tests.pool import add_pictures, register


class TestProgram:
    """`python -m monitor`."""

    def test_examines_what_is_due_and_ends_with_0_at_sigterm(
        self, engine: Engine, database_url: str, tmp_path: Path
    ):
        """F20: no lease is left behind."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", yesterday := _yesterday(), per_label=2)
        environment = os.environ | {
            "WEAKSPOT_DATABASE_URL": database_url,
            "WEAKSPOT_HOME": str(tmp_path),
            "WEAKSPOT_MONITOR_CATCH_UP_DAYS": "1",
            "WEAKSPOT_MONITOR_HOUR_UTC": "0",
        }
        program = subprocess.Popen([sys.executable, "-m", "monitor"], env=environment)
        _wait_for_done(engine, yesterday.isoformat())
        program.send_signal(signal.SIGTERM)

        assert program.wait(timeout=20) == 0
        with transaction(engine) as connection:
            assert {run.outcome for run in runs.latest(connection)} == {"done"}


def _yesterday() -> date:
    # The program lives by the machine's clock, so the test has to as well.
    return datetime.now(UTC).date() - timedelta(days=1)


def _wait_for_done(engine: Engine, slot: str) -> None:
    until = time.monotonic() + 30
    while True:
        with transaction(engine) as connection:
            if slot in runs.done_slots(connection, ["day"], slot, slot):
                return
        assert time.monotonic() < until, f"{slot} was not examined in time"
        time.sleep(0.1)
