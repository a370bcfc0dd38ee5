"""From a camera that went wrong to somebody's telephone, with nothing but the program."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import outbox
from core.store.database import transaction
from tests.faults import eventually
from tests.pool import add_pictures, register
from tests.receiver import HERE, receiving

SECRET = "a-secret-of-many-characters"


class TestProgram:
    """`python -m monitor`."""

    def test_tells_what_it_found_by_itself(self, engine: Engine, database_url: str, tmp_path: Path):
        """Examined, flagged, put into the outbox, sent, marked; and SIGTERM is 0."""
        # The program lives by the machine's clock, so the test has to as well.
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        register(engine, tmp_path / "bundles", promoted_at=day_bounds(yesterday)[0])
        add_pictures(engine, tmp_path / "pool", yesterday, shown_as={"Spider": "Cat"})
        with receiving() as receiver:
            environment = os.environ | {
                "WEAKSPOT_DATABASE_URL": database_url,
                "WEAKSPOT_HOME": str(tmp_path),
                "WEAKSPOT_MONITOR_CATCH_UP_DAYS": "1",
                "WEAKSPOT_MONITOR_HOUR_UTC": "0",
                "WEAKSPOT_ALERTS_URLS": receiver.url,
                "WEAKSPOT_ALERTS_SECRET": SECRET,
                "WEAKSPOT_ALERTS_NETWORKS": HERE,
                "WEAKSPOT_ALERTS_POLL_S": "0.2",
            }
            log = (tmp_path / "log").open("w")
            with (
                log,
                subprocess.Popen(
                    [sys.executable, "-m", "monitor"], env=environment, stderr=log
                ) as program,
            ):
                eventually(lambda: receiver.requests or program.poll() is not None, within_s=120)
                assert program.poll() is None, (tmp_path / "log").read_text()
                eventually(lambda: _counts(engine)["sent"] == 1, within_s=20)
                program.send_signal(signal.SIGTERM)
                assert program.wait(timeout=30) == 0

        (told,) = receiver.requests
        assert told.json["title"].startswith("Spider is weak since")
        written = (tmp_path / "log").read_text()
        assert f"settings-1 has message {told.json['dedup_key']}" in written
        assert not any(secret in written for secret in (SECRET, "/hook"))


def _counts(engine: Engine) -> dict[outbox.DeliveryState, int]:
    with transaction(engine) as connection:
        return outbox.counts(connection)
