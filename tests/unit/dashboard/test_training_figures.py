"""The charts of trainings and searches, and what their table says."""

import csv
import io
import json
from typing import Any

import plotly.graph_objects as go
import pytest

from core.store.trial_lines import Search, TrialLine
from core.store.trials import State
from dashboard.pages.training import figures as training_figures
from dashboard.pages.training.figures import thinned
from dashboard.pages.training.parallel import MOST_LINES, MOST_ROWS, parallel, rows
from dashboard.pages.training.trial_table import ordered, sheet
from dashboard.parts.drawing import BLUE, GREY, ORANGE
from dashboard.parts.exports import as_csv
from tests.board import HOSTILE

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "step": None},
    "ema": [None, 0.9],
}


def trial(number: int, accuracy: float | None = None, **changed: Any) -> TrialLine:
    """Return a trial: complete when it has an accuracy, else ended early after a pass."""
    state: State = "PRUNED" if accuracy is None else "COMPLETE"
    values: dict[str, Any] = {
        "number": number,
        "state": state,
        "options": {"learning_rate": 1e-3, "ema": None},
        "accuracy": accuracy,
        "passes": 1,
        "last": 0.4,
        "seconds": 3.0,
        "silent": False,
        "error": "",
    }
    return TrialLine(**(values | changed))


def found(*trials: TrialLine, **changed: Any) -> Search:
    """Return a search of these trials."""
    values: dict[str, Any] = {
        "name": "rates",
        "n_trials": len(trials),
        "trials": list(trials),
        "space": SPACE,
        "importance": {"learning_rate": 0.8, "ema": 0.2},
        "epochs": 4,
    }
    return Search(**(values | changed))


def made(number: int, accuracy: float | None = 0.5) -> dict[str, Any]:
    """Return a pass of ten, as a job's progress has it."""
    losses = {"train_loss": 1.0 / number, "val_loss": None}
    return {"number": number, "epochs": 10, "val_accuracy": accuracy, "seconds": 1.0} | losses


CHARTS = [training_figures.history, training_figures.importance, parallel]


@pytest.mark.parametrize("chart", CHARTS)
class TestEveryChartOfASearch:
    """All three."""

    @pytest.mark.parametrize(
        "search", [found(), found(trial(0)), found(trial(0, 0.5)), found(trial(0, 0.5), trial(1))]
    )
    def test_is_a_figure_that_plotly_accepts(self, chart, search: Search):
        """Also before there is anything, and of one trial alone."""
        go.Figure(chart(search))

    def test_escapes_names_and_values(self, chart):
        """Plotly reads HTML in labels and hover texts."""
        options = {HOSTILE: HOSTILE}
        search = found(
            trial(0, 0.5, options=options), space={HOSTILE: [HOSTILE]}, importance={HOSTILE: 1.0}
        )

        text = json.dumps(chart(search))

        assert not any(tag in text for tag in ("<img", "<a href", "<a"))


class TestPasses:
    """The curves of a job."""

    def test_are_a_figure_that_plotly_accepts(self):
        """Losses that are no number are gaps."""
        go.Figure(training_figures.passes([made(1), made(2, None)]))
        go.Figure(training_figures.passes([]))

    def test_are_as_wide_as_what_was_planned(self):
        """One sees how much is still to come."""
        low, high = training_figures.passes([made(1), made(2)])["layout"]["xaxis"]["range"]

        assert low < 1
        assert 10 < high < 11

    def test_have_no_accuracy_above_100_percent_on_their_axis(self):
        """A run of a single pass has one point, around which Plotly would put any numbers."""
        low, high = training_figures.passes([made(1, 0.98)])["layout"]["yaxis2"]["range"]

        assert 0 < low < 0.98 < high <= 1.02

    def test_mark_the_first_of_the_best(self):
        """Its weights are the ones that are kept."""
        shown = training_figures.passes([made(1, 0.5), made(2, 0.7), made(3, 0.7)])

        assert shown["data"][-1]["x"] == [2]

    def test_are_told_apart_by_more_than_colour(self):
        """Dashes and signs are seen by everybody, and in print."""
        looks = [
            (each["line"]["dash"], each["marker"]["symbol"])
            for each in training_figures.passes([made(1)])["data"][:3]
        ]

        assert len(set(looks)) == 3


