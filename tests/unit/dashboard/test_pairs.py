"""Facts of one thing, as a table and as a file."""

from urllib.parse import unquote

from dash import html

from dashboard.parts import pairs
from dashboard.parts.moment import shown
from tests.board import NOW, moment


class TestWords:
    """What a value says."""

    def test_are_those_of_all_its_parts(self):
        """A link, a digest and plain text in between."""
        value = ["job ", html.A(html.Code("7"), href="/x"), None, ", refused"]

        assert pairs.words(value) == "job 7, refused"

    def test_of_a_moment_are_for_programs(self):
        """`14 Mar 02:00 UTC` has no year."""
        assert pairs.words(shown(moment(14), today=NOW.date())) == "2026-03-14T02:00:00+00:00"


class TestLink:
    """The file that the page carries in itself."""

    def test_has_a_row_for_each_fact_and_no_formula(self):
        """Reasons and names come from outside."""
        link = pairs.link([("Why", "=1+1"), ("Images", 12)], "lineage", of="Where it comes from")

        assert unquote(link.href).partition(",")[2] == "name,value\nWhy,'=1+1\nImages,12\n"
        assert (link.id, link.download) == ("lineage-csv", "lineage.csv")
