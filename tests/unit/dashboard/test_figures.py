"""The charts of one class."""

import json
from dataclasses import replace
from datetime import date

import plotly.graph_objects as go
import pytest

from core.stats.proportions import confidence_sequence
from core.store.registry import Move
from dashboard.pages.health import figures
from dashboard.parts.drawing import BLUE, ORANGE, log_axis, names_px, tick
from tests.board import (
    HOSTILE,
    class_day,
    happened,
    moment,
    one_class_of,
    reading,
    state,
    version,
)

CHARTS = [figures.accuracy, figures.evidence, figures.confusion]


def two_versions():
    """Return a class that v1 served to the 11th and v2 from the 13th on."""
    old = [class_day("Dog", day, 4) for day in (9, 10, 11)]
    new = [class_day("Dog", day, 9, version="v2") for day in (13, 14)]
    return one_class_of(
        reading("Dog", days=[*old, *new]),
        epochs={"v2": new, "v1": old},
        states=[state("Dog", day.day.day, version=day.version) for day in [*old, *new]],
        versions=[version("v2"), version("v1")],
        events=happened(moves=[Move(2, "v2", moment(12), "worker", "passed")]),
    )


@pytest.mark.parametrize("chart", CHARTS)
class TestEveryChart:
    """All three."""

    def test_is_a_figure_that_plotly_accepts(self, chart):
        """A misspelt attribute is ignored in the browser, silently."""
        go.Figure(chart(two_versions()))

    def test_is_drawn_without_a_single_day(self, chart):
        """A class may never have had a labelled image."""
        empty = one_class_of(reading("Dog", standing="no labels", days=[]), states=[])

        go.Figure(chart(empty))

    def test_escapes_names(self, chart):
        """Plotly reads HTML in labels and hover texts."""
        labels = (HOSTILE, "Dog", HOSTILE + "2")
        days = [class_day(HOSTILE, 9, 3, confused={HOSTILE + "2": 7}, version="v<b>1")]
        facts = one_class_of(
            reading(HOSTILE, days=days),
            epochs={"v1": days},
            states=[state(HOSTILE, 9)],
            versions=[version(labels=labels)],
            events=happened(moves=[Move(1, "<i>v1", moment(9), "test", "first")]),
        )
        text = json.dumps(chart(facts))

        assert not any(tag in text for tag in ("<img", "<a href", "<i>v1", "v<b>1"))


class TestNames:
    """The margin that the names of rows need."""

    @pytest.mark.parametrize(
        ("name", "px"),
        [("class_00000", 74.0), ("Wild Cat", 50.1), ("WWWWMMMM", 88.9), ("猫" * 8, 96)],
    )
    def test_have_room_in_a_wide_font_and_little_more(self, name: str, px: float):
        """Too little, and the chart is drawn twice; too much is taken from the chart.

        The widths are those of DejaVu Sans at 12 pixels.
        """
        assert px + 4 <= names_px(["i", name]) <= 1.25 * px + 16

    def test_count_a_character_as_it_is_shown(self):
        """An escaped one takes five letters to write."""
        assert names_px([tick("&&&&")]) == names_px(["nnnn"])


