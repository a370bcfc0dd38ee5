"""Classes that are called like scripts, links and templates, in a real browser."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from tests import story
from tests.board import HOSTILE
from tests.browser.visit import Visit
from tests.pool import night_after
from tests.showing import Board, starting

NOW = night_after(story.LAST_DAY).now()


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The story, with scripts, links and templates for names."""
    home = tmp_path_factory.mktemp("hostile")
    names = list(story.LABELS)
    names[story.LABELS.index(story.WEAK)] = HOSTILE
    names[story.LABELS.index(story.TAKEN_FOR)] = "<script>window.hacked=1</script>"
    names[0] = '"><svg/onload=window.hacked=1>'
    names[1] = "javascript:window.hacked=1"
    with starting(module_engine, home, now=NOW) as ready:
        story.tell(module_engine, home, labels=names)
        story.refuse_retraining(module_engine, names)
        yield ready()


# A path of the dashboard's own: `//host` would be another machine.
_OURS = re.compile(r"/(?!/)")


class TestHostileNames:
    """A class may be called what it likes."""

    def test_are_text_and_nothing_else(self, visit: Visit):
        """In sentence, table, axis, hover, gallery, alert, title and address."""
        for path in ("/", "/class/" + quote(HOSTILE, safe="")):
            page = visit.open(path)
            links = _links_met_by_pointing(page)

            assert [link for link in links if "evil" in link and not _OURS.match(link)] == []
            assert page.locator("h1").text_content().count(HOSTILE) == 1
            assert page.evaluate("window.hacked") is None
            assert page.locator('img[src="x"], a[href^="javascript:"]').count() == 0
            page.set_viewport_size({"width": 390, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert (visit.complaints, visit.outside) == ([], [])

    def test_are_told_letter_by_letter_when_pointed_at(self, visit: Visit):
        """Plotly reads HTML in what it shows beside the pointer."""
        page = visit.open("/")
        cell = page.locator(
            "#matrix .heatmap-label text", has_text=re.compile("^0$")
        ).bounding_box()
        assert cell is not None

        page.mouse.move(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)

        expect(page.locator("#matrix .hovertext")).to_contain_text(HOSTILE)

    def test_lead_to_their_pages(self, visit: Visit):
        """Quotation marks, slashes and all."""
        page = visit.open("/")

        page.locator("#classes [row-index='0'] a").first.click()

        expect(page.locator(".crumb-here")).to_have_text(HOSTILE)


def _links_met_by_pointing(page: Page) -> set[str]:
    """Point at many places of every chart, and return every link there ever was."""
    links: set[str] = set()
    for layer in page.locator(".chart .nsewdrag").all():
        box = layer.bounding_box()
        if box is None:
            continue
        layer.scroll_into_view_if_needed()
        for share in (0.04, 0.2, 0.5, 0.96):
            layer.hover(position={"x": box["width"] * share, "y": min(10.0, box["height"] / 2)})
            # A link within an SVG may have its address in another name space.
            links.update(
                page.locator("a").evaluate_all(
                    "all => all.flatMap(a => [...a.attributes].map(each => each.value))"
                )
            )
    return links
