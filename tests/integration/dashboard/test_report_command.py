"""`weakspot report`, over rows that the monitor left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.pool import add_pictures, day, register
from tests.story import examine
from weakspot import front
from weakspot.cli import app

Call = Callable[..., tuple[int, dict[str, Any]]]
LABELS = ["Cat", "Cow", "<img src=x onerror=hacked()>"]


@pytest.fixture
def run(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """`weakspot report --json` on this test's database: its exit code and its object."""
    monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))
    monkeypatch.setenv("WEAKSPOT_DATABASE_URL", database_url)

    def call(*words: object) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as left:
            front.run(app, ["report", *map(str, words), "--json"])
        return int(left.value.code or 0), json.loads(capsys.readouterr().out)

    return call


class TestReport:
    """The week on one page."""

    def test_is_written_for_the_week_that_ends_on_a_day(
        self, engine: Engine, tmp_path: Path, run: Call
    ):
        """With what was examined, and what came into the pool."""
        register(engine, tmp_path / "bundles", labels=LABELS)
        add_pictures(engine, tmp_path / "pool", day(2), per_label=3, labels=LABELS)
        examine(engine, tmp_path, 2)
        out = tmp_path / "report.html"

        code, said = run("--week", day(7), "--out", out)

        written = out.read_text(encoding="utf-8")
        assert (code, said["first"], said["last"]) == (0, "2026-03-01", "2026-03-07")
        assert said["bytes"] == len(written.encode()) < 1_000_000
        assert "No class of 3 is flagged." in written
        assert "<img" not in written

    def test_of_an_empty_house_is_written_too(self, tmp_path: Path, run: Call):
        """Without a day it is the week up to yesterday."""
        assert run("--out", tmp_path / "report.html")[0] == 0
        assert "No class had been examined" in (tmp_path / "report.html").read_text()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--out", "report.docx"], "ends in .html or .pdf"),
            (["--week", "monday", "--out", "report.html"], "is no day"),
            (["--out", "/nowhere/report.html"], "cannot be written"),
        ],
    )
    def test_refuses_what_it_cannot_write(self, run: Call, words: list[str], said: str):
        """With what to do instead."""
        code, answer = run(*words)

        assert code == 2
        assert said in answer["detail"]
