"""Take the pictures that the documentation shows, from a dashboard that is running.

    python tests/browser/screenshots.py http://127.0.0.1:8050 docs/img

writes `overview.png`, `class.png` and `training.png`: 1440 pixels wide, light, the class being
the worst one.
With `--all` each page is taken at 1440 and 390 pixels in both colour schemes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DRAWN_MS = 30_000


@contextmanager
def browser() -> Iterator[Browser]:
    """Run Debian's Chromium without a window until the block ends."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield launched
        finally:
            launched.close()


def wait_until_drawn(page: Page) -> None:
    """Wait until the verdict is there, every chart is drawn and every picture has come."""
    page.wait_for_selector("#verdict", timeout=DRAWN_MS)
    page.wait_for_function(
        """() => {
            const charts = [...document.querySelectorAll('.chart')];
            const pictures = [...document.images];
            const drawn = '.main-svg .xtick, .main-svg .ytick, .main-svg .bars';
            return charts.every(c => c.querySelector(drawn))
                && pictures.every(p => p.complete);
        }""",
        timeout=DRAWN_MS,
    )


def shoot(chromium: Browser, url: str, file: Path, *, width: int, scheme: Scheme) -> None:
    """Write a picture of a whole page."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    wait_until_drawn(page)
    page.screenshot(path=file, full_page=True)
    context.close()


def worst_class(chromium: Browser, url: str) -> str:
    """Return the address of the class that stands on top."""
    page = chromium.new_page()
    page.goto(url)
    wait_until_drawn(page)
    path = page.locator("#classes [row-index='0'] a").first.get_attribute("href")
    page.close()
    if path is None:
        raise SystemExit(f"{url} shows no class yet")
    return url.rstrip("/") + path


def main(arguments: list[str]) -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--label", help="class of the second page; else the worst one")
    parser.add_argument("--all", action="store_true", help="both widths, both schemes")
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        chosen = (
            f"{asked.url.rstrip('/')}/class/{quote(asked.label, safe='')}" if asked.label else ""
        )
        pages = {
            "overview": asked.url,
            "class": chosen or worst_class(chromium, asked.url),
            "training": f"{asked.url.rstrip('/')}/training",
        }
        for name, url in pages.items():
            if not asked.all:
                shoot(chromium, url, asked.folder / f"{name}.png", width=1440, scheme="light")
                continue
            for width in (1440, 390):
                for scheme in ("light", "dark"):
                    file = asked.folder / f"{name}-{width}-{scheme}.png"
                    shoot(chromium, url, file, width=width, scheme=scheme)


if __name__ == "__main__":
    main(sys.argv[1:])
