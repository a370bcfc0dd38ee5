"""The chart of classes and days."""

import json
from dataclasses import replace
from datetime import date

import plotly.graph_objects as go
import pytest

from core.store.class_history import ClassWeek
from core.store.registry import Move
from dashboard.pages.health.matrix import ACCURACY_COLOURS, matrix
from tests.board import HOSTILE, class_day, flag, happened, job, moment, overview_of, reading


def drawn(facts):
    """Return the matrix of all classes of an overview."""
    return matrix(facts, facts.classes)


class TestMatrix:
    """Accuracy by class and day."""

    def test_is_a_figure_that_plotly_accepts(self):
        """A misspelt attribute is ignored in the browser, silently."""
        weak = reading("Dog", standing="weak", flag=flag("Dog"))

        go.Figure(drawn(overview_of(weak, reading("Cow", days=[class_day("Cow", 14, 0, 0)]))))

    def test_has_the_first_class_on_top(self):
        """The worst is looked at first."""
        layout = drawn(overview_of(reading("Worst"), reading("Best")))["layout"]

        assert layout["yaxis"]["ticktext"] == ["Worst", "Best"]
        assert layout["yaxis"]["range"] == [1.5, -0.5]

    def test_shows_the_share_of_right_answers(self):
        """Every figure comes from rows."""
        heat = drawn(overview_of(reading("Dog", days=[class_day("Dog", 9, 7)])))["data"][0]

        assert heat["z"] == [[None, 0.7, None, None, None, None, None]]
        assert heat["text"][0][1] == "70"
        assert "7 of 10 right (70 %)" in heat["hovertext"][0][1]
        assert "mistaken for Cow (3)" in heat["hovertext"][0][1]

    def test_a_day_without_labels_is_hatched_and_has_no_colour(self):
        """Nothing examined is neither right nor wrong."""
        figure = drawn(overview_of(reading("Dog", days=[class_day("Dog", 9, 0, 0)])))

        assert figure["data"][0]["z"][0][1] is None
        assert figure["data"][1]["x"] == ["2026-03-09"]
        assert "no fresh labels" in figure["data"][1]["hovertext"][0]

    def test_a_day_of_too_few_labels_is_hatched_with_their_number(self):
        """Three of four right is no 75 %, and a colour would say that it is."""
        figure = drawn(overview_of(reading("Dog", days=[class_day("Dog", 9, 3, 4)])))

        assert figure["data"][0]["z"][0][1] is None
        assert figure["data"][1]["text"] == ["n 4"]
        assert "3 of 4 right" in figure["data"][1]["hovertext"][0]

    def test_a_day_without_labels_says_for_how_long(self):
        """One day may happen; a fortnight is a class that nobody looks after."""
        silent = reading("Dog", days=[class_day("Dog", 9, 0, 0)])
        silent = replace(silent, silent={date(2026, 3, 9): 14})

        hover = drawn(overview_of(silent))["data"][1]["hovertext"][0]

        assert hover.endswith("no fresh labels (14 days)")

    def test_is_told_apart_by_lightness_at_both_ends(self):
        """Blue and orange are told apart by every kind of colour vision."""
        places = [place for place, _ in ACCURACY_COLOURS]

        assert places == sorted(places)
        assert (places[0], places[-1]) == (0.0, 1.0)

    def test_many_days_go_without_numbers(self):
        """A cell of eight pixels has no room for three digits."""
        facts = overview_of(reading("Dog"))
        span = replace(facts.range, first=facts.range.first.replace(month=1))

        assert drawn(replace(facts, range=span))["data"][0]["texttemplate"] == ""

    def test_a_cell_leads_to_its_class(self):
        """A click on what is wrong shows why."""
        heat = drawn(overview_of(reading("Wild dog")))["data"][0]

        assert heat["customdata"][0][0] == "/class/Wild%20dog"


class TestEvents:
    """The lane under the matrix."""

    def test_shows_deployments_alerts_and_retrainings_on_their_days(self):
        """What was done is read off beside what happened."""
        events = happened(
            moves=[Move(1, "v2", moment(13), "worker", "passed")],
            flags=[flag("Dog", since=11)],
            jobs=[job("Dog")],
        )
        marks = drawn(overview_of(reading("Dog"), events=events))["data"][3]

        assert marks["x"] == ["2026-03-13", "2026-03-12", "2026-03-11"]
        assert marks["y"] == [3, 1, 2]

    def test_an_open_flag_lasts_to_the_end(self):
        """How long a class has been weak is a length."""
        events = happened(flags=[flag("Dog", since=11), flag("Cow", since=9, closed=12, number=2)])
        bars = drawn(overview_of(reading("Dog"), events=events))["data"][2]

        assert bars["x"] == ["2026-03-11", "2026-03-14", None, "2026-03-09", "2026-03-12", None]

    def test_what_lies_outside_the_range_is_not_drawn(self):
        """Plotly would squeeze the days together to show it."""
        events = happened(
            moves=[Move(1, "v1", moment(2), "test", "first")],
            flags=[flag("Dog", since=3, closed=5)],
        )
        bars, marks = drawn(overview_of(reading("Dog"), events=events))["data"][2:]

        assert (bars["x"], marks["x"]) == ([], [])


class TestHostileNames:
    """Plotly reads HTML in labels and hover texts."""

    @pytest.mark.parametrize("open_flag", [None, flag(HOSTILE)])
    def test_are_escaped_wherever_they_stand(self, open_flag):
        """A class may be called what it likes; it stays a name."""
        shown = drawn(overview_of(reading(HOSTILE, flag=open_flag)))
        text = json.dumps(shown)

        assert "<img" not in text
        assert "<a href" not in text

    def test_stand_in_no_template(self):
        """`%{x}` in a template would be filled in."""
        heat = drawn(overview_of(reading(HOSTILE)))["data"][0]

        assert heat["texttemplate"] == "%{text}"
        assert "hovertemplate" not in heat


class TestWeeks:
    """A column is seven days where days would be too narrow."""

    WEEKS = (
        ClassWeek("Dog", date(2026, 2, 22), ["v1", "v2"], 70, 63, {"Cow": 7}),
        ClassWeek("Dog", date(2026, 3, 8), ["v2"], 4, 3, {"Cow": 1}),
    )

    def figure(self):
        """Return the matrix of one class with two weeks, and one between that nobody examined."""
        weekly = replace(reading("Dog", days=[]), weeks=list(self.WEEKS))
        return drawn(overview_of(weekly))

    def test_stands_in_the_middle_of_its_days(self):
        """So that the events beneath lie under the week in which they were."""
        heat = self.figure()["data"][0]

        assert heat["x"] == ["2026-02-25", "2026-03-04", "2026-03-11"]
        assert heat["z"] == [[0.9, None, None]]

    def test_tells_its_days_its_versions_and_its_counts(self):
        """What a day tells, of seven."""
        hover = self.figure()["data"][0]["hovertext"][0][0]

        assert hover.startswith("<b>Dog</b><br>22 Feb to 28 Feb, v1, v2<br>63 of 70 right (90 %)")
        assert "95 % interval 81 % to 95 %" in hover
        assert hover.endswith("mistaken for Cow (7)")

    def test_of_too_few_images_is_hatched(self):
        """As a day is."""
        sparse = self.figure()["data"][1]

        assert (sparse["x"], sparse["text"]) == (["2026-03-11"], ["n 4"])
