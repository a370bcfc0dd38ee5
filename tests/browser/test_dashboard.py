"""The dashboard in a real browser, over rows that the monitor wrote."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, make_url

from core.store import notices, registry
from core.store.database import transaction
from tests import story
from tests.browser.visit import Visit
from tests.pool import night_after, register
from tests.showing import Board, showing

NOW = night_after(story.LAST_DAY).now()
PAGES = {"overview": "/", "class": f"/class/{story.WEAK}"}


@pytest.fixture(scope="module")
def board(fortnight: story.Fortnight) -> Iterator[Board]:
    """A dashboard of a fortnight at whose end one class is weak."""
    story.refuse_retraining(fortnight.engine)
    with showing(fortnight.engine, fortnight.home, now=NOW) as board:
        yield board


@pytest.mark.parametrize("name", PAGES)
class TestEveryPage:
    """Both pages."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1440, 768, 390])
    def test_is_drawn_without_a_complaint_and_fits_into_the_window(
        self, visit: Visit, name: str, width: int, scheme
    ):
        """Nothing scrolls sideways, the text has the scheme's colours, nobody else is asked."""
        visit.page.emulate_media(color_scheme=scheme)
        visit.page.set_viewport_size({"width": width, "height": 844})
        page = visit.open(PAGES[name])

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 384) == (scheme == "dark")
        assert (visit.complaints, visit.outside) == ([], [])


class TestOverview:
    """What somebody sees who opens the dashboard."""

    def test_says_first_what_is_wrong(self, visit: Visit):
        """Five seconds."""
        page = visit.open("/")

        expect(page.locator("h1")).to_have_text(
            re.compile(
                r"1 of 10 classes needs attention: Elephant since 8 Mar"
                r", (over )?[0-9.]+ % sure, now mistaken for Cow"
            )
        )
        expect(page).to_have_title("Overview · Weakspot")

    def test_has_the_worst_class_on_top_of_matrix_and_table(self, visit: Visit):
        """Thirty seconds."""
        page = visit.open("/")

        assert page.locator("#matrix .ytick text").first.text_content() == story.WEAK
        expect(page.locator("#classes .ag-row")).to_have_count(len(story.LABELS))
        expect(page.locator('#classes [row-index="0"]').first).to_contain_text(story.WEAK)

    def test_a_cell_tells_its_numbers_and_leads_to_its_class(self, visit: Visit):
        """From what is wrong to why."""
        page = visit.open("/")
        cell = page.locator(
            "#matrix .heatmap-label text", has_text=re.compile("^0$")
        ).bounding_box()
        assert cell is not None
        place = (cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)

        page.mouse.move(*place)
        expect(page.locator("#matrix .hovertext")).to_contain_text("0 of 10 right")
        page.mouse.click(*place)

        expect(page).to_have_url(re.compile(f"/class/{story.WEAK}$"))

    def test_a_click_on_the_sentence_leads_to_the_class_and_back_leads_back(self, visit: Visit):
        """The address is the state."""
        page = visit.open("/?days=7")

        page.locator("h1 a").first.click()
        expect(page.locator("h1")).to_contain_text("Elephant needs attention")
        expect(page).to_have_url(re.compile(r"/class/Elephant\?days=7$"))
        page.go_back()

        expect(page.locator("h1")).to_contain_text("1 of 10 classes")
        expect(page.locator(".range-current")).to_have_text("7 days")

    def test_the_range_is_chosen_by_a_link(self, visit: Visit):
        """And can be pasted into a message."""
        page = visit.open("/")

        page.get_by_text("7 days", exact=True).click()

        expect(page).to_have_url(re.compile(r"\?days=7$"))
        expect(page.locator(".range-current")).to_have_text("7 days")
        expect(page.locator("#matrix .xtick")).to_have_count(4)

    def test_the_scheme_can_be_switched_and_is_kept(self, visit: Visit):
        """By system at first, by choice from then on."""
        root = visit.open("/").locator("html")
        expect(root).to_have_attribute("data-mantine-color-scheme", "light")

        visit.page.locator("#scheme").click()
        expect(root).to_have_attribute("data-mantine-color-scheme", "dark")
        visit.page.reload()

        expect(root).to_have_attribute("data-mantine-color-scheme", "dark")


