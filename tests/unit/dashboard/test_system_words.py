"""The verdict on the installation."""

from dataclasses import replace
from datetime import date

import pytest

from core.shown.system import System
from core.store.last_runs import LastStep
from core.store.registry import Load
from dashboard.pages.system.words import bytes_text, verdict
from dashboard.parts.saying import plain
from tests.board import NOW, exam, moment, version

WELL = System(
    now=NOW,
    champion=version(),
    loads=[Load("v1", "a", moment(14), ok=True, detail="by onnxruntime", seconds=1.0)],
    hours=[],
    latencies=None,
    jobs={},
    silent=[],
    tables=[],
    exam=exam(),
    late=[],
    told=None,
    at_work=[],
    steps=[],
    errands=[],
    revisions=("0017", "0017"),
)


class TestVerdict:
    """One sentence on whether everything runs."""

    def test_says_that_everything_runs_and_when_the_last_exam_was(self):
        """Five seconds in the morning."""
        said = verdict(WELL)

        assert (said.tone, plain(said.sentence)) == (
            "good",
            "Everything runs; last exam 14 Mar 23:00 UTC",
        )

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"late": [date(2026, 3, 12)]}, "The monitor is silent: 1 day not examined, the first"),
            ({"revisions": ("0016", "0017")}, "The database is at migration 0016"),
            ({"loads": [replace(WELL.loads[0], ok=False)]}, "1 service could not load v1"),
            (
                {"steps": [LastStep("drift", 3, "v1", "2026-03-14", "", 1.0, "failed")]},
                "The last drift failed",
            ),
        ],
    )
    def test_names_what_does_not(self, changed, said):
        """Each with what stands behind it."""
        found = verdict(replace(WELL, **changed))

        assert found.tone == "bad"
        assert plain(found.sentence).startswith(said)

    def test_lets_a_newer_database_be(self):
        """Its migrations only add, so this program still runs on it."""
        assert verdict(replace(WELL, revisions=("0018", "0017"))).tone == "good"

    def test_sends_somebody_without_a_model_to_train_one(self):
        """An empty house is no fault."""
        said = verdict(replace(WELL, champion=None, loads=[], exam=None))

        assert (said.tone, said.notes) == ("none", ["Run: weakspot train"])


class TestBytesText:
    """Sizes in words."""

    @pytest.mark.parametrize(
        ("n", "said"), [(0, "0 B"), (999, "999 B"), (1_234, "1.2 kB"), (5e15, "5000 TB")]
    )
    def test_is_short(self, n, said):
        """Two digits are what anybody reads."""
        assert bytes_text(int(n)) == said
