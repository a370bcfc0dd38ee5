"""A look at a page in a real browser, and whatever went wrong meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Request

from tests.browser.screenshots import wait_until_drawn


@dataclass
class Visit:
    """A page, and what it did that it should not have done."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)

    def open(self, path: str) -> Page:
        """Go to a path, and wait until everything on it is drawn."""
        self.page.goto(self.base + path)
        wait_until_drawn(self.page)
        return self.page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self.base + "/", "data:", "blob:")):
            self.outside.append(request.url)
