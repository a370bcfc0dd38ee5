"""The options and the report of a day."""

import json
from datetime import date

import pytest

from core.settings import MonitorSettings
from core.store.class_days import ClassDay
from monitor.__main__ import options_from
from monitor.page import DayReport, MonitorOptions

DAY = date(2026, 3, 8)
CLASSES = (ClassDay(DAY, "v1", "Cat", 10, 9, {"Dog": 1}, 0.6, 0.99),)
REPORT = DayReport(
    DAY,
    "v1",
    "done",
    predictions=100,
    drawn=10,
    judged=10,
    correct=9,
    drifted=("brightness",),
    opened=("Cat",),
    job=3,
    classes=CLASSES,
)


class TestMonitorOptions:
    """What the owner chose."""

    def test_defaults_are_those_of_the_settings(self):
        """Nobody may get another monitor from a test than from the command."""
        assert options_from(MonitorSettings()) == MonitorOptions()

    def test_a_verb_may_ask_for_another_number_of_images(self):
        """`weakspot validate --per-class 25`."""
        assert MonitorOptions.from_settings(MonitorSettings(), per_class=25).per_class == 25


class TestDayReport:
    """What became of a day."""

    def test_comes_back_from_the_run_as_it_was(self):
        """A day that is done is reported again, not examined again."""
        kept = json.loads(json.dumps(REPORT.to_detail()))

        assert DayReport.from_detail(kept, CLASSES) == REPORT

    def test_the_run_does_not_keep_the_classes(self):
        """With 2,500 of them its rows would be megabytes; they have a table."""
        assert "classes" not in REPORT.to_detail()

    def test_is_json_without_help(self):
        """`weakspot validate --json` prints it as it is."""
        plain = json.loads(json.dumps(REPORT.to_dict()))

        assert (plain["day"], plain["classes"][0]["label"]) == ("2026-03-08", "Cat")

    def test_says_in_words_what_happened(self):
        """One line a day in the log."""
        assert REPORT.to_text() == (
            "2026-03-08 v1: 9 of 10 images right (90 %); drift in brightness; weak: Cat; "
            "retraining asked for (job 3)"
        )

    @pytest.mark.parametrize(
        ("report", "words"),
        [
            (DayReport(DAY, "v1", "done"), "no fresh labels"),
            (DayReport(DAY, "v1", "held", "held by other"), "held by other"),
            (DayReport(DAY, "v1", "invalid", "9 of 9 images cannot be read"), "invalid, 9 of 9"),
        ],
    )
    def test_says_why_there_is_nothing_to_say(self, report: DayReport, words: str):
        """Never `0 %` for want of images."""
        assert words in report.to_text()
