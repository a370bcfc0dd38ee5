"""The weekly report as one file."""

import re
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest

from core.errors import UsageError
from core.shown.happenings import Event
from core.store.arrivals import Arrivals
from core.store.event_places import Source
from core.store.standing import ClassStanding
from dashboard.parts.days import Range
from dashboard.parts.saying import Mention
from dashboard.report import document, pdf, words
from dashboard.report.facts import ClassWeek, Numbers, Week
from tests.board import HOSTILE, NOW, alert, class_day, flag, moment, state

SPAN = Range(date(2026, 3, 8), date(2026, 3, 14))
BEFORE = Numbers(n=70, correct=63, weak=0, predictions=900, labelled=5, alerts=1)
THEN = Numbers(n=70, correct=49, weak=1, predictions=1_200, labelled=20, alerts=2)


def _class(label: str, *, weak: bool = False, correct: int = 9) -> ClassWeek:
    raised = flag(label) if weak else None
    stands = ClassStanding(label, "weak" if weak else "healthy", state(label), raised)
    days = [class_day(label, 1 + i, 9 if i < 7 else correct) for i in range(14)]
    told = alert(raised, HOSTILE) if raised else None
    return ClassWeek(stands, told, days, 70, 7 * correct, 0.2, 0.4, 0.9)


def _week(*classes: ClassWeek, version: str | None = "v1") -> Week:
    title = [Mention(HOSTILE), " became weak"]
    raised = Event("alert", moment(11), date(2026, 3, 11), title, "", Source.FLAG, 1)
    labelled = [Arrivals(HOSTILE, 20, 10)]
    return Week(SPAN, NOW, version, list(classes), THEN, BEFORE, [raised], labelled)


class _Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


class TestDocument:
    """The report as HTML."""

    def test_says_what_is_weak_and_what_changed(self):
        """What somebody reads who opens no dashboard."""
        seen = _Seen(
            document.to_html(_week(_class("Elephant", weak=True, correct=2), _class("Cow")))
        )

        assert "1 of 2 classes needs attention: Elephant since 11 Mar" in seen.text
        assert "−20.0 points" in seen.text
        assert (seen.tags.count("svg"), seen.tags.count("tr")) == (1, 7)

    def test_s04_shows_hostile_names_as_text(self):
        """S04: in the sentence, the tables, the events; a mail program obeys none of it."""
        seen = _Seen(document.to_html(_week(_class(HOSTILE, weak=True, correct=2))))

        assert not {"img", "a", "script", "iframe", "link"} & set(seen.tags)
        assert not [name for name, _ in seen.attributes if name.startswith("on")]
        assert seen.text.count(HOSTILE[:40]) >= 5

    def test_asks_nothing_of_anybody(self):
        """No address in it is one that is fetched, not even as the name of a format."""
        written = document.to_html(_week(_class("Elephant", weak=True, correct=2)))

        seen = _Seen(written)
        asking = {"src", "href", "srcset", "action", "data", "xlink:href", "background", "xmlns"}
        assert not asking & {name for name, _ in seen.attributes}
        assert not re.findall(r"@import|url\(", written)
        assert "default-src 'none'" in written

    def test_is_small_with_2500_classes_of_long_names(self):
        """The worst 40 are shown, and the rest is counted."""
        many = [_class(f"{'x' * 250} {i}", weak=i < 60) for i in range(2_500)]

        written = document.to_html(_week(*many))

        assert len(written.encode()) < 400_000
        assert "and 20 more classes" in written
        assert "The 40 worst of 2,500 are shown." in written

    def test_of_an_empty_house_says_so(self):
        """The first Monday."""
        empty = Numbers(n=0, correct=0, weak=None, predictions=0, labelled=0, alerts=0)
        week = Week(SPAN, NOW, None, [], empty, empty, [], [])

        seen = _Seen(document.to_html(week))

        assert "No class had been examined by the end of this week." in seen.text
        assert "Nothing happened." in seen.text

    def test_leaves_a_hole_where_a_day_had_no_labels(self):
        """Nothing is not zero."""
        hole = class_day("Cow", 14, 0, n=0)
        cow = _class("Cow")
        cow.days[-1] = hole

        assert document.to_html(_week(cow)).count("class='d none'") == 1


class TestWords:
    """The sentence on top."""

    @pytest.mark.parametrize(("version", "tone"), [("v1", "good"), (None, "none")])
    def test_is_calm_where_nothing_is_weak(self, version, tone):
        """And says so when nobody has looked."""
        assert words.verdict(_week(_class("Cow"), version=version))[0] == tone

    def test_names_the_week(self):
        """With the year only where it is not this one's."""
        assert words.title(_week()) == "8 Mar to 14 Mar"
        assert SPAN.last - SPAN.first == timedelta(days=6)


class TestPdf:
    """The report on paper."""

    def test_names_what_is_missing_where_there_is_no_browser(self, monkeypatch: pytest.MonkeyPatch):
        """A browser is no part of this product."""
        monkeypatch.setenv("PATH", "/nowhere")

        with pytest.raises(UsageError, match="needs neither"):
            pdf.to_pdf("<p>x</p>")

    def test_says_when_the_browser_printed_nothing(self):
        """Instead of an empty file in the mail."""
        with pytest.raises(UsageError, match="printed nothing"):
            pdf.to_pdf("<p>x</p>", browser="/bin/true")