class TestAccuracy:
    """Accuracy by day."""

    def test_the_band_is_the_confidence_sequence_since_the_version_began(self):
        """It may be looked at daily only because it counts from the beginning."""
        days = [class_day("Dog", day) for day in (8, 9, 10)]
        facts = one_class_of(reading("Dog", days=days[1:]), epochs={"v1": days})
        facts = replace(facts, range=replace(facts.range, first=date(2026, 3, 9)))
        low, high = confidence_sequence([18, 27], [20, 30])

        upper, lower, line = figures.accuracy(facts)["data"][:3]

        assert upper["y"] == pytest.approx(high)
        assert lower["y"] == pytest.approx(low)
        assert line["y"] == [0.9, 0.9]

    def test_each_version_begins_anew(self):
        """What v1 got wrong is not held against v2."""
        traces = figures.accuracy(two_versions())["data"]

        assert traces[2]["x"] == ["2026-03-13", "2026-03-14"]
        assert traces[2]["y"] == [0.9, 0.9]

    def test_days_without_labels_have_no_dot(self):
        """Nothing is not 0 %."""
        days = [class_day("Dog", 9), class_day("Dog", 10, 0, 0)]
        facts = one_class_of(reading("Dog", days=days), epochs={"v1": days})

        assert figures.accuracy(facts)["data"][3]["x"] == ["2026-03-09"]

    def test_a_day_wholly_below_the_reference_is_orange(self):
        """It is seen without reading."""
        days = [class_day("Dog", 9, high=0.99), class_day("Dog", 10, 1, low=0.0, high=0.4)]
        facts = one_class_of(reading("Dog", days=days), epochs={"v1": days})

        assert figures.accuracy(facts)["data"][3]["marker"]["color"] == [BLUE, ORANGE]

    def test_marks_the_day_another_version_took_over(self):
        """A jump on that day has a reason."""
        layout = figures.accuracy(two_versions())["layout"]

        assert layout["shapes"][0]["x0"] == "2026-03-12"
        assert layout["annotations"][0]["text"] == "v2"


class TestEvidence:
    """Evidence of a drop."""

    def test_the_line_is_lifted_between_versions(self):
        """Evidence begins anew with a version; a slope between two would be invented."""
        line = figures.evidence(two_versions())["data"][0]

        assert line["x"] == [
            "2026-03-09", "2026-03-10", "2026-03-11", None, "2026-03-13", "2026-03-14", None,
        ]  # fmt: skip

    def test_alarms_stand_out(self):
        """They are what the chart is about."""
        states = [state("Dog", 9), state("Dog", 10, evidence=4e6, alarm=True)]
        facts = one_class_of(reading("Dog"), states=states)

        assert figures.evidence(facts)["data"][3]["x"] == ["2026-03-10"]

    @pytest.mark.parametrize("highest", [1000.0, 2e4, 1.3e9, 1e40])
    def test_the_axis_names_at_most_six_powers_and_holds_the_highest(self, highest):
        """Overlapping numbers are no axis."""
        axis = log_axis(highest)

        assert len(axis["tickvals"]) == len(axis["ticktext"]) <= 6
        assert 10 ** axis["range"][1] > highest


class TestConfusion:
    """What a class is mistaken for."""

    def test_sets_the_range_beside_the_reference(self):
        """Which mistakes are new is the question."""
        days = [class_day("Dog", 9, 6, confused={"Cow": 3, "Elephant": 1})]
        facts = one_class_of(reading("Dog", days=days), epochs={"v1": days})

        now, reference = figures.confusion_series(facts)

        assert now.shares == {"Cow": 0.3, "Elephant": 0.1}
        assert reference.shares == {"Cow": 0.1}
        assert reference.name == "reference of v1 (n = 100)"

    def test_keeps_versions_apart(self):
        """The old version's mistakes are not the new one's."""
        names = [each.name for each in figures.confusion_series(two_versions())]

        assert names == ["v2, this range", "v1, this range", "reference of v2 (n = 100)"]

    def test_counts_only_the_range(self):
        """The confidence sequence needs the days before it; this chart does not."""
        days = [class_day("Dog", 1, 0), class_day("Dog", 9, 10)]
        facts = one_class_of(reading("Dog", days=days[1:]), epochs={"v1": days})

        assert figures.confusion_series(facts)[0].shares == {}

    def test_shows_the_most_frequent_first(self):
        """Eight are shown; they must be the right eight."""
        said = {f"C{i}": i for i in range(1, 11)}
        days = [class_day("Dog", 9, 45, 100, confused=said)]
        facts = one_class_of(
            reading("Dog", days=days), epochs={"v1": days}, versions=[version(labels=["Dog"])]
        )

        shown = figures.confusion(facts)["layout"]["yaxis"]["ticktext"]

        assert [label for label in shown if label != "Dog"][:3] == ["C10", "C9", "C8"]
        assert len(shown) == 8