class TestHistory:
    """Trials in order."""

    def test_the_line_rises_where_a_trial_was_better(self):
        """And runs on to the last."""
        search = found(trial(0, 0.5), trial(1, 0.4), trial(2, 0.8), trial(3))

        line = training_figures.history(search)["data"][0]

        assert (line["x"], line["y"]) == ([0, 2, 3], [0.5, 0.8, 0.8])

    def test_what_was_ended_early_has_a_sign_of_its_own(self):
        """It stands where it was when it was ended."""
        early = training_figures.history(found(trial(0, 0.5), trial(1)))["data"][1]

        assert (early["x"], early["y"], early["marker"]["symbol"]) == ([1], [0.4], "x")

    def test_a_failed_trial_is_in_the_table_alone(self):
        """It has no accuracy to stand at."""
        search = found(trial(0, state="FAIL", last=None))

        assert all(not each["x"] for each in training_figures.history(search)["data"])


class TestParallel:
    """Complete trials side by side."""

    def test_a_range_by_orders_of_magnitude_is_drawn_so(self):
        """Half way between 0.0001 and 0.01 is 0.001."""
        rate = next(row for row in rows(found(trial(0, 0.5))) if row.name == "learning_rate")

        assert [rate.place(value, 0) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
        assert rate.place("fast", 0) is None
        assert rate.place(0.0, 0) is None

    def test_choices_stand_apart_also_none(self):
        """`ema: [null, 0.9]` is a choice between two."""
        ema = next(row for row in rows(found(trial(0, 0.5))) if row.name == "ema")

        assert ema.place(None, 0) == pytest.approx(0.25, abs=0.02)
        assert ema.place(0.9, 0) == pytest.approx(0.75, abs=0.02)
        assert [text for _, text in ema.ticks()] == ["none", "0.9"]

    def test_what_mattered_most_stands_next_to_accuracy(self):
        """A reader begins at the top."""
        search = found(trial(0, 0.5), importance={"ema": 0.9, "learning_rate": 0.1})

        assert [row.name for row in rows(search)] == ["accuracy", "ema", "learning_rate"]

    def test_the_best_is_drawn_last_and_thickest(self):
        """On top of all others."""
        search = found(*(trial(i, 0.5 + 0.01 * (i % 7)) for i in range(20)))

        groups = parallel(search)["data"]
        looks = [(each["line"]["width"], each["line"]["dash"]) for each in groups]

        assert [each["line"]["color"] for each in groups] == [GREY, GREY, BLUE, ORANGE]
        assert len(set(looks)) == 4
        assert [_count(each) for each in groups] == [5, 9, 5, 1]
        assert "trial 6<" in groups[-1]["hovertext"][0]

    def test_is_bounded_in_lines_and_rows(self):
        """Thousands of trials and dozens of options are one picture."""
        options = {f"option_{i}": i for i in range(40)}
        search = found(*(trial(i, i / 2500, options=options) for i in range(2500)), space={})

        drawn = parallel(search)

        assert sum(_count(each) for each in drawn["data"]) == MOST_LINES
        assert len(drawn["layout"]["yaxis"]["tickvals"]) == MOST_ROWS
        assert "trial 2499<" in drawn["data"][-1]["hovertext"][0]
        assert len(json.dumps(drawn)) < 1_500_000


class TestThinned:
    """Fewer of many."""

    @pytest.mark.parametrize(("n", "most"), [(0, 5), (5, 5), (6, 5), (1000, 7)])
    def test_keeps_both_ends_and_the_order(self, n: int, most: int):
        """The last is the best, or the latest."""
        kept = thinned(range(n), most)

        assert len(kept) == min(n, most)
        assert kept == sorted(set(kept))
        assert not n or (kept[0], kept[-1]) == (0, n - 1)


class TestTable:
    """The trials in rows."""

    def test_the_best_stand_first_and_what_never_ended_last(self):
        """Who looks for options wants the first row."""
        search = found(trial(0, 0.5), trial(1), trial(2, 0.7), trial(3, 0.7))

        assert [each.number for each in ordered(search, "best")] == [2, 3, 0, 1]
        assert [each.number for each in ordered(search, "newest")] == [3, 2, 1, 0]

    def test_as_csv_has_no_formulas(self):
        """Neither in a value nor in a name."""
        search = found(trial(0, 0.5, options={"=x": "@y"}, error="+1"), trial(1, options={}))
        table = sheet(search)
        text = as_csv(table.columns, table.rows)

        head, first, second = csv.reader(io.StringIO(text))

        assert head == [
            "trial",
            "state",
            "accuracy",
            "passes",
            "last_pass",
            "seconds",
            "error",
            "'=x",
        ]
        assert first == ["0", "complete", "0.5", "1", "0.4", "3.0", "'+1", "'@y"]
        assert second == ["1", "ended early", "", "1", "0.4", "3.0", "", ""]


def _count(trace: dict[str, Any]) -> int:
    """Return how many lines a trace holds: each ends with a lift of the pen."""
    return trace["y"].count(None)
