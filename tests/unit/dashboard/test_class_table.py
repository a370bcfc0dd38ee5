"""The table of all classes: short rows, and what leaves as CSV."""

import json
from dataclasses import replace

from plotly.utils import PlotlyJSONEncoder

from dashboard.pages.health import class_table
from dashboard.pages.health.facts import ClassTable
from dashboard.pages.health.view import TableView, state_address, table_view
from tests.board import HOSTILE, flag, overview_of, reading

NOTICED = {"5 points": 20.0, "15 points": 3.0, "35 points": None}


def weak_and_well():
    """Return an overview of two classes, one of them weak."""
    weak = reading("Elephant", standing="weak", flag=flag("Elephant"), evidence=5000.0)
    return overview_of(weak, reading("Dog"))


def table_of(facts, **known) -> ClassTable:
    """Return the table of the classes of an overview."""
    return ClassTable("mark", facts.classes, **known)


def sent(facts) -> str:
    """Return the table as it is sent with the page."""
    return json.dumps(class_table.table(facts, None), cls=PlotlyJSONEncoder, ensure_ascii=False)


class TestTable:
    """What the browser gets."""

    def test_counts_the_classes_of_each_state(self):
        """Grouping is a click, and the size of each group is known before."""
        text = sent(weak_and_well())

        assert '"/?state=weak"' in text
        assert '"/?state=recovering"' not in text

    def test_tells_when_a_drop_would_be_noticed(self):
        """Three days for fifteen points; never for what no alarm would come of."""
        rows = class_table.rows(table_of(weak_and_well(), noticed={"Dog": NOTICED}))

        assert rows[1]["days"] == 3.0
        assert rows[1]["all"].endswith("15 points in 3 days, 35 points never")
        assert "all" not in rows[0]

    def test_comes_without_its_rows(self):
        """They are fetched when the mark is a new one, and not with every look at the page."""
        few, many = [reading("a")], [reading(f"class {i}") for i in range(100)]

        text = sent(replace(overview_of(*many), mark="a mark"))

        assert '"data-mark": "a mark"' in text
        assert len(text) < len(sent(overview_of(*few))) + 100

    def test_a_row_is_short(self):
        """With 2,500 classes each byte counts 2,500 times."""
        many = [reading(f"class {i}") for i in range(100)]
        table = table_of(overview_of(*many), trends={each.label: "o" * 30 for each in many})

        assert len(json.dumps(class_table.rows(table))) / 100 < 250

    def test_carries_no_code(self):
        """The policy on scripts lets none through, and a name must not become any."""
        text = sent(overview_of(reading(HOSTILE)))

        assert '"function"' not in text
        assert "dangerously_allow_code" not in text


class TestCsv:
    """The same numbers as a file."""

    def test_has_a_row_a_class(self):
        """In the order of urgency, with the states in words."""
        table = table_of(weak_and_well(), noticed={"Dog": NOTICED})

        rows = class_table.csv_rows(table, table.classes)

        assert [row[:2] for row in rows] == [["Elephant", "weak"], ["Dog", "healthy"]]
        assert rows[1][-3:] == [20.0, 3.0, "never"]
        assert all(len(row) == len(class_table.CSV_COLUMNS) for row in rows)


class TestView:
    """What the address says of the table."""

    def test_is_read_from_the_query(self):
        """A pasted link shows the same."""
        assert table_view("?state=no+labels&find=Yak") == TableView("no labels", "Yak")

    def test_leaves_out_what_makes_no_sense(self):
        """Nobody stands so."""
        assert table_view("?state=splendid&find=") == TableView()

    def test_chooses_by_state_and_name(self):
        """Whatever the case."""
        classes = weak_and_well().classes

        assert [each.label for each in TableView("weak").chosen(classes)] == ["Elephant"]
        assert [each.label for each in TableView(find="dO").chosen(classes)] == ["Dog"]

    def test_is_written_into_addresses(self):
        """With the range, where it is not the usual one."""
        assert state_address("no labels", 7) == "/?days=7&state=no+labels"
        assert state_address(None, None) == "/"