class TestClassPage:
    """Why a class is weak."""

    def test_shows_the_wrong_images_themselves(self, visit: Visit):
        """Pictures that came, not frames where they should be."""
        page = visit.open(PAGES["class"])
        widths = page.locator(".gallery img").evaluate_all(
            "all => all.map(one => one.naturalWidth)"
        )

        assert widths == [32] * 48
        expect(page.locator(".gallery .said", has_text="called Cow").first).to_be_visible()

    def test_tells_what_was_alerted_and_what_the_gate_said(self, visit: Visit):
        """The class's history."""
        page = visit.open(PAGES["class"])

        expect(page.get_by_text("raised 8 Mar")).to_be_visible()
        expect(page.get_by_text("Retraining 1 was refused by the gate")).to_be_visible()
        expect(page.locator("table.gate tbody tr").first).to_contain_text("+38.7")

    def test_draws_its_three_charts(self, visit: Visit):
        """Accuracy, evidence, confusion."""
        page = visit.open(PAGES["class"])

        for name in ("accuracy", "evidence", "confusion"):
            expect(page.locator(f"#{name} .main-svg").first).to_be_visible()


class TestOpenPage:
    """A page that stays open."""

    def test_hears_of_news_by_itself(self, chromium: Browser, engine: Engine, tmp_path: Path):
        """Nobody presses reload on a screen on the wall."""
        register(engine, tmp_path / "bundles", promoted_at=None)
        with showing(engine, tmp_path, refresh_s="1") as board, _window(chromium) as page:
            page.goto(board.url)
            expect(page.locator(".tile dd").first).to_have_text("none")

            with transaction(engine) as connection:
                registry.promote(connection, "v1", now=NOW, by="test", reason="first")

            expect(page.locator(".tile dd").first).to_have_text("v1")

            with transaction(engine) as connection:
                said = {"title": "Together <b>worse</b>", "body": "Evidence 612", "now": NOW}
                notices.raise_once(connection, "pooled", "all classes", **said)

            expect(page.locator("h1")).to_contain_text("Together <b>worse</b>. No class has been")
            expect(page.locator(".tile").last.locator("dd").first).to_have_text("1")
            expect(page.locator(".record .body")).to_have_text("Evidence 612")

    def test_says_that_the_database_is_away_and_comes_back_with_it(
        self, chromium: Browser, engine: Engine, tmp_path: Path
    ):
        """A restart of Postgres is no reason to look at a traceback."""
        with showing(engine, tmp_path, refresh_s="1") as board, _window(chromium) as page:
            page.goto(board.url)
            expect(page.locator("h1")).to_have_text("No class has been examined yet")

            _let_in(engine, nobody=True)
            expect(page.locator("h1")).to_have_text("The database does not answer", timeout=20_000)
            _let_in(engine, nobody=False)

            expect(page.locator("h1")).to_have_text(
                "No class has been examined yet", timeout=20_000
            )

    def test_says_that_it_is_stale_when_the_server_is_silent(
        self, chromium: Browser, engine: Engine, tmp_path: Path
    ):
        """Old figures that look fresh are worse than none."""
        with showing(engine, tmp_path, refresh_s="1") as board, _window(chromium) as page:
            page.goto(board.url)
            expect(page.locator("h1")).to_be_visible()
            expect(page.locator("#stale")).to_be_hidden()

            page.evaluate("document.getElementById('stale').dataset.patience = 2")
            board.process.terminate()

            expect(page.locator("#stale")).to_be_visible(timeout=20_000)


def _window(chromium: Browser) -> closing[Page]:
    """Return a page that closes itself."""
    return closing(chromium.new_page())


def _let_in(engine: Engine, *, nobody: bool) -> None:
    """Close the database to everybody, or open it again."""
    name = engine.url.database
    url = make_url(engine.url).set(database="postgres", drivername="postgresql")
    engine.dispose()
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not nobody}')
        if nobody:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ended, (name,))
