"""The front door of every verb."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import typer
from rich.table import Table

from core.errors import CatalogError, UsageError
from weakspot import front


def _run(app: typer.Typer, *words: str) -> int:
    with pytest.raises(SystemExit) as left:
        front.run(app, words)
    return int(left.value.code or 0)


def _app(error: Exception | None = None) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def verb(as_json: bool = typer.Option(False, "--json")) -> None:
        if error is not None:
            raise error
        front.emit({"ok": True}, as_json=as_json, text="fine")

    return app


class TestRun:
    """Exit codes and messages that scripts and people can rely on."""

    def test_leaves_with_0_when_done(self, capsys: pytest.CaptureFixture[str]):
        """The ordinary end."""
        assert _run(_app()) == 0
        assert capsys.readouterr().out == "fine\n"

    @pytest.mark.parametrize(("error", "code"), [(CatalogError("no"), 1), (UsageError("no"), 2)])
    def test_leaves_with_1_or_2_and_a_sentence(
        self, error: Exception, code: int, capsys: pytest.CaptureFixture[str]
    ):
        """Scripts tell a failed check from a wrong word; nobody wants a traceback."""
        assert _run(_app(error)) == code

        out, err = capsys.readouterr()
        assert (out, err) == ("", "weakspot: no\n")

    def test_prints_one_object_when_it_fails(self, capsys: pytest.CaptureFixture[str]):
        """A program that asked for JSON parses what it gets, also then."""
        assert _run(_app(CatalogError("no images")), "--json") == 1

        answer = json.loads(capsys.readouterr().out)
        assert answer == {"error": "CatalogError", "detail": "no images"}

    def test_leaves_with_2_at_an_unknown_option(self):
        """Wrong usage has one code, whoever finds it."""
        assert _run(_app(), "--nonsense") == 2

    def test_lets_other_errors_through(self):
        """A bug is no message for the person at the terminal: it needs its traceback."""
        with pytest.raises(ZeroDivisionError):
            front.run(_app(ZeroDivisionError()), [])

    def test_cannot_be_steered_by_a_message(self, capsys: pytest.CaptureFixture[str]):
        """File names with escape sequences reach messages."""
        _run(_app(CatalogError("a\x1b[2Jb")))

        assert capsys.readouterr().err == "weakspot: a\\x1b[2Jb\n"


@dataclass(frozen=True, slots=True)
class _Thing:
    at: datetime
    path: Path


class TestEmit:
    """One object, or text."""

    def test_knows_the_values_that_reports_are_made_of(self, capsys: pytest.CaptureFixture[str]):
        """Moments, paths, dataclasses and NumPy numbers."""
        thing = _Thing(datetime(2026, 1, 1, tzinfo=UTC), Path("/a"))

        front.emit({"thing": thing, "n": np.int64(3), "x": np.ones(2)}, as_json=True, text="")

        assert json.loads(capsys.readouterr().out) == {
            "thing": {"at": "2026-01-01T00:00:00+00:00", "path": "/a"},
            "n": 3,
            "x": [1.0, 1.0],
        }

    def test_refuses_numbers_that_are_none(self):
        """NaN is no JSON; whoever has one must say null."""
        with pytest.raises(ValueError, match="JSON"):
            front.emit({"x": float("nan")}, as_json=True, text="")

    def test_prints_class_names_as_they_are(self, capsys: pytest.CaptureFixture[str]):
        """Square brackets in a name are no style."""
        front.emit({}, as_json=False, text="[red]Cat[/red]")

        assert capsys.readouterr().out == "[red]Cat[/red]\n"

    def test_draws_tables_without_colours_into_a_pipe(self, capsys: pytest.CaptureFixture[str]):
        """`weakspot data profile | less` shows a table."""
        table = Table("class", style="red")
        table.add_row("Cat")

        front.emit({}, as_json=False, text=table)

        out = capsys.readouterr().out
        assert "Cat" in out
        assert "\x1b" not in out


class TestProgress:
    """Bars on stderr."""

    @pytest.mark.parametrize("as_json", [False, True])
    def test_is_silent_where_there_is_no_terminal(
        self, as_json: bool, capsys: pytest.CaptureFixture[str]
    ):
        """Logs of nightly runs stay readable."""
        with front.progress(as_json) as on_progress:
            on_progress("reading", 1, 2)
            on_progress("reading", 2, 2)
            on_progress("nothing", 0, 0)

        assert capsys.readouterr() == ("", "")


class TestSettings:
    """What all verbs read first."""

    def test_gives_the_home_as_an_absolute_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Its folders are written into rows that other programs read."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WEAKSPOT_HOME", "var")

        assert front.settings().bundles == tmp_path / "var/bundles"

    def test_names_the_variable_that_does_not_fit_but_not_its_value(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        """Values may hold passwords, and messages end up in logs."""
        monkeypatch.setenv("WEAKSPOT_LOG_LEVEL", "hunter2")

        with pytest.raises(UsageError, match="WEAKSPOT_LOG_LEVEL") as refused:
            front.settings()

        assert "hunter2" not in str(refused.value)


class TestUser:
    """Under whose name deeds are recorded."""

    def test_is_a_name_even_where_the_user_has_none(self, monkeypatch: pytest.MonkeyPatch):
        """Containers run under bare numbers."""

        def nameless() -> NoReturn:
            raise KeyError

        monkeypatch.setattr(front.getpass, "getuser", nameless)

        assert front.user().startswith("user ")
