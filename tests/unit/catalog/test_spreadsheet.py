"""Lists of labelled images as CSV."""

from __future__ import annotations

import contextlib
import csv
import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.report import SetAside
from core.catalog.spreadsheet import (
    Row,
    neutralise,
    parse_moment,
    read_rows,
    restore,
    write_rows,
)
from core.errors import CatalogError


def _read(text: str) -> tuple[list[Row], SetAside]:
    set_aside = SetAside()
    return list(read_rows(text.encode(), "list.csv", set_aside)), set_aside


class TestReadRows:
    """A CSV from anywhere."""

    def test_reads_all_columns_it_knows_and_passes_over_others(self):
        """Such lists come out of labelling tools with columns of their own."""
        rows, _ = _read(
            "label,note,path,split,captured_at,session\n"
            "Cat,x,a.jpg,valid,2026-01-31T10:00:00+02:00,night\n"
        )

        taken = datetime(2026, 1, 31, 8, tzinfo=UTC)
        assert rows == [Row("a.jpg", "Cat", "val", taken, "night")]

    def test_reads_what_excel_writes(self):
        """A byte order mark, CRLF, capitals and blanks around names."""
        rows, _ = _read("\ufeffPath , Label\r\na.jpg, Cat\r\n")

        assert rows == [Row("a.jpg", "Cat", None, None, None)]

    @pytest.mark.parametrize(
        "line",
        [",Cat,,", "a,Cat,holdout,", "a,Cat,,yesterday", "a\0,Cat,,", "a,Cat,,0000-01-01"],
    )
    def test_sets_a_row_without_sense_aside_and_goes_on(self, line: str):
        """One typo must not cost the other thousand rows."""
        rows, set_aside = _read(f"path,label,split,captured_at\n{line}\nb.jpg,Dog,,\n")

        assert [row.path for row in rows] == ["b.jpg"]
        assert "line 2" in set_aside.first("row")[0].what

    @pytest.mark.parametrize(
        ("text", "message"),
        [("file,class\na,b\n", "lacks the column path and label; it has file, class"),
         ("", "it has none"), ('path,label\n"a,b\n', "line 2")],
    )  # fmt: skip
    def test_refuses_a_file_that_is_no_such_list(self, text: str, message: str):
        """The message says what the first line must be."""
        with pytest.raises(CatalogError, match=message):
            _read(text)

    def test_refuses_other_encodings(self):
        """A name read in the wrong encoding would become another class."""
        with pytest.raises(CatalogError, match="UTF-8"):
            list(read_rows("path,label\na,Käfer\n".encode("latin-1"), "list.csv", SetAside()))

    @given(st.binary(max_size=200))
    def test_raises_nothing_of_its_own_on_any_bytes(self, data: bytes):
        """Whatever is given as a CSV is read or refused with a sentence."""
        with contextlib.suppress(CatalogError):
            list(read_rows(b"path,label\n" + data, "list.csv", SetAside()))


class TestNeutralise:
    """Cells that a spreadsheet program would run."""

    @pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''=1"])
    def test_makes_text_of_a_formula(self, cell: str):
        """A class called =HYPERLINK(...) must not act on who opens the list."""
        assert neutralise(cell).startswith("'")

    @pytest.mark.parametrize("cell", ["", "Cat", "/data/a=b.jpg", "'quoted'", "O'Hara"])
    def test_leaves_other_cells_alone(self, cell: str):
        """Lists stay readable by everything else."""
        assert neutralise(cell) == cell

    @given(st.text(alphabet="'=+-@\t\ra", max_size=6))
    def test_is_undone_by_restore(self, cell: str):
        """What goes out and comes back is the same path and label."""
        assert restore(neutralise(cell)) == cell


class TestWriteRows:
    """What `sample` writes, `import` reads."""

    def test_survives_the_way_out_and_back(self):
        """Commas, quotes, line breaks and formulas in names are kept exactly."""
        path, label = '/data/=a, "b"\n.jpg', "=Cat, or 'Dog'"

        rows, _ = _read(write_rows(("path", "label"), [(path, label)]))

        assert (rows[0].path, rows[0].label) == (path, label)

    def test_writes_no_cell_that_begins_a_formula(self):
        """Also read by a plain CSV reader."""
        written = write_rows(("path", "label"), [("/a.jpg", "=cmd|' /C calc'!A0")])

        cells = [cell for row in csv.reader(io.StringIO(written)) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


class TestParseMoment:
    """When an image was taken."""

    def test_takes_a_moment_without_a_zone_as_utc(self):
        """Every moment in the store is UTC and aware."""
        assert parse_moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)

    def test_brings_other_zones_to_utc(self):
        """Days are counted in UTC."""
        zone = timezone(timedelta(hours=9))

        moment = parse_moment(datetime(2026, 2, 1, 3, tzinfo=zone).isoformat())

        assert moment.isoformat() == "2026-01-31T18:00:00+00:00"

    @pytest.mark.parametrize("text", ["", "now", "2026-13-01", "0001-01-01T00:00+23:00"])
    def test_refuses_what_is_no_moment(self, text: str):
        """Also those that leave the calendar when brought to UTC."""
        with pytest.raises(ValueError, match="no ISO 8601 moment"):
            parse_moment(text)
