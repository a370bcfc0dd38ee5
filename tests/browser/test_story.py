"""The story walked by somebody with a browser: from what is wrong to a champion that is right.

Nothing in it is played. A tiny network is trained on drawn pictures, real days are examined, and
the pictures to be labelled were sent to a running service. Only the calendar is moved, and the
worker is called by the test where an operator has one running all the time. It would promote what
passes the gate by itself; here the gate is told of a latency that nothing keeps to, so it refuses,
and somebody who has compared both versions promotes the new one by force.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import Engine

from core.clock import FixedClock, ShiftedClock, day_bounds
from core.store import audit, jobs, keys, registry
from core.store.database import transaction
from core.store.keys import Grant
from monitor import daily
from monitor.page import MonitorOptions
from tests.browser.screenshots import wait_until_drawn
from tests.browser.visit import Visit
from tests.images import png
from tests.integration.training.test_loop import OPTIONS as OF_THE_LOOP
from tests.serving import serving
from tests.showing import showing
from tests.training import NOW, add, colour, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.worker import Worker

WEAK = "Red"
DAYS = 3
SENT = 60  # pictures of the weak class, of which about half may be asked about
WATCH = MonitorOptions(per_class=8, adaptive=False, drift_rows=50, report_days=0)
# A latency that nothing keeps to leaves the last word to a person; no label is doubted.
OPTIONS = replace(OF_THE_LOOP, max_latency_ratio=0.001, max_held_back=0.0)
WORKER_S = 60_000
NIGHT = day_bounds(NOW.date() + timedelta(days=DAYS))[1] + timedelta(hours=2)


@dataclass
class World:
    """A model in trouble, whoever runs it, and a browser."""

    engine: Engine
    home: Path
    service: httpx.Client
    visit: Visit
    key: str

    @property
    def page(self) -> Page:
        """The window."""
        return self.visit.page

    def work(self) -> None:
        """Let a worker carry out the job that waits."""
        worker = Worker(
            self.engine,
            options=OPTIONS,
            lease_s=600,
            max_attempts=1,
            bundles=self.home / "bundles",
            runs=self.home / "runs",
            clock=ShiftedClock(self.home / "shift"),
            name="worker",
            work={"retrain": pipeline.retrain},
        )
        assert worker.run_once(threading.Event())

    def champion(self) -> str:
        """Return which version serves, as the registry has it."""
        with transaction(self.engine) as connection:
            serving = registry.champion(connection)
        assert serving is not None
        return serving.version


@pytest.fixture
def world(chromium: Browser, engine: Engine, tmp_path: Path) -> Iterator[World]:
    """Reds have been dull for two days, and Ann has a key."""
    _train_and_examine(engine, tmp_path)
    with transaction(engine) as connection:
        _, key = keys.create(connection, "ann", Grant(("admin",)), by="test", now=NIGHT)
    knobs = {"require_keys": "true", "refresh_s": "1"}
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    with (
        showing(engine, tmp_path, now=NIGHT, **knobs) as board,
        serving(
            engine, tmp_path, clock=ShiftedClock(tmp_path / "shift"), keep_share=1.0
        ) as service,
    ):
        for number in range(SENT):
            picture = png(colour(WEAK, 90_000 + number, dull=True))
            assert service.post("/v1/predict", content=picture).status_code == 200
        yield World(engine, tmp_path, service, Visit(context.new_page(), board.url), key)
    context.close()


def _train_and_examine(engine: Engine, home: Path) -> None:
    """Train v1, and examine days on which it meets Reds that it has not seen the like of."""
    add(engine, home / "pool", per_side={"train": 12, "val": 8, "test": 20})
    folders = {"bundles": home / "bundles", "runs": home / "runs"}
    pipeline.train(engine, tiny_config(tiny_backbone(home)), **folders, clock=FixedClock(NOW))
    for number in range(1, DAYS + 1):
        day = NOW.date() + timedelta(days=number)
        start, end = day_bounds(day)
        for label in ("Blue", "Green", "Red"):
            add(
                engine,
                home / f"day{number}",
                [label],
                per_side={"test": 8},
                now=start + timedelta(hours=10),
                dull=label == WEAK and number > 1,
                first=100 * number,
            )
        night = FixedClock(end + timedelta(hours=2))
        daily.run(engine, day, options=WATCH, clock=night, holder="t", reports=home / "reports")


def test_from_a_weak_class_to_a_better_champion(world: World):
    """Overview, class, wrong images, five labels, retraining, comparison, promotion."""
    world.work()  # What the monitor asked for: it had nothing to learn from.
    _sign_in(world)
    _see_what_is_wrong(world)
    _look_at_a_wrong_image(world.page)
    _label_five(world)
    _ask_for_a_retraining(world)
    _compare(world)
    _promote(world)
    _see_that_it_serves(world)

    assert _deeds(world.engine) == [
        ("trainer", "promote"),
        ("monitor", "raise alert"),
        ("test", "create key"),
        ("key:ann", "sign in"),
        *[("key:ann", "inbox labelled")] * 5,
        ("key:ann", "ask for a retraining"),
        ("key:ann", "promote"),
    ]
    assert (world.visit.complaints, world.visit.outside) == ([], [])


def _sign_in(world: World) -> None:
    """The only address that is typed."""
    page = world.page
    page.goto(world.visit.base)
    page.get_by_label("API key").fill(world.key)
    page.keyboard.press("Enter")

    wait_until_drawn(page)
    expect(page.locator(".person-name")).to_have_text("ann")


def _see_what_is_wrong(world: World) -> None:
    page = world.page
    expect(page.locator("h1")).to_have_text(
        re.compile(rf"1 of 3 classes needs attention: {WEAK} since 3 Mar, .+ sure, now mistaken")
    )
    expect(_tile(page, "Champion")).to_contain_text("v1")
    page.locator("h1").get_by_role("link", name=WEAK).click()

    expect(page.locator("h1")).to_contain_text(f"{WEAK} needs attention")
    short = _record(page, "Retraining 1")
    expect(short.locator(".badge")).to_have_text("more images")
    expect(short).to_contain_text(f"5 more new training images of {WEAK} must be labelled")
    wait_until_drawn(page)


def _look_at_a_wrong_image(page: Page) -> None:
    """The pictures came, and one of them opens by itself."""
    wrong = page.locator(".gallery li")
    expect(wrong.first.locator(".said")).to_contain_text(f"{WEAK} called ")
    widths = wrong.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert widths
    assert set(widths) == {20}

    with page.expect_popup() as opening:
        wrong.first.locator("a").first.click()
    expect(opening.value.locator("img")).to_be_visible()
    opening.value.close()


def _label_five(world: World) -> None:
    """By the number that stands beside the class, whichever that is for a picture."""
    page = world.page
    page.get_by_role("link", name="Label more").click()
    expect(page.locator("h1")).to_have_text(f"Label inbox: {WEAK}")
    for done in range(5):
        choice = page.locator(".inbox-choice", has=page.get_by_text(WEAK, exact=True))
        expect(choice).to_be_visible()
        shown = page.locator(".inbox-picture")
        before = shown.get_attribute("src")
        page.keyboard.press(choice.locator("kbd").inner_text())
        expect(shown).not_to_have_attribute("src", before or "")
        expect(page.locator("#inbox-progress")).to_contain_text(f"{done + 1} of 20 today")

    expect(page.locator("#inbox-lately li")).to_have_count(5)
    expect(page.locator("#inbox-lately li").first).to_contain_text(WEAK)


def _ask_for_a_retraining(world: World) -> None:
    page = world.page
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#home").click()
    page.locator("h1").get_by_role("link", name=WEAK).click()
    page.get_by_role("button", name="Retrain").click()
    expect(page.locator("#said")).to_have_text(
        f"Retraining 2 of {WEAK} is queued; a worker picks it up."
    )
    record = _record(page, "Retraining 2")
    expect(record.locator(".badge")).to_have_text("queued")

    world.work()

    # Nobody has pressed reload.
    expect(record.locator(".badge")).to_have_text("refused", timeout=WORKER_S)
    expect(record).to_contain_text("v2 was made from v1")
    with transaction(world.engine) as connection:
        job = jobs.get(connection, 2)
    assert job.requested_by == "key:ann"
    assert job.result is not None
    assert job.result["new_images"][WEAK]["train"] == 5


def _compare(world: World) -> None:
    page = world.page
    page.get_by_role("link", name="Compare it with v1").click()

    expect(page.locator("h1")).to_contain_text("v2 is better than v1")
    row = page.locator("#compared tbody tr", has_text=WEAK)
    expect(row).to_contain_text(re.compile(r"\+\d+\.\d"))
    expect(page.locator("#two .main-svg").first).to_be_visible()


def _promote(world: World) -> None:
    """By force: with a reason, and the name typed, after a question."""
    page = world.page
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("link", name="Promote v2").click()
    expect(page.locator("h1")).to_have_text("The gate has not passed v2 against v1")
    assert world.champion() == "v1"
    page.locator("#model-reason").fill("it knows dull Reds")
    page.locator("#model-typed").fill("v2")
    page.locator("#model-promote").click()

    expect(page.locator("h1")).to_have_text("v2 serves")
    expect(page.locator(".verdict")).to_contain_text("key:ann: by force: it knows dull Reds")


def _see_that_it_serves(world: World) -> None:
    """The registry, the overview and the service say the same."""
    page = world.page
    page.locator("#home").click()
    expect(_tile(page, "Champion")).to_contain_text("v2")
    expect(page.locator(".events")).to_contain_text("v2 became champion")
    for _ in range(200):
        if world.service.get("/v1/model").json()["version"] == "v2":
            break
        page.wait_for_timeout(100)

    assert world.champion() == "v2"
    assert world.service.get("/v1/model").json()["version"] == "v2"


def _record(page: Page, title: str) -> Locator:
    return page.locator(".record", has=page.locator("p.strong", has_text=title))


def _tile(page: Page, name: str) -> Locator:
    return page.locator(".tile", has=page.locator("dt", has_text=name))


def _deeds(engine: Engine) -> list[tuple[str, str]]:
    """Return who did what, the oldest first."""
    with transaction(engine) as connection:
        deeds = audit.latest(connection)[::-1]
    return [(each.by, each.action) for each in deeds]
