"""The table of classes and the page of a class, in a real browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from tests import story
from tests.board import HOSTILE
from tests.browser.visit import Visit
from tests.pool import night_after
from tests.showing import Board, starting

LABELS = (HOSTILE, *story.LABELS[1:4], "Dog", "Elephant")
NOW = night_after(2).now()


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A dashboard of two days of six classes, one of them with a hostile name."""
    home = tmp_path_factory.mktemp("board")
    with starting(module_engine, home, now=NOW) as ready:
        story.tell(module_engine, home, labels=LABELS, days=2)
        yield ready()


class TestTable:
    """Sorted, filtered and searched in the browser, and kept in the address."""

    def test_is_searched_by_name_and_enter_opens_the_first(self, visit: Visit):
        """Two keystrokes and Enter, among 2,500 classes."""
        page = visit.open("/")
        expect(page.locator("#classes .ag-row")).to_have_count(len(LABELS))

        page.locator("#find").fill("elep")
        expect(page.locator("#classes .ag-row")).to_have_count(1)
        expect(page).to_have_url(re.compile(r"\?find=elep$"))
        expect(page.locator("#classes-shown")).to_have_text("1 of 6 classes are shown.")
        page.locator("#find").press("Enter")

        expect(page.locator(".crumb-here")).to_have_text("Elephant")
        page.go_back()
        expect(page.locator("#find")).to_have_value("elep")
        expect(page.locator("#classes .ag-row")).to_have_count(1)
        assert (visit.complaints, visit.outside) == ([], [])

    def test_keeps_its_order_in_the_address(self, visit: Visit):
        """A pasted link shows the same, and another range of days leaves it as it is."""
        page = visit.open("/?sort=label.desc")
        first = page.locator('#classes [row-index="0"] [col-id="label"]')
        expect(first).to_have_text("Elephant")

        page.locator('.ag-header-cell[col-id="accuracy"] .ag-header-cell-text').click()
        expect(page).to_have_url(re.compile(r"sort=accuracy\.desc"))
        page.locator("#overview-ranges").get_by_text("7 days", exact=True).click()
        expect(page).to_have_url(re.compile(r"sort=accuracy\.desc&days=7$"))
        expect(page.locator(".range-current")).to_have_text("7 days")
        page.go_back()
        page.go_back()

        expect(first).to_have_text("Elephant")

    def test_is_grouped_by_state(self, visit: Visit):
        """Each group with its size; a click shows it alone."""
        page = visit.open("/")
        all_, other = page.locator(".state-tab").first, page.locator(".state-tab").nth(1)
        expect(all_).to_have_attribute("aria-current", "true")
        n = int(other.locator(".state-count").text_content() or "")

        other.click()

        expect(page.locator("#classes .ag-row")).to_have_count(n)
        expect(page).to_have_url(re.compile(r"\?state="))
        assert page.locator("#classes-csv").get_attribute("href") == (
            "/health/classes.csv" + page.evaluate("location.search")
        )

    def test_is_walked_by_the_keyboard(self, visit: Visit):
        """From the field down into the rows, and into a class."""
        page = visit.open("/?sort=label.desc")
        expect(page.locator('#classes [row-index="0"] [col-id="label"]')).to_have_text("Elephant")

        page.locator("#find").press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")

        expect(page.locator(".crumb-here")).to_have_text("Dog")

    def test_shows_a_name_letter_by_letter(self, visit: Visit):
        """AG Grid, the tooltip, the link: text everywhere."""
        page = visit.open("/")

        cell = page.locator('#classes [col-id="label"] bdi', has_text="onerror")
        expect(cell).to_have_text(HOSTILE)
        assert page.evaluate("window.hacked") is None
        assert page.locator('img[src="x"]').count() == 0

    def test_has_the_colours_of_the_scheme(self, visit: Visit):
        """Also after a switch."""
        page = visit.open("/")
        page.locator("#scheme").click()

        expect(page.locator("html")).to_have_attribute("data-ag-theme-mode", "dark")
        background = page.locator("#classes .ag-root-wrapper").evaluate(
            "each => getComputedStyle(each).backgroundColor"
        )
        assert sum(map(int, re.findall(r"\d+", background)[:3])) < 384

    def test_fits_on_a_phone(self, visit: Visit):
        """Name, state and accuracy; the rest is on the class's page."""
        visit.page.set_viewport_size({"width": 390, "height": 844})
        page = visit.open("/")

        expect(page.locator("#classes .ag-header-cell")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


class TestRows:
    """They come after the page, once for each judgement."""

    ROWS = "**/health/classes.json"

    def test_that_cannot_be_fetched_are_asked_for_again(self, visit: Visit):
        """And until then the table says why it is empty."""
        visit.page.route(self.ROWS, lambda route: route.fulfill(status=503, body="{}"))
        page = visit.open("/")
        said = page.locator("#classes-shown")
        expect(said).to_have_text("The rows could not be fetched; trying again.")

        page.unroute(self.ROWS)

        expect(page.locator("#classes .ag-row")).to_have_count(len(LABELS), timeout=10_000)
        expect(said).to_have_text("")
        expect(page.locator("#classes-table")).not_to_have_attribute("aria-busy", "true")

    def test_are_fetched_once_for_as_long_as_they_hold(self, visit: Visit):
        """Another range, a class and the way back: the same rows, asked for once."""
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url))
        page = visit.open("/")
        expect(page.locator("#classes .ag-row")).to_have_count(len(LABELS))

        page.locator("#overview-ranges").get_by_text("7 days", exact=True).click()
        link = page.locator('#classes [col-id="label"] a', has_text="Elephant")
        expect(link).to_have_attribute("href", "/class/Elephant?days=7")
        link.click()
        expect(page.locator(".crumb-here")).to_have_text("Elephant")
        page.go_back()
        expect(page.locator("#classes .ag-row")).to_have_count(len(LABELS))

        assert sum(each.endswith("/health/classes.json") for each in asked) == 1
        assert visit.complaints == []


class TestClassPage:
    """What a class's page has besides its three charts."""

    def test_a_chart_is_kept_as_a_picture(self, visit: Visit):
        """Drawn in the browser: nothing is asked of anybody."""
        page = visit.open("/class/Elephant")

        with page.expect_download() as arriving:
            page.locator('.chart-png[data-chart="accuracy"]').click()

        assert arriving.value.suggested_filename == "weakspot-accuracy.png"
        assert arriving.value.path().read_bytes()[:4] == b"\x89PNG"
        assert (visit.complaints, visit.outside) == ([], [])

    def test_leads_to_the_formula_of_each_chart(self, visit: Visit):
        """How it is computed, one click away."""
        page = visit.open("/class/Elephant")

        page.get_by_role("link", name="Evidence of a drop").first.click()

        expect(page.locator(".formula")).to_contain_text("alarm where evidence(t) ≥ threshold")
        assert visit.complaints == []

    def test_asks_for_a_retraining(self, visit: Visit):
        """After a question, and says what came of it."""
        page = visit.open("/class/Dog")
        page.on("dialog", lambda dialog: dialog.accept())

        page.get_by_role("button", name="Retrain").click()

        expect(page.locator("#said")).to_have_text(re.compile(r"Retraining \d+ of Dog is queued"))
        expect(page.get_by_text("asked for on the dashboard")).to_be_visible()
