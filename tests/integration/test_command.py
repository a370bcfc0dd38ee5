"""The command at its front door: output, exit codes, and the pool's whole way to a verdict."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from core.store import registry
from core.store.database import transaction
from tests.pool import add_pictures, admit, day, register
from tests.tiny import forge, tiny_bundle


@pytest.fixture
def weakspot(database_url, tmp_path):
    """Run the command on this test's database: (exit code, stdout, stderr)."""
    environment = os.environ | {
        "WEAKSPOT_HOME": str(tmp_path),
        "WEAKSPOT_DATABASE_URL": database_url,
    }

    def run(*words: str) -> tuple[int, str, str]:
        outcome = subprocess.run(
            [sys.executable, "-m", "weakspot", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return outcome.returncode, outcome.stdout, outcome.stderr

    return run


class TestModel:
    """`weakspot model`."""

    def test_moves_the_champion_there_and_back(self, weakspot, engine, tmp_path):
        """Rolling back is one command."""
        register(engine, tmp_path / "bundles")
        register(engine, tmp_path / "bundles", name="v2", promoted_at=None)

        forced = ("model", "promote", "v2", "--force", "--reason", "a new camera", "--json")
        assert json.loads(weakspot(*forced)[1]) == {"champion": "v2", "before": "v1"}
        assert json.loads(weakspot("model", "rollback", "--json")[1])["champion"] == "v1"

    def test_prints_the_card_and_what_came_after_it(self, weakspot, engine, tmp_path):
        """A bundle is finished before its exam, and a reader wants to know how that ended."""
        bundle = forge(tiny_bundle(tmp_path / "bundles"), {"MODEL_CARD.md": b"# pets v1\n"})
        admit(engine, bundle, promoted_at=datetime(2026, 3, 1, tzinfo=UTC))

        code, text, _ = weakspot("model", "card", "v1")

        assert code == 0
        assert text.startswith("# pets v1")
        assert "- 2026-03-01: champion, by test" in text

    def test_refuses_to_promote_a_bundle_that_was_altered(self, weakspot, engine, tmp_path):
        """Nobody should serve what nobody tested."""
        register(engine, tmp_path / "bundles")
        version = register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        (tmp_path / "bundles" / version.version / "model.onnx").write_bytes(b"")

        code, _, complaint = weakspot("model", "promote", "v2", "--force", "--reason", "x")

        assert (code, "model.onnx" in complaint) == (1, True)
        with transaction(engine) as connection:
            assert registry.champion(connection).version == "v1"


class TestValidate:
    """`weakspot validate` and `weakspot health`."""

    def test_examines_the_day_and_changes_nothing_the_second_time(self, weakspot, engine, tmp_path):
        """A cron job that runs twice must not count evidence twice."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pictures", day(1), per_label=10)

        first = weakspot("validate", "--date", day(1).isoformat(), "--json")
        second = weakspot("validate", "--date", day(1).isoformat(), "--json")

        assert first[0] == 0
        assert json.loads(first[1]) == json.loads(second[1])

    def test_reports_health_as_the_contract_names_it(self, weakspot, engine, tmp_path):
        """Other programs read these names."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pictures", day(1), per_label=10)
        weakspot("validate", "--date", day(1).isoformat())

        answer = json.loads(weakspot("health", "--json")[1])

        assert {"day", "version", "classes"} <= set(answer)
        assert {
            "label", "state", "n", "correct", "accuracy", "low", "high", "reference", "evidence",
            "threshold", "days_without_labels",
        } <= set(answer["classes"][0])  # fmt: skip


class TestRetrain:
    """`weakspot retrain --class`."""

    def test_asks_for_one_job_however_often_it_is_typed(self, weakspot, engine, tmp_path):
        """Impatience must not fill the queue."""
        version = register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pictures", day(1), per_label=2)

        first = json.loads(weakspot("retrain", "--class", version.labels[0], "--json")[1])
        second = json.loads(weakspot("retrain", "--class", version.labels[0], "--json")[1])

        assert (first["status"], first["job"]) == ("queued", second["job"])

    def test_names_a_class_that_the_pool_does_not_have(self, weakspot, engine, tmp_path):
        """A typing error is told at once, not after a training."""
        register(engine, tmp_path / "bundles")

        code, _, complaint = weakspot("retrain", "--class", "Unicorn")

        assert (code, "Unicorn" in complaint) == (2, True)


class TestErrors:
    """What goes wrong is said in one sentence."""

    def test_is_one_json_object_when_json_was_asked_for(self, weakspot):
        """A program reads the failure, too."""
        code, output, _ = weakspot("model", "show", "v9", "--json")

        assert (code, json.loads(output)["error"]) == (1, "NotFoundError")

    def test_names_a_setting_that_is_out_of_range(self, weakspot, monkeypatch):
        """The message names the variable, and never a value that may be secret."""
        monkeypatch.setenv("WEAKSPOT_LOG_LEVEL", "LOUD")
        outcome = subprocess.run(
            [sys.executable, "-m", "weakspot", "health"],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (outcome.returncode, "WEAKSPOT_LOG_LEVEL" in outcome.stderr) == (2, True)


class TestDoctor:
    """`weakspot doctor`."""

    def test_finds_this_installation_well(self, weakspot):
        """What it calls ill must be ill."""
        code, output, _ = weakspot("doctor", "--json")

        assert (code, json.loads(output)["ok"]) == (0, True)
