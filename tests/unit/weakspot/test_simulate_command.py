"""`weakspot simulate`, as a program would call it."""

import json
from typing import Any

import pytest

from weakspot import front
from weakspot.cli import app


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    with pytest.raises(SystemExit) as left:
        front.run(app, words)
    assert left.value.code in {0, None}
    return json.loads(capsys.readouterr().out)


def _complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        front.run(app, words)
    assert left.value.code == 2
    return capsys.readouterr().err


class TestSimulate:
    """What the detectors would do."""

    def test_says_how_soon_and_how_often_wrongly(self, capsys: pytest.CaptureFixture[str]):
        """The plan is the caller's, and a fall to 0.40 is noticed in a day or two."""
        words = "--classes 15 --drop 0.4 --days 40 --runs 20 --rules --json"
        said = _said(capsys, "simulate", *words.split())

        assert (said["plan"]["classes"], said["plan"]["drop"]) == (15, 0.4)
        assert said["delay_median"] in {1, 2}
        assert said["false_alarms"] < 0.3
        assert len(said["rules"]) >= 4

    def test_refuses_what_is_no_accuracy(self, capsys: pytest.CaptureFixture[str]):
        """80 is a percentage, not a share."""
        complaint = _complaint(capsys, "simulate", "--drop", "80")

        assert "drop is 80.0; it must lie inside 0 and 1" in complaint


class TestSimulateGate:
    """What the gate would do."""

    def test_says_what_became_of_both_challengers(self, capsys: pytest.CaptureFixture[str]):
        """Shares of challengers, and the images that those lacked who had to wait."""
        said = _said(capsys, "simulate", "gate", "--runs", "500", "--differing", "0.05", "--json")

        assert said["plan"]["differing"] == 0.05
        assert said["good"]["promoted"] > said["worse"]["promoted"]
        assert said["good"]["images_named"] > 0
        first = ("promoted", "refused", "more_images")
        assert sum(said["good"][name] for name in first) == pytest.approx(1)

    def test_refuses_what_cannot_be(self, capsys: pytest.CaptureFixture[str]):
        """More answers differ than there are."""
        complaint = _complaint(capsys, "simulate", "gate", "--differing", "0.99", "--drop", "0.5")

        assert "more than all images" in complaint
