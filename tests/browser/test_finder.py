"""The field in the header that finds a class, in a real browser, among 2,500 of them."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from core.store import registry, validations
from core.store.database import transaction
from core.store.validations import Draw
from tests.board import HOSTILE
from tests.browser.accessibility import assert_accessible
from tests.browser.visit import Visit
from tests.pool import day, night_after, register
from tests.showing import Board, starting

LABELS = [HOSTILE, "Elephant", "Sea elephant", *(f"Class {i:04}" for i in range(2_497))]


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A dashboard of a version with 2,500 classes that was examined once, without any images."""
    home = tmp_path_factory.mktemp("board")
    now = night_after(1).now()
    with starting(module_engine, home, now=now) as ready:
        made = register(module_engine, home / "bundles")
        # A bundle of so many classes takes a quarter of a minute to make, and nobody asks it.
        large = replace(made, version="v2", number=2, labels=LABELS)
        with transaction(module_engine) as connection:
            registry.register(connection, large)
            draw = Draw(day(1), "v2", per_class=10, late=False, drawn_at=now)
            exam = validations.record_draw(connection, draw, [])
            validations.finish(connection, exam, status="done", unreadable=0, now=now)
        yield ready()


def options(page: Page) -> list[str]:
    """Return what the list offers."""
    return page.locator("#finder-list [role=option]").all_inner_texts()


class TestFinder:
    """`/`, a few letters, Enter."""

    def test_opens_the_first_that_fits_however_fast_one_types(self, visit: Visit):
        """Enter is pressed before the names have come; the range of days goes along."""
        page = visit.open("/drift?days=7")

        page.keyboard.press("/")
        page.keyboard.type("elep")
        page.keyboard.press("Enter")

        expect(page).to_have_url(f"{visit.base}/class/Elephant?days=7")
        expect(page.locator(".crumb-here")).to_have_text("Elephant")
        expect(page.locator("#finder-field")).to_have_value("")
        assert (visit.complaints, visit.outside) == ([], [])

    def test_offers_ten_and_says_how_many_more_there_are(self, visit: Visit):
        """No page carries the names of all classes."""
        page = visit.open("/system")
        assert "Class 1234" not in page.content()

        page.locator("#finder-field").fill("class 2")

        expect(page.locator("#finder-list .finder-note")).to_have_text("and 487 more")
        assert options(page)[0] == "Class 2000"
        assert len(options(page)) == 11

    def test_is_walked_by_the_arrows_and_left_by_escape(self, visit: Visit):
        """By the keyboard alone."""
        page = visit.open("/system")
        field = page.locator("#finder-field")
        page.keyboard.press("/")
        page.keyboard.type("ele")
        expect(page.locator("#finder-list .finder-option")).to_have_count(2)

        page.keyboard.press("ArrowDown")
        expect(page.locator("[aria-selected=true]")).to_have_text("Sea elephant")
        expect(field).to_have_attribute("aria-activedescendant", "finder-1")
        page.keyboard.press("Escape")
        expect(field).to_have_value("")
        page.keyboard.press("Escape")
        expect(page.locator("#finder-list")).to_be_hidden()
        expect(field).not_to_be_focused()
        page.keyboard.press("/")
        page.keyboard.type("ele")
        expect(page.locator("#finder-list .finder-option")).to_have_count(2)
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")

        expect(page.locator(".crumb-here")).to_have_text("Sea elephant")

    def test_shows_a_name_letter_by_letter(self, visit: Visit):
        """And leads to it, whatever it is."""
        page = visit.open("/system")

        page.locator("#finder-field").fill("onerror")
        page.locator("#finder-list bdi", has_text="onerror").click()

        expect(page.locator(".crumb-here")).to_have_text(HOSTILE)
        assert page.evaluate("window.hacked") is None

    def test_says_that_there_is_no_such_class(self, visit: Visit):
        """And Enter goes nowhere."""
        page = visit.open("/system")
        page.locator("#finder-field").fill("yeti")
        expect(page.locator("#finder-list")).to_have_text("No such class")

        page.locator("#finder-field").press("Enter")

        expect(page).to_have_url(f"{visit.base}/system")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1440, 1100, 390])
    def test_is_for_everybody_in_every_window(self, visit: Visit, width: int, scheme):
        """In narrow ones behind an icon; nothing scrolls sideways, and axe finds nothing."""
        visit.page.emulate_media(color_scheme=scheme)
        visit.page.set_viewport_size({"width": width, "height": 844})
        page = visit.open("/system")

        if width < 1240:
            expect(page.locator("#finder-field")).to_be_hidden()
            page.get_by_role("button", name="Find a class").click()
        page.locator("#finder-field").fill("class")
        expect(page.locator("#finder-list .finder-option")).to_have_count(10)

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert_accessible(page)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/class/Class%200000$"))

    @pytest.mark.parametrize("width", [1440, 390])
    def test_is_on_the_overview_the_search_of_its_table(self, visit: Visit, width: int):
        """One field to find a class in, not two."""
        visit.page.set_viewport_size({"width": width, "height": 844})
        page = visit.open("/")
        expect(page.locator("#find")).to_be_visible()
        expect(page.locator("#finder-field")).to_be_hidden()

        page.keyboard.press("/")
        expect(page.locator("#find")).to_be_focused()
        page.locator("#find").blur()
        page.get_by_role("button", name="Find a class").click()

        expect(page.locator("#find")).to_be_focused()
        expect(page.locator("#find")).to_be_in_viewport()
