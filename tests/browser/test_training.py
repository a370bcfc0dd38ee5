"""The training page in a real browser: a job under way, and two searches."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from core.store import jobs
from core.store.database import transaction
from tests import searches
from tests.board import HOSTILE
from tests.browser.visit import Visit
from tests.jobs import LEASE_S, NOW, ask, at, cancel, claimed
from tests.showing import Board, starting

pytest.importorskip("optuna")

_LOSSES = [1.4, 1.1, 0.9, 0.7]
_HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A dashboard of one retraining at its third pass, one that was cancelled, and two searches."""
    with starting(module_engine, tmp_path_factory.mktemp("board"), now=at(20)) as ready:
        cancel(module_engine, ask(module_engine, ["Cow"]))
        ask(module_engine, [HOSTILE])
        _pass(module_engine, claimed(module_engine), 3)
        searches.search(module_engine, "rates")
        searches.search(module_engine, HOSTILE, trials_n=2)
        yield ready()


def _pass(engine: Engine, job: jobs.Job, done: int) -> None:
    """Let a worker report so many of ten passes."""
    made = [
        {
            "number": i + 1,
            "epochs": 10,
            "train_loss": loss,
            "val_loss": loss + 0.2,
            "val_accuracy": 1 - loss / 2,
            "seconds": 1.0,
        }
        for i, loss in enumerate(_LOSSES[:done])
    ]
    progress = {"stage": "fitting", "done": done, "total": 10, "epochs": made}
    with transaction(engine) as connection:
        jobs.heartbeat(connection, job, now=NOW, lease_s=100 * LEASE_S, progress=progress)


class TestTrainingPage:
    """What is and was trained, and what searches have found."""

    def test_is_drawn_without_a_complaint_and_fits_in_every_window(self, visit: Visit):
        """Hostile names are text, nothing leaves the machine, and nothing scrolls sideways."""
        for width, scheme in ((1440, "light"), (390, "dark")):
            visit.page.emulate_media(color_scheme=scheme)
            visit.page.set_viewport_size({"width": width, "height": 844})
            page = visit.open("/training")

            for name in ("passes", "history", "parallel"):
                expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("window.hacked") is None
        assert (visit.complaints, visit.outside) == ([], [])

    def test_leads_from_search_to_search_and_back(self, visit: Visit):
        """The address is the state."""
        page = visit.open("/training")
        expect(page.locator(".nav-link[aria-current]")).to_have_text("Training")
        expect(page.locator("#trials tbody tr")).to_have_count(2)
        expect(page).to_have_url(re.compile("/training$"))

        page.locator("#pick").click()
        page.get_by_role("option", name="rates").click()

        expect(page.locator("#trials tbody tr")).to_have_count(12)
        expect(page).to_have_url(re.compile(r"/training\?search=rates$"))
        page.go_back()
        expect(page.locator("#trials tbody tr")).to_have_count(2)

    def test_gives_the_trials_as_a_file(self, visit: Visit):
        """Of the search that is shown, whatever it is called."""
        page = visit.open("/training")

        with page.expect_download() as arriving:
            page.locator("#csv").click()

        assert arriving.value.path().read_text().startswith("trial,state,accuracy,")

    def test_shows_a_pass_that_was_just_made_and_asks_for_nothing_while_it_is_hidden(
        self, visit: Visit, module_engine: Engine
    ):
        """Progress is visible while it runs; a tab that nobody sees costs nothing."""
        page = visit.open("/training")
        expect(page.locator("h1")).to_contain_text("pass 3 of 10, 55 % right")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))

        page.evaluate(_HIDE, True)
        with transaction(module_engine) as connection:
            running = jobs.find(connection, status="running")[0]
        _pass(module_engine, running, 4)
        page.evaluate("dash_clientside.set_props('tick', {interval: 50})")
        page.wait_for_timeout(500)
        meanwhile = len(asked)
        page.evaluate("dash_clientside.set_props('tick', {interval: 60000})")
        page.evaluate(_HIDE, False)

        expect(page.locator("h1")).to_contain_text("pass 4 of 10, 65 % right", timeout=20_000)
        assert meanwhile == 0
