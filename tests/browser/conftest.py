"""A real browser: Debian's Chromium, driven by Playwright, without a window."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.screenshots import CHROMIUM, browser
from tests.browser.visit import Visit
from tests.showing import Board

_INSTALL_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives the browser, so that `-m "not browser"` leaves it out."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


# Not of the session: as long as Playwright runs, it holds the thread's event loop, and tests that
# follow these in one process want one of their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser; installed where it is missing and may be, else the test is skipped."""
    if not CHROMIUM.exists():
        _install()
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """What the windows of a module share: the files that need not be fetched and compiled twice."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield context
    context.close()


@pytest.fixture
def visit(profile: BrowserContext, board: Board) -> Iterator[Visit]:
    """A fresh browser window on the dashboard that the module's own `board` runs."""
    page = profile.new_page()
    yield Visit(page, board.url)
    # The next one is somebody else: nobody has signed in, chosen a scheme, or left an answer.
    forgotten = {"origin": board.url, "storageTypes": "cookies,local_storage,indexeddb"}
    profile.new_cdp_session(page).send("Storage.clearDataForOrigin", forgotten)
    for each in profile.pages:
        each.close()


def _install() -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        pytest.skip(f"no Chromium at {CHROMIUM}, and only root with apt-get could install it")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            [apt, *command], env=environment, capture_output=True, timeout=_INSTALL_S, check=False
        )
        if done.returncode != 0:
            pytest.skip(
                f"apt-get {command[0]} failed: {done.stderr.decode(errors='replace')[-300:]}"
            )
    if not Path(CHROMIUM).exists():
        pytest.skip(f"the package chromium brought no {CHROMIUM}")
