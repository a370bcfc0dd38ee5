"""The pages of alerts and of versions in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Request, Route, expect
from sqlalchemy import Engine

from core.store import alert_rules, alerts, audit, class_days, validations
from core.store.alert_policy import AlertRules
from core.store.alerts import NewAlert
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.flags import CHANGE, NewFlag, open_flag
from core.store.validations import Draw
from tests.board import HOSTILE
from tests.browser.visit import Visit
from tests.pool import day, night_after, register
from tests.showing import Board, starting

LABELS = ("Cow", "Dog", HOSTILE)
DAYS = 6
NOW = night_after(DAYS).now()


@pytest.fixture(scope="module")
def board(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """Six days of a class with a hostile name that fell, its alert, and two versions."""
    home = tmp_path_factory.mktemp("board")
    with starting(module_engine, home, now=NOW) as ready:
        _tell(module_engine, home)
        yield ready()


def _tell(engine: Engine, home: Path) -> None:
    reference = {label: {"n": 300, "correct": 285, "confused": {}} for label in LABELS}
    for name in ("v1", "v2"):
        register(
            engine,
            home / "bundles",
            name=name,
            labels=LABELS,
            reference=reference,
            promoted_at=night_after(0).now() if name == "v1" else None,
        )
    with transaction(engine) as connection:
        alert_rules.write(connection, AlertRules(), by="settings", now=night_after(0).now())
        for number in range(1, DAYS + 1):
            drawn = Draw(day(number), "v1", 10, False, night_after(number).now())
            exam = validations.record_draw(connection, drawn, [])
            rows = [
                ClassDay(day(number), "v1", label, 10, _right(label, number), {}, 0, 1)
                for label in LABELS
            ]
            class_days.write(connection, rows)
            validations.finish(connection, exam, status="done", unreadable=0, now=NOW)
        flag = open_flag(connection, NewFlag(CHANGE, HOSTILE, "v1", day(4), day(5), NOW, 5e4, 1e3))
        assert flag is not None
        alerts.raise_alert(
            connection, NewAlert(flag.id, NOW, f"{HOSTILE} is weak", "Body <b>x</b>", None, [])
        )


def _right(label: str, number: int) -> int:
    return 1 if label == HOSTILE and number >= 4 else 10


class TestTheirPages:
    """Every page of both rooms."""

    def test_are_drawn_without_a_complaint_and_fit_in_every_window(self, visit: Visit):
        """Hostile names are text, nothing leaves the machine, nothing scrolls sideways."""
        paths = ["/alerts", "/alerts?alert=1", "/alerts?rules=1", "/alerts?rules=1&against=1"]
        paths += ["/models", "/models?version=v1", "/models?a=v1&b=v2", "/models?promote=v2"]
        for width, scheme in ((1440, "light"), (390, "dark")):
            visit.page.emulate_media(color_scheme=scheme)
            visit.page.set_viewport_size({"width": width, "height": 844})
            for path in paths:
                page = visit.open(path)

                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
                assert page.evaluate("window.hacked") is None
                assert page.locator('#page img[src="x"]').count() == 0
        assert (visit.complaints, visit.outside) == ([], [])


class TestAlerts:
    """From the list to what is done."""

    def test_is_acknowledged_at_a_click_and_says_so(self, visit: Visit):
        """By whoever pressed."""
        page = visit.open("/alerts?state=open")
        page.locator("#alerts tbody a").first.click()
        expect(page).to_have_url(re.compile(r"alert=1$"))

        page.get_by_role("button", name="Acknowledge").click()

        expect(page.locator("#said")).to_have_text("Alert 1 is acknowledged.")
        expect(page.locator(".deeds")).to_contain_text("Acknowledged by")
        expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)

    def test_rules_are_tried_then_saved_and_their_difference_is_shown(
        self, visit: Visit, module_engine: Engine
    ):
        """What they would have raised, before they hold."""
        page = visit.open("/alerts")
        page.locator("#to-rules").click()
        page.locator("#rules-budget").fill("-2")
        page.locator("#rules-preview").click()
        expect(page.locator(".refused")).to_contain_text("budget: ")

        page.locator("#rules-budget").fill("0.6")
        page.locator("#rules-preview").click()
        expect(page.locator("#rules-would")).to_contain_text("would have raised 1 alert")
        expect(page.locator("#would-raise .name")).to_have_text(HOSTILE)
        with page.expect_download() as kept:
            page.locator("#would-raise-csv").click()
        assert kept.value.suggested_filename == "would-raise.csv"
        page.locator("#rules-note").fill("fewer misses")
        page.locator("#rules-save").click()

        expect(page.locator(".difference .put")).to_contain_text('"budget": 0.6')
        expect(page).to_have_url(re.compile(r"rules=2&against=1$"))
        assert visit.complaints == []

    def test_rules_that_are_tried_are_said_to_be(self, visit: Visit):
        """With thousands of classes it takes seconds, in which a page must not seem dead."""
        page = visit.open("/alerts?rules=1")
        held: list[Route] = []

        def is_trial(request: Request) -> bool:
            return '"rules-preview.n_clicks"' in (request.post_data or "")

        def hold(route: Route) -> None:
            held.append(route) if is_trial(route.request) else route.continue_()

        page.route("**/_dash-update-component*", hold)
        expect(page.locator("#rules-computing")).to_be_hidden()
        with page.expect_request(is_trial):
            page.locator("#rules-preview").click()

        expect(page.locator("#rules-computing")).to_be_visible()
        held[0].continue_()
        expect(page.locator("#rules-would")).to_be_visible()
        expect(page.locator("#rules-computing")).to_be_hidden()
        assert visit.complaints == []


class TestModels:
    """The champion moved."""

    def test_by_force_with_the_name_typed(self, visit: Visit, module_engine: Engine):
        """Asked twice, and written down with the reason."""
        page = visit.open("/models?version=v2")
        page.locator("#to-promote").click()
        page.on("dialog", lambda dialog: dialog.accept())
        page.locator("#model-reason").fill("the gate saw too few")
        page.locator("#model-promote").click()
        expect(page.locator(".refused")).to_contain_text("type its name")

        page.locator("#model-typed").fill("v2")
        page.locator("#model-promote").click()

        expect(page.locator("h1")).to_have_text("v2 serves")
        with transaction(module_engine) as connection:
            (deed,) = audit.latest(connection, 1)
        assert (deed.action, deed.subject) == ("promote", "v2")
        assert visit.complaints == []
