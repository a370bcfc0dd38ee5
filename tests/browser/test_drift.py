"""The drift page and the system page in a real browser, over rows that the monitor left."""

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from core.store.database import transaction
from tests import two_days
from tests.board import HOSTILE
from tests.browser.visit import Visit
from tests.pool import day, night_after
from tests.showing import Board, starting

LABELS = ["Cat", "Cow", HOSTILE]


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A dashboard over two days, the second darker, and a report with a script."""
    home = tmp_path_factory.mktemp("board")
    with starting(module_engine, home, now=night_after(2).now()) as ready:
        two_days.tell(module_engine, home, LABELS)
        with transaction(module_engine) as connection:
            connection.execute(sa.text("UPDATE drift_checks SET report = day || '/v1.html'"))
        report = home / "reports" / f"{day(2)}" / "v1.html"
        report.parent.mkdir(parents=True)
        report.write_text(
            "<p id=p>no script</p><script>let origin = 'known'; try { document.cookie } "
            "catch { origin = 'none' } p.textContent = 'origin: ' + origin</script>",
            encoding="utf-8",
        )
        yield ready()


class TestDriftPage:
    """What moved, when, and how far."""

    def test_is_drawn_without_a_complaint_and_fits_in_every_window(self, visit: Visit):
        """Hostile names are text, nothing leaves the machine, and nothing scrolls sideways."""
        for width, scheme in ((1440, "light"), (390, "dark")):
            visit.page.emulate_media(color_scheme=scheme)
            visit.page.set_viewport_size({"width": width, "height": 844})
            page = visit.open("/drift?check=brightness")

            for name in ("drift-matrix", "distribution", "mix", "drift-map"):
                expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("window.hacked") is None
        assert (visit.complaints, visit.outside) == ([], [])

    def test_leads_from_check_to_check_and_to_a_class_and_back(self, visit: Visit):
        """The address is the state."""
        page = visit.open("/drift")

        page.locator("#drift-checks").get_by_role("link", name="sharpness").click()
        expect(page.get_by_role("heading", name="Sharpness: the day")).to_be_visible()
        page.locator("#drift-class").click()
        page.get_by_role("option", name=HOSTILE).click()

        expect(page).to_have_url(re.compile(r"check=sharpness&class=%3Cimg"))
        expect(page.locator(".told bdi").first).to_have_text(HOSTILE)
        page.go_back()
        expect(page).to_have_url(re.compile(r"check=sharpness$"))
        assert (visit.complaints, visit.outside) == ([], [])

    def test_opens_evidentlys_report_in_a_page_without_an_origin(self, visit: Visit):
        """Its scripts run, and get at nothing of ours."""
        page = visit.open("/drift")

        with page.expect_popup() as opening:
            page.locator("#evidently").click()

        expect(opening.value.locator("#p")).to_have_text("origin: none")


class TestSystemPage:
    """Does everything run."""

    def test_is_drawn_without_a_complaint_and_fits_in_every_window(self, visit: Visit):
        """With the disk and the clock, which are asked for apart."""
        for width in (1440, 390):
            visit.page.set_viewport_size({"width": width, "height": 844})
            page = visit.open("/system")

            expect(page.locator("#system-moving")).to_contain_text("Disk of the home")
            expect(page.locator("#system-traffic .main-svg").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert (visit.complaints, visit.outside) == ([], [])

    @pytest.mark.parametrize(
        ("zone", "own"),
        [
            ("Asia/Kolkata", r"Mar 1, 0?5:30.*6:30 AM GMT\+5:30"),
            ("America/New_York", r"Feb 28, 0?7:00.*8:00 PM EST"),
            ("UTC", ""),
        ],
    )
    def test_tells_hours_in_the_readers_own_time(
        self, chromium: Browser, board: Board, zone: str, own: str
    ):
        """Below the UTC; a day may be another there. Who lives by UTC is not told it twice."""
        context = chromium.new_context(
            viewport={"width": 1440, "height": 900}, timezone_id=zone, locale="en-US"
        )
        visit = Visit(context.new_page(), board.url)
        page = visit.open("/system")

        for chart, point, more in (
            ("#system-traffic", ".bars .point", r"\d+ predictions"),
            ("#system-latency", ".points path", r"\d+\.\d ms on average"),
        ):
            told = _pointed_at(page, chart, point)
            assert re.fullmatch(f"1 Mar, 00:00 to 01:00 UTC{own}{more}", told), told
            page.mouse.move(0, 0)
            assert _pointed_at(page, chart, point) == told  # And no line twice.
        assert (visit.complaints, visit.outside) == ([], [])
        context.close()


def _pointed_at(page: Page, chart: str, point: str) -> str:
    """Return what a chart tells of its first point when the pointer first comes to it."""
    drawn = page.locator(chart)
    drawn.scroll_into_view_if_needed()
    box = drawn.locator(point).first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(drawn.locator(".hovertext")).to_be_visible()
    return drawn.locator(".hovertext").text_content() or ""
