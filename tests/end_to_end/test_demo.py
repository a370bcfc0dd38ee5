"""The whole story, as a stranger sees it: one command, one summary, nothing left running."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core.store.database import open_database

LONGEST_S = 900  # the demo promises 6 minutes on two free cores; a test shares them


@pytest.fixture(scope="module")
def told(sample_set):
    """What `weakspot demo --exit --json` said and left behind."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-demo-"))
    home.chmod(0o755)
    shutil.copytree(sample_set, home / "sample-set")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WEAKSPOT_")}
    outcome = subprocess.run(
        [sys.executable, "-m", "weakspot", "demo", "--exit", "--json"],
        env=environment | {"WEAKSPOT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    yield outcome, home
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.postgres
class TestDemo:
    """`weakspot demo --exit --json`."""

    def test_ends_well_only_because_each_step_happened(self, told):
        """Exit code 0 is the promise that CI rests on."""
        outcome, _ = told

        assert outcome.returncode == 0, outcome.stderr[-4000:]

    def test_prints_one_json_object_and_nothing_else(self, told):
        """A program that reads it must not have to search."""
        summary = json.loads(told[0].stdout)

        assert set(summary) == {
            "champion_before",
            "champion_after",
            "planted_class",
            "flagged_class",
            "fault_day",
            "alarm_day",
            "gate",
            "predictions_answered",
            "predictions_logged",
            "seconds",
        }

    def test_catches_the_planted_class_within_days(self, told):
        """The point of it all."""
        summary = json.loads(told[0].stdout)

        assert summary["flagged_class"] == summary["planted_class"]
        assert 0 <= summary["alarm_day"] - summary["fault_day"] <= 3

    def test_replaces_the_champion_by_one_that_passed_the_gate(self, told):
        """A retraining that does not end in a better champion is a fan heater."""
        summary = json.loads(told[0].stdout)

        assert summary["gate"]["passed"] is True
        assert summary["champion_after"] != summary["champion_before"]

    def test_keeps_every_answered_prediction(self, told):
        """An answered prediction is a logged prediction."""
        summary = json.loads(told[0].stdout)

        assert summary["predictions_answered"] == summary["predictions_logged"] > 1000

    def test_leaves_pictures_that_wait_for_a_label(self, told):
        """The inbox has something to ask about, and nothing whose label came with an import."""
        _, home = told
        with open_database(None, home / "demo" / "postgres") as engine, engine.connect() as asked:
            waiting = asked.exec_driver_sql("SELECT count(*) FROM inbox WHERE state = 'waiting'")
            known = asked.exec_driver_sql(
                "SELECT count(*) FROM inbox JOIN images USING (sha256) WHERE state = 'waiting'"
            )
            assert 5 < waiting.scalar_one() <= 100
            assert known.scalar_one() == 0

    def test_leaves_nothing_running(self, told):
        """Whoever tries it out wants the machine back."""
        _, home = told
        commands = [_command(entry) for entry in Path("/proc").glob("[0-9]*")]

        assert [command for command in commands if str(home) in command] == []


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
