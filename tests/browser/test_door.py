"""Signing in, in a real browser; and the frame of every page: keys, moments, accessibility."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from core.store import keys
from core.store.database import transaction
from core.store.keys import Grant
from dashboard.app import _PAGES
from tests import story
from tests.browser.accessibility import assert_accessible
from tests.browser.screenshots import wait_until_drawn
from tests.browser.visit import Visit
from tests.pool import night_after
from tests.showing import Board, showing

NOW = night_after(story.LAST_DAY).now()
PATHS = [page.path for page in _PAGES if page.path] + [f"/class/{story.WEAK}", "/nowhere"]

MORE = [
    "/alerts?alert=1",
    "/alerts?rules=1",
    "/alerts?rules=1&against=1",
    "/models?version=v1",
    "/training?job=1",
]
# Texts with a time of day that are no moment, on the page and of what charts tell when pointed at.
_BARE = """() => {
    const found = [], texts = document.createTreeWalker(
        document.getElementById('shell'), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        const told = text.parentElement.closest('time, svg, script, .model-card');
        if (/\\d\\d:\\d\\d/.test(text.data) && !told) { found.push(text.data); }
    }
    for (const chart of document.querySelectorAll('.js-plotly-plot')) {
        for (const trace of chart.data.filter(each => !(each.meta && each.meta.begins_s))) {
            const pointed = [trace.hovertext || trace.text || []].flat(3);
            found.push(...pointed.filter(text => /\\d\\d:\\d\\d/.test(text)));
        }
    }
    return found;
}"""


@pytest.fixture(scope="module")
def owners_key(fortnight: story.Fortnight) -> str:
    """A key that opens everything."""
    return _key(fortnight.engine, "owner", "admin")


@pytest.fixture(scope="module")
def board(fortnight: story.Fortnight, owners_key: str) -> Iterator[Board]:
    """A dashboard with keys, of a fortnight at whose end one class is weak."""
    story.refuse_retraining(fortnight.engine)
    knobs = {"require_keys": "true", "refresh_s": "1"}
    with showing(fortnight.engine, fortnight.home, now=NOW, **knobs) as board:
        yield board


@pytest.fixture(scope="module")
def window(chromium: Browser, board: Board, owners_key: str) -> Iterator[Visit]:
    """A window in which somebody is signed in who may do everything, for tests to share."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, timezone_id="Asia/Tokyo"
    )
    visit = Visit(context.new_page(), board.url)
    visit.page.goto(f"{board.url}/sign-in")
    _type_key(visit.page, owners_key)
    wait_until_drawn(visit.page)
    yield visit
    context.close()


def _key(engine: Engine, name: str, *scopes: str) -> str:
    with transaction(engine) as connection:
        return keys.create(connection, name, Grant(scopes), by="test", now=NOW)[1]


