"""Tables as CSV."""

from core.catalog.spreadsheet import restore
from dashboard.parts.exports import as_csv, cell


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
