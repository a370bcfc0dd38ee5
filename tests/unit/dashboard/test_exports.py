"""Tables as CSV."""

from datetime import UTC, date, datetime
from urllib.parse import unquote

from core.catalog.spreadsheet import restore
from dashboard.parts.exports import Sheet, as_csv, cell, enclosed


class TestCsv:
    """What a spreadsheet program opens."""

    def test_has_no_formulas(self):
        """A class may be called =HYPERLINK(...), and is clicked on by whoever opens the file."""
        name = '=HYPERLINK("https://evil.example")'

        line = as_csv(["class"], [[name]]).splitlines()[1]

        assert line.startswith("\"'=")
        assert restore(line[1:-1].replace('""', '"')) == name

    def test_writes_values_as_json_does(self):
        """One way to say true, a number, nothing."""
        assert [cell(each) for each in (True, 0.5, None, {"Cow": 3}, "so")] == [
            "true",
            "0.5",
            "",
            '{"Cow": 3}',
            "so",
        ]

    def test_leaves_numbers_numbers(self):
        """A loss is written with a minus, and is to be added up."""
        assert as_csv(["a", "b"], [[-0.5, "-0.5"]]) == "a,b\n-0.5,'-0.5\n"

    def test_writes_days_and_moments_as_iso_8601_does(self):
        """Every program reads that."""
        assert cell(date(2026, 3, 8)) == "2026-03-08"
        assert cell(datetime(2026, 3, 8, 2, tzinfo=UTC)) == "2026-03-08T02:00:00+00:00"

    def test_is_carried_by_a_link_where_no_address_names_it(self):
        """What a form would have raised stands in no row."""
        link = enclosed(Sheet("some.csv", ("class",), [["=1+1"]]), "some")

        assert link.download == "some.csv"
        assert unquote(link.href) == "data:text/csv;charset=utf-8,class\n'=1+1\n"
