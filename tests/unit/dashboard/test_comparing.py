"""Two versions class by class: from counts to differences and intervals."""

import numpy as np
import pytest

from core.shown import comparing
from core.shown.comparing import Row
from core.store.side_by_side import Pair
from dashboard.pages.models import compare_panel, figures
from tests.board import HOSTILE, version


class TestPaired:
    """Versions on the same images."""

    def test_has_the_interval_of_paired_differences_the_largest_loss_first(self):
        """10 lost of 100 are 10 points, within 1.96 standard errors."""
        pairs = [Pair("Cow", 100, 80, 5, 1), Pair("Dog", 100, 70, 0, 10)]

        found = comparing._paired("v1", "v2", pairs, "exams")

        worst, _ = found.rows
        error = np.sqrt(10 - 10**2 / 100) / 100
        assert worst.label == "Dog"
        assert (worst.a, worst.b, worst.difference) == (0.8, 0.7, -0.1)
        assert worst.low == pytest.approx(-0.1 - 1.959964 * error)
        assert found.whole is not None
        assert (found.whole.n, found.whole.difference) == (200, pytest.approx(-0.03))

    def test_of_the_gates_counts_knows_differences_alone(self):
        """It kept no count of what both name rightly; turned round, gains are losses."""
        kept = {"label": "Cow", "n": 300, "gained": 1, "lost": 16}

        forward, backward = (comparing._of_gate(kept, way) for way in (True, False))

        assert forward is not None
        assert backward is not None
        assert (forward.gained, forward.lost) == (backward.lost, backward.gained) == (1, 16)
        (row,) = comparing._paired("v1", "v2", [forward], "gate").rows
        assert (row.a, row.b) == (None, None)
        assert comparing._of_gate({"label": "Cow", "n": 0}, True) is None

    def test_without_pairs_there_is_no_interval(self):
        """Two releases with test images of their own."""
        one, two = version("v1"), version("v2")
        one.metrics["test"] = {"top1": 0.9, "per_class": {"Cow": 0.9, "Dog": None}}
        two.metrics["test"] = {"top1": 0.8, "per_class": {"Cow": 0.7}}

        found = comparing._released(one, two)

        assert [(row.label, row.low) for row in found.rows] == [("Cow", None)]
        assert found.whole is not None
        assert found.whole.difference == pytest.approx(-0.1)

    def test_says_what_is_known_however_little_it_is(self):
        """Of releases that have one figure, or none, the page is drawn all the same."""
        one, two = version("v1"), version("v2")
        nothing = comparing._released(one, two)
        one.metrics["test"], two.metrics["test"] = {"top1": 0.9}, {"top1": 0.8}

        little = comparing._released(one, two)

        assert (nothing.source, little.source) == ("nothing", "releases")
        assert "cannot be compared yet" in str(compare_panel.draw(nothing, ["v1", "v2"]))
        assert "−10.0 points on test images" in str(compare_panel.draw(little, ["v1", "v2"]))


class TestFigures:
    """The chart of two versions."""

    def test_draws_forty_of_many_and_escapes_every_name(self):
        """Those that differ most, in their order."""
        rows = [Row(HOSTILE, 10, 0.5, 0.1, -0.4, -0.6, -0.2)]
        rows += [Row(f"class {i}", 10, 0.5, 0.5 + i / 1000, i / 1000) for i in range(100)]
        found = comparing.Comparison("v1", "v2", "exams", rows, None)

        figure = figures.dumbbells(found)

        names = figure["layout"]["yaxis"]["ticktext"]
        assert len(names) == figures.MOST_DRAWN
        assert names[-1] == "class 99"
        assert not any("<img" in text for text in [*names, *figure["data"][1]["text"]])

    def test_intervals_span_what_they_show_and_zero(self):
        """Nothing is cut off."""
        found = comparing._paired("v1", "v2", [Pair("Cow", 300, -1, 1, 16)], "gate")

        low, high = figures.intervals(found)["layout"]["xaxis"]["range"]

        assert low < (found.rows[0].low or 0) < 0 < high
