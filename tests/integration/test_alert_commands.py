"""`weakspot alerts`, as a person types it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.store import alerts, audit, outbox
from core.store.database import transaction
from core.store.outbox import NewDelivery
from tests.integration.test_alerts import NOW, open_alert
from tests.pool import register
from tests.receiver import HERE, Answer, receiving
from weakspot import front
from weakspot.cli import app

SECRET = "a-secret-of-many-characters"


class Command:
    """The command on this test's database, in this process: starting one takes seconds."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch = patch
        self.capture = capture

    def __call__(self, *words: str, text: str = "", **variables: str) -> tuple[int, Any, str]:
        """Run `weakspot alerts ... --json`: (exit code, its object, stderr)."""
        with self.patch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.StringIO(text))
            with pytest.raises(SystemExit) as ended:
                front.run(app, ["alerts", *words, "--json"])
        said = self.capture.readouterr()
        return int(ended.value.code or 0), json.loads(said.out or "null"), said.err


@pytest.fixture
def run(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """`weakspot alerts` on this test's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))
    monkeypatch.setenv("WEAKSPOT_DATABASE_URL", database_url)
    monkeypatch.setenv("WEAKSPOT_ALERTS_NETWORKS", HERE)
    monkeypatch.setenv("WEAKSPOT_ALERTS_TIMEOUT_S", "5")
    return Command(monkeypatch, capsys)


class TestAlerts:
    """list, show, ack, snooze, resolve."""

    def test_lead_through_the_life_of_one(self, run: Command, engine: Engine):
        """Found, taken, put to sleep, closed; and every step is in the audit trail."""
        with transaction(engine) as connection:
            alert = str(open_alert(connection).id)
        (listed,) = run("list", "--state", "open", "--class", "Cat")[1]["alerts"]
        states = [
            run(*words)[1]["state"]
            for words in (
                ("show", alert),
                ("ack", alert),
                ("snooze", alert, "--for", "8h"),
                ("resolve", alert),
            )
        ]

        assert str(listed["id"]) == alert
        assert states == ["open", "acknowledged", "snoozed", "resolved"]
        with transaction(engine) as connection:
            assert len(audit.latest(connection)) == 4

    def test_are_told_in_words_to_people(
        self, run: Command, engine: Engine, capsys: pytest.CaptureFixture[str]
    ):
        """Without --json; and a name that would steer the terminal is shown as text."""
        with transaction(engine) as connection:
            open_alert(connection, "C\x1b[2Jat")
            outbox.put(connection, NewDelivery("ops", "k", {"title": "t"}, NOW, NOW))
        said = []
        for words in (["list"], ["show", "1"], ["snooze", "1", "--for", "3d"], ["outbox"]):
            with pytest.raises(SystemExit) as ended:
                front.run(app, ["alerts", *words])
            said.append((ended.value.code, capsys.readouterr().out))

        assert [code for code, _ in said] == [0] * 4
        assert said[0][1].split() == ["1", "open", "C\\x1b[2Jat", "is", "weak"]
        assert "evidence  400 at most" in said[1][1]
        assert "alert 1 is snoozed until" in said[2][1]
        assert "1 waiting, 0 sending, 0 sent, 0 dead" in said[3][1]
        assert not any("\x1b" in text for _, text in said)

    def test_say_why_something_cannot_be_done(self, run: Command, engine: Engine):
        """Exit 1 for a fact that stands in the way, 2 for words that make no sense."""
        with transaction(engine) as connection:
            alert = str(open_alert(connection).id)
        run("resolve", alert)
        refused = run("ack", alert)
        misused = run("snooze", alert, "--for", "a while")

        assert (refused[0], refused[1]["error"]) == (1, "ConflictError")
        assert "is resolved and cannot be acknowledged" in refused[2]
        assert (misused[0], "write 8h, 3d or" in misused[2]) == (2, True)


class TestRules:
    """show, set, edit, history."""

    def test_begin_with_the_settings_and_are_changed_in_versions(self, run: Command):
        """What the environment said is the first of them."""
        first = run("rules", "show", WEAKSPOT_MONITOR_ALARM_BUDGET="0.5")[1]
        second = run("rules", "set", "--budget", "0.1", "--note", "too loud")[1]
        history = run("rules", "history")[1]["versions"]
        old = run("rules", "show", "--version", "1")[1]

        assert (first["version"], first["by"], first["rules"]["budget"]) == (1, "settings", 0.5)
        # One version: a shell with other settings than the monitor's does not undo them.
        assert [each["note"] for each in history] == ["too loud", "from the environment"]
        assert (second["rules"]["budget"], old["rules"]["budget"]) == (0.1, 0.5)

    def test_are_set_from_a_file_and_keep_what_is_hidden(self, run: Command, tmp_path: Path):
        """S13: what is shown may be edited and set again, and no secret was ever seen."""
        hook = {"name": "ops", "url": "https://h.example/T0KEN", "secret": SECRET}
        made = run("rules", "set", "-", text=json.dumps({"channels": [hook]}))
        rules = made[1]["rules"]
        rules["quiet_hours"] = {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"}
        (tmp_path / "rules.json").write_text(json.dumps(rules))
        again = run("rules", "set", str(tmp_path / "rules.json"), "--follows", "2")

        assert (made[0], again[0], again[1]["version"]) == (0, 0, 3)
        assert again[1]["rules"]["channels"][0]["url"] == "https://h.example/…"
        assert not any(secret in str((made, again)) for secret in ("T0KEN", SECRET))

    def test_name_the_field_that_does_not_fit(self, run: Command, engine: Engine, tmp_path: Path):
        """And a class that is misspelt is not silently left in."""
        register(engine, tmp_path / "bundles")
        wrong = run("rules", "set", "-", text='{"floor": 2}')
        misspelt = run("rules", "set", "--leave-out", "Spidr")
        raced = run("rules", "set", "--budget", "1", "--follows", "7")

        assert (wrong[0], "floor: " in wrong[2]) == (2, True)
        assert "left_out[0]: no class is called 'Spidr'; did you mean: Spider?" in misspelt[2]
        assert (raced[0], "yours were made from 7" in raced[2]) == (1, True)

    @pytest.mark.parametrize(
        "url", ["http://169.254.169.254/latest", "https://[::1]/x", "file:///etc/passwd"]
    )
    def test_s08_refuse_what_could_never_be_sent_to(self, run: Command, url: str):
        """At once, and not at the first alert."""
        hook = {"name": "ops", "url": url, "secret": SECRET}
        code, _, said = run("rules", "set", "-", text=json.dumps({"channels": [hook]}))

        assert (code, "channels[0].url: " in said) == (2, True)

    def test_are_edited_in_an_editor(self, run: Command, tmp_path: Path):
        """The editor is any program that changes the file it is given."""
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nsed -i \'s/"budget": 0.3/"budget": 0.7/\' "$1"\n')
        editor.chmod(0o755)
        edited = run("rules", "edit", EDITOR=str(editor))
        unchanged = run("rules", "edit", EDITOR="true")

        assert edited[1]["rules"]["budget"] == 0.7
        assert (unchanged[0], "nothing was changed" in unchanged[2]) == (2, True)


class TestSending:
    """test, outbox."""

    def test_every_channel_is_tried_and_says_how_it_went(self, run: Command):
        """Before it matters."""
        with receiving() as sound, receiving(Answer(500)) as broken:
            variables = {
                "WEAKSPOT_ALERTS_URLS": f"{sound.url} {broken.url}",
                "WEAKSPOT_ALERTS_SECRET": SECRET,
            }
            code, said, _ = run("test", **variables)
            alone = run("test", "settings-1", **variables)

        assert (code, alone[0]) == (1, 0)
        assert said["channels"] == [
            {"name": "settings-1", "error": None},
            {"name": "settings-2", "error": "HTTP 500"},
        ]
        assert sound.requests[0].json["title"] == "Weakspot: a test message"

    def test_the_outbox_is_shown_sent_and_revived(self, run: Command, engine: Engine):
        """A resolve by hand is told, and what was given up is tried again."""
        with receiving(Answer(500), Answer(200)) as receiver:
            variables = {
                "WEAKSPOT_ALERTS_URLS": receiver.url,
                "WEAKSPOT_ALERTS_SECRET": SECRET,
                "WEAKSPOT_ALERTS_MAX_ATTEMPTS": "1",
            }
            run("rules", "show", **variables)
            with transaction(engine) as connection:
                alert = str(open_alert(connection).id)
            run("resolve", alert, **variables)
            dead = run("outbox", "--send", **variables)[1]
            number = str(dead["deliveries"][0]["id"])
            sent = run("outbox", "--retry", number, "--send", **variables)[1]

        assert (dead["counts"]["dead"], dead["deliveries"][0]["last_error"]) == (1, "HTTP 500")
        assert (sent["counts"]["dead"], sent["counts"]["sent"]) == (0, 1)
        assert receiver.requests[1].json["title"] == "Resolved: Cat"
        with transaction(engine) as connection:
            assert outbox.counts(connection)["sent"] == 1
            assert alerts.latest(connection)[0].state == "resolved"
