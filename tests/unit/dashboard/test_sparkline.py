"""The small picture in a table row."""

from urllib.parse import unquote
from xml.etree import ElementTree

from dashboard.parts.sparkline import HEIGHT, sparkline
from tests.board import HOSTILE, SPAN, class_day


def shapes(days, reference=0.9):
    """Return the names of the shapes in the picture, in order."""
    address = sparkline(days, SPAN.days, reference)
    root = ElementTree.fromstring(unquote(address.removeprefix("data:image/svg+xml,")))  # noqa: S314
    return [child.tag.rpartition("}")[2] for child in root]


class TestSparkline:
    """Accuracy over the range."""

    def test_is_one_line_with_the_last_day_marked(self):
        """The last day is what the eye goes to."""
        days = [class_day("Dog", day) for day in range(8, 15)]

        assert shapes(days) == ["line", "polygon", "polyline", "circle"]

    def test_breaks_where_there_were_no_labels(self):
        """A line across a gap would be invented."""
        days = [class_day("Dog", day) for day in (8, 9, 12, 13)]

        assert shapes(days) == ["line", *["polygon", "polyline"] * 2, "circle"]

    def test_a_day_alone_is_a_dot(self):
        """A line needs two."""
        assert shapes([class_day("Dog", 10)], reference=None) == ["circle", "circle"]

    def test_nothing_is_an_empty_picture(self):
        """A new class has no days yet."""
        assert shapes([class_day("Dog", 10, 0, 0)], reference=None) == []

    def test_all_right_lies_within_the_picture(self):
        """A line on the edge would be cut in half."""
        address = unquote(
            sparkline([class_day("Dog", 8, 10), class_day("Dog", 9, 0)], SPAN.days, 1)
        )

        assert 'points="3.0,3.0' in address
        assert f",{HEIGHT - 3:.1f}" in address

    def test_holds_no_name(self):
        """What is not in it cannot be read as HTML."""
        assert "img" not in unquote(sparkline([class_day(HOSTILE, 9)], SPAN.days, 0.9))
