"""The pool as text for a terminal and as a picture for a browser."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console, RenderableType

from core.catalog import ClassSize, ImportReport, Profile, SetAside
from weakspot.commands import pool_chart, pool_text

SVG = "{http://www.w3.org/2000/svg}"


def _profile(*sizes: ClassSize) -> Profile:
    quantiles = {"min": 1.0, "median": 2.0, "max": 3.0}
    return Profile(
        classes=sizes,
        sizes={"width": quantiles, "height": quantiles, "bytes": quantiles},
        mean=(0.5, 0.25, 0.125),
        std=(0.1, 0.2, 0.3),
        sampled=10,
        unreadable=1,
    )


def _tail(count: int) -> Profile:
    return _profile(*[ClassSize(f"class {n:04}", 7 * (count - n), 2, 1) for n in range(count)])


def _render(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestProfileText:
    """`weakspot data profile` in a terminal."""

    def test_draws_bars_as_long_as_the_classes_are_large(self):
        """The long tail is to be seen, not read."""
        lines = _render(pool_text.profile(_tail(20), 0)).splitlines()

        bars = [line.count("█") for line in lines if line.lstrip().startswith("class 0")]
        assert bars[0] == 40
        assert bars == sorted(bars, reverse=True)
        assert bars[-1] < 5

    def test_marks_the_classes_that_have_too_few(self):
        """They are the next to be photographed."""
        text = _render(
            pool_text.profile(_profile(ClassSize("Cat", 90, 5, 5), ClassSize("Dog", 2, 1, 1)), 50)
        )

        assert "1 classes have fewer than 50 images: Dog" in text
        assert text.count("fewer than 50") == 2

    def test_leaves_out_the_middle_of_a_thousand_classes(self):
        """The largest and the smallest tell the story."""
        text = _render(pool_text.profile(_tail(1000), 0))

        assert "... 940 more" in text
        assert "class 0000" in text
        assert "class 0999" in text

    def test_shows_odd_names_as_text(self):
        """Neither terminal codes nor rich's own mark-up act."""
        text = _render(pool_text.profile(_profile(ClassSize("[red]\x1b[2J", 1, 1, 1)), 0))

        assert "[red]\\x1b[2J" in text


class TestImportText:
    """`weakspot data import` in a terminal."""

    def test_says_what_was_left_out_and_why(self):
        """With a few cases of each, and how many more."""
        set_aside = SetAside()
        for number in range(5):
            set_aside.add("corrupt", f"/pets/{number}.jpg", "truncated")
        report = ImportReport(
            source="/pets", found=9, added=3, known=1, moved=1, ignored=2, set_aside=set_aside,
            classes={"Cat": {"train": 2, "val": 1, "test": 1}}, near_duplicates=1, leaks=1,
            seconds=1.5,
        )  # fmt: skip

        text = _render(pool_text.import_report(report))

        assert "3 images added, 1 known already, 5 set aside" in text
        assert "/pets/2.jpg: truncated" in text
        assert "and 2 more" in text


class TestSvg:
    """The picture of the profile."""

    @pytest.mark.parametrize("count", [1, 15, 1000])
    def test_is_well_formed_for_any_number_of_classes(self, count: int):
        """From a single class to the long tail of a thousand."""
        root = ElementTree.fromstring(pool_chart.svg(_tail(count), 10))  # noqa: S314  # our own

        bars = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
        assert len(bars) == 3 * count

    def test_draws_each_part_in_proportion(self):
        """Train, val and test add up to the bar."""
        svg = pool_chart.svg(_profile(ClassSize("Cat", 60, 30, 10), ClassSize("Dog", 30, 15, 5)), 0)
        root = ElementTree.fromstring(svg)  # noqa: S314  # our own

        widths = [
            float(rect.attrib["width"])
            for rect in root.iter(f"{SVG}rect")
            if rect.find(f"{SVG}title") is not None
        ]
        assert widths[:3] == pytest.approx([6 * widths[2], 3 * widths[2], widths[2]], rel=1e-3)
        assert sum(widths[:3]) == pytest.approx(2 * sum(widths[3:]), rel=1e-3)

    def test_shows_names_as_text(self):
        """A class may be called anything; the page runs none of it."""
        page = pool_chart.html(_profile(ClassSize("<script>alert(1)</script>&\"'", 1, 1, 1)), 50)

        assert "<script" not in page
        assert "&lt;script&gt;" in page
