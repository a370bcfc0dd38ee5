"""Programs are started, restarted where they were, and stopped together."""

import os
import signal
import time
import urllib.error
import urllib.request

import pytest

from core.errors import WeakspotError
from weakspot.supervisor import Program, Supervisor, child_environment
from weakspot.up import listener


@pytest.fixture
def supervisor(database_url, tmp_path):
    """A supervisor whose children work on this test's database."""
    environment = child_environment(
        {"WEAKSPOT_HOME": str(tmp_path), "WEAKSPOT_DATABASE_URL": database_url}
    )
    with Supervisor(environment=environment, logs=tmp_path / "logs") as running:
        yield running


class TestSupervisor:
    """Keeps programs running until told to stop."""

    def test_says_where_a_program_listens(self, supervisor):
        """Port 0 takes a free one; somebody has to learn which."""
        url = supervisor.start(listener("serve", "127.0.0.1", 0))

        assert _status(f"{url}/healthz") == 200

    def test_starts_what_was_killed_again_at_the_same_address(self, supervisor):
        """Callers were told that address."""
        url = supervisor.start(listener("serve", "127.0.0.1", 0))
        before = supervisor.pid("serve")

        os.kill(before, signal.SIGKILL)

        _wait_for(lambda: supervisor.pid("serve") != before and _status(f"{url}/healthz") == 200)

    def test_leaves_nothing_running(self, supervisor):
        """Ctrl-C stops everything."""
        supervisor.start(listener("serve", "127.0.0.1", 0))
        pid = supervisor.pid("serve")

        supervisor.stop()

        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def test_names_the_log_of_a_program_that_ends_at_once(self, supervisor):
        """Whoever reads the message wants to know why."""
        misused = Program("serve", ["serve", "--port", "99999", "--json"], announces=True)

        with pytest.raises(WeakspotError, match=r"exit code 2 .*serve\.log"):
            supervisor.start(misused)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - a loopback URL
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _wait_for(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