def _type_key(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


class TestSignIn:
    """Somebody with a key, and somebody whose key is taken back."""

    def test_leads_back_to_what_was_asked_for_and_ends_with_the_key(
        self, visit: Visit, fortnight: story.Fortnight
    ):
        """A pasted link; a wrong key first; then the key is revoked while the page is open."""
        page = visit.page
        key = _key(fortnight.engine, "ann", "read", "label")

        page.goto(f"{visit.base}/class/{story.WEAK}?days=7")
        expect(page).to_have_title("Sign in · Weakspot")
        assert_accessible(page)
        _type_key(page, "ws_wrong")
        expect(page.get_by_role("alert")).to_contain_text("is not known, was revoked")
        assert_accessible(page)
        visit.complaints.clear()  # The browser notes an answer of 401.
        _type_key(page, key)

        expect(page).to_have_url(f"{visit.base}/class/{story.WEAK}?days=7")
        wait_until_drawn(page)
        expect(page.locator(".person-name")).to_have_text("ann")
        expect(page.locator("#ended")).to_be_hidden()
        assert (visit.complaints, visit.outside) == ([], [])

        with transaction(fortnight.engine) as connection:
            keys.revoke(connection, "ann", by="test", now=NOW)

        expect(page.locator("#ended")).to_be_visible(timeout=20_000)
        expect(page.locator("h1")).to_contain_text(story.WEAK)
        assert_accessible(page)
        page.locator("#ended a").click()
        expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Fclass%2FElephant%3Fdays%3D7$"))

    def test_works_without_scripts_and_ends_by_a_button(
        self, chromium: Browser, visit: Visit, fortnight: story.Fortnight
    ):
        """The form is plain HTML; signing out leads back to it."""
        page, key = visit.page, _key(fortnight.engine, "bob", "read")
        bare = chromium.new_context(java_script_enabled=False)
        plain = bare.new_page()

        plain.goto(f"{visit.base}/")
        _type_key(plain, key)
        expect(plain).to_have_url(f"{visit.base}/")
        assert all(each["httpOnly"] for each in bare.cookies())
        page.context.add_cookies(bare.cookies())
        bare.close()

        page.goto(visit.base)
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{visit.base}/sign-in")
        page.goto(visit.base)
        expect(page).to_have_url(f"{visit.base}/sign-in?next=%2F")

    def test_a_link_from_another_site_needs_no_second_sign_in(self, window: Visit):
        """A mail's link comes without the session (SameSite=Strict), and is led on with it."""
        page = window.page
        page.route(
            "http://mail.example/",
            lambda route: route.fulfill(
                body=f'<a href="{window.base}/training">look</a>', content_type="text/html"
            ),
        )
        page.goto("http://mail.example/")

        page.get_by_text("look").click()

        expect(page).to_have_url(f"{window.base}/training")
        expect(page.locator(".person-name")).to_have_text("owner")


class TestFrame:
    """What every page has."""

    def test_lists_its_keys_and_gives_the_focus_back(self, window: Visit):
        """By the keyboard alone."""
        page = window.open("/training")
        page.locator("#scheme").focus()

        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        assert_accessible(page)
        page.keyboard.press("Escape")

        expect(page.locator("#help")).to_be_hidden()
        expect(page.locator("#scheme")).to_be_focused()
        page.keyboard.press("g")
        page.keyboard.press("o")
        expect(page).to_have_url(f"{window.base}/")

    def test_finds_a_class_from_any_page(self, window: Visit):
        """A slash, then its name."""
        page = window.open("/training")

        page.keyboard.press("/")
        expect(page.locator("#finder-field")).to_be_focused()
        page.keyboard.type("eleph")
        page.keyboard.press("Enter")

        expect(page.locator(".crumb-here")).to_have_text(story.WEAK)

    def test_has_two_rows_in_a_narrow_window(self, window: Visit):
        """Also with somebody signed in: the third would lie under the page."""
        size = window.page.viewport_size
        window.page.set_viewport_size({"width": 390, "height": 844})
        page = window.open("/training")

        last, pages = page.locator("#scheme").bounding_box(), page.locator("nav").bounding_box()
        window.page.set_viewport_size(size)

        assert last
        assert pages
        assert last["y"] + last["height"] <= pages["y"] + 1
        assert pages["y"] + pages["height"] <= 88

    def test_tells_moments_in_the_readers_own_time(self, window: Visit):
        """UTC is written; Tokyo is nine hours on."""
        page = window.open("/training")
        time = page.locator("#heard time")

        time.hover()

        hour = (int(time.inner_text()[:2]) + 9) % 24
        expect(time).to_have_attribute("title", re.compile(rf"\b0?{hour % 12 or 12}:\d\d.*GMT\+9"))

    @pytest.mark.parametrize(
        ("path", "place"),
        [
            ("/models", "#champions time"),
            ("/models?version=v1", ".verdict time"),
            ("/training?job=1", ".told time"),
            ("/alerts?alert=1", ".deeds time"),
            ("/system", "#system-steps time"),
        ],
    )
    def test_tells_those_of_sentences_and_tables_so_too(self, window: Visit, path: str, place: str):
        """Not only the one in the header."""
        time = window.open(path).locator(place).first

        time.hover()

        expect(time).to_have_text(re.compile(r"\d\d:\d\d UTC$"))
        expect(time).to_have_attribute("title", re.compile(r"GMT\+9"))

    @pytest.mark.parametrize("path", MORE)
    def test_writes_no_moment_that_it_cannot_tell_so(self, window: Visit, path: str):
        """In sentences, tables and lists alike, and when a chart is pointed at."""
        assert_told_locally(window.open(path))


@pytest.fixture(scope="class", params=PATHS)
def opened(request: pytest.FixtureRequest, window: Visit) -> Page:
    """Each page in turn, opened once for all that is asked of it."""
    return window.open(request.param)


class TestEveryPage:
    """Moments; and pages for people who see little, or work by the keyboard."""

    def test_writes_no_moment_that_it_cannot_tell_so(self, opened: Page):
        """As above."""
        assert_told_locally(opened)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_has_nothing_serious_that_axe_finds(self, opened: Page, scheme):
        """Contrast, names, roles, order; everything that an owner may press is on the page."""
        opened.emulate_media(color_scheme=scheme)
        expect(opened.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)

        assert_accessible(opened)


def assert_told_locally(page: Page) -> None:
    """Fail where a page tells a time of day in UTC alone."""
    assert page.evaluate(_BARE) == []
    assert page.locator("#shell time[data-utc]").count() >= 1
