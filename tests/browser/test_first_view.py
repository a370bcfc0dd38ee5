"""The first look at a page: what is fetched in which order, and that nothing is drawn twice."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import Engine

from tests import two_days
from tests.browser.visit import Visit
from tests.pool import day, night_after
from tests.showing import Board, showing

LABELS = ["Cat", "Cow", "WWWWMMMMWWWWMM", "iiiiiiiiiiiiii"]


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A dashboard over two days."""
    home = tmp_path_factory.mktemp("board")
    two_days.tell(module_engine, home, LABELS)
    with showing(module_engine, home, now=night_after(2).now()) as running:
        yield running


def fetched(page: Page, name: str) -> list[float]:
    """Return when the files and answers of a name were asked for, in milliseconds."""
    entries = page.evaluate(
        "performance.getEntriesByType('resource').map(each => [each.name, each.startTime])"
    )
    return [begun for address, begun in entries if name in address]


class TestFirstView:
    """A browser that has nothing yet."""

    def test_fetches_what_draws_before_it_asks_what_to_draw(self, chromium: Browser, board: Board):
        """Else a third of the time goes by with nothing to do; and each comes once."""
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        visit = Visit(context.new_page(), board.url)

        page = visit.open("/drift")

        asked = min(fetched(page, "/_dash-update-component"))
        for name in ("plotly.", "async-graph.js"):
            (begun,) = fetched(page, name)
            assert begun < asked, name
        assert (visit.complaints, visit.outside) == ([], [])
        context.close()

    def test_draws_no_chart_twice_to_make_room_for_its_names(self, visit: Visit):
        """Plotly measures names and draws anew where they do not fit; it took half a second."""
        page = visit.open("/drift?days=7")

        drawn = page.evaluate(
            "[...document.querySelectorAll('.js-plotly-plot')]"
            ".map(each => each._fullLayout._redrawFromAutoMarginCount ?? null)"
        )
        assert len(drawn) == 4
        assert set(drawn) == {None}

    def test_leads_from_a_cell_of_the_matrix_to_its_day_and_check(self, visit: Visit):
        """The address of a cell is made in the browser."""
        page = visit.open("/drift?class=Cow")
        names = page.evaluate(
            "document.querySelector('#drift-matrix .js-plotly-plot').layout.yaxis.ticktext"
        )
        box = page.locator("#drift-matrix .nsewdrag").bounding_box()
        assert box is not None
        days = 7  # Those of the matrix; what was checked stands in the last two columns.

        page.mouse.click(
            box["x"] + box["width"] * (days - 1.5) / days,
            box["y"] + box["height"] * (names.index("contrast") + 0.5) / len(names),
        )

        page.wait_for_url(f"**/drift?class=Cow&day={day(1)}&check=contrast")
        page.wait_for_selector("#drift-checks .chosen")
        assert (visit.complaints, visit.outside) == ([], [])
