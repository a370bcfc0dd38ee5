"""Take a picture of every page, for the documentation and to be looked at.

    python -m tests.browser.screenshots docs/img/pages

tells a story on a database of its own (tests.browser.scene), and writes each page at 1440 and 390
pixels, light and dark: `overview-1440-light.png` and so on. It takes some minutes. `--only
class,drift` takes these pages alone; `--keep FOLDER` leaves the story's home there, and takes the
pictures of it the next time without telling it again.

Pictures have few colours and are at most 4,000 pixels high, to stay small in the repository.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

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
    """Wait until the verdict, every chart, every picture and the rows of the table are there."""
    page.wait_for_selector("#verdict", timeout=DRAWN_MS)
    page.wait_for_function(
        """() => {
            const charts = [...document.querySelectorAll('.chart')];
            const pictures = [...document.images];
            const drawn = '.main-svg .xtick, .main-svg .ytick, .main-svg .bars';
            return charts.every(c => c.querySelector(drawn))
                && pictures.every(p => p.complete) && !document.querySelector('[aria-busy=true]');
        }""",
        timeout=DRAWN_MS,
    )


def _nothing(_page: Page) -> None:
    """Most pages need no hand."""


def _await_picture(page: Page) -> None:
    expect(page.locator(".inbox-choice").first).to_be_visible()
    page.wait_for_function("() => document.querySelector('.inbox-picture')?.naturalWidth > 0")


def _preview(page: Page) -> None:
    page.locator("#rules-budget").fill("0.6")
    page.locator("#rules-preview").click()
    expect(page.locator("#rules-would")).to_be_visible(timeout=DRAWN_MS)


def _try_picture(page: Page) -> None:
    """Ask about half an elephant, and wait for what the answer rests on."""
    from tests.browser import scene

    page.locator(".try-file").first.set_input_files(
        {"name": "half.png", "mimeType": "image/png", "buffer": scene.picture_to_try()}
    )
    shown = page.locator(".try-slider, .try-looked .empty")
    expect(shown).to_be_visible(timeout=3 * DRAWN_MS)


@dataclass(frozen=True, slots=True)
class Shot:
    """A page: where it is, and what is done on it before its picture is taken."""

    path: str
    prepare: Callable[[Page], None] = _nothing


SHOTS: Mapping[str, Shot] = {
    "overview": Shot("/"),
    "class": Shot("/class/Elephant"),
    "inbox": Shot("/inbox", _await_picture),
    "drift": Shot("/drift?check=brightness"),
    "models": Shot("/models"),
    "comparison": Shot("/models?a=v1&b=v2"),
    "training": Shot("/training"),
    "search": Shot("/training?search=learning-rates&job=1"),
    "alerts": Shot("/alerts"),
    "alert": Shot("/alerts?alert=1"),
    "rules": Shot("/alerts?rules=2", _preview),
    "try": Shot("/try", _try_picture),
    "system": Shot("/system"),
    "formulas": Shot("/formulas"),
    "sign-in": Shot("/sign-in"),
}
WIDTHS = (1440, 390)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
HIGHEST_PX = 4_000
GOAL_BYTES = 100_000
MOST_BYTES = 200_000  # Pages full of pictures or points are larger than the goal.


def save(picture: bytes, file: Path) -> int:
    """Write a PNG with as many colours as stay small, and return its size in bytes."""
    image = Image.open(io.BytesIO(picture), formats=("PNG",)).convert("RGB")
    for colours in (256, 128, 64):
        reduced = image.quantize(palette=_palette(image, colours), dither=Image.Dither.NONE)
        reduced.save(file, optimize=True)
        if file.stat().st_size <= GOAL_BYTES:
            break
    return file.stat().st_size


def _palette(image: Image.Image, colours: int) -> Image.Image:
    """Return a picture whose palette suits this one.

    Half of it are the commonest colours as they are, or grounds would change a little. The others
    cover what is rare: a page is mostly grey, and orange is what it is about.
    """
    counted = sorted(image.getcolors(image.width * image.height) or [], reverse=True)
    exact = [colour for _, colour in counted[: colours // 2]]
    rare = image.quantize(colours - len(exact), method=Image.Quantize.MAXCOVERAGE)
    chosen = Image.new("P", (1, 1))
    chosen.putpalette([*itertools.chain(*exact), *(rare.getpalette() or [])][: 3 * colours])
    return chosen


def take(window: BrowserContext, base: str, name: str, file: Path) -> int:
    """Take the picture of a page, and return the file's size in bytes."""
    page, shot = window.new_page(), SHOTS[name]
    page.goto(base + shot.path)
    if name == "sign-in":
        page.wait_for_selector("form")
    else:
        wait_until_drawn(page)
    shot.prepare(page)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(300)  # Charts take their place a moment after they are drawn.
    width = (page.viewport_size or {"width": WIDTHS[0]})["width"]
    wide, high = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert wide <= width, f"{name} scrolls sideways: {wide} of {width} pixels"
    part: Any = {"x": 0, "y": 0, "width": width, "height": min(high, HIGHEST_PX)}
    taken = page.screenshot(full_page=True, clip=part, animations="disabled")
    page.close()
    return save(taken, file)


def sign_in(window: BrowserContext, base: str, key: str) -> None:
    """Sign in with a key, for all pages of a window."""
    page = window.new_page()
    page.goto(f"{base}/sign-in")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    wait_until_drawn(page)
    page.close()


@contextmanager
def _story(kept: Path | None) -> Iterator[tuple[str, str]]:
    """Run a dashboard over the story until the block ends; gives its address and a key."""
    from core.store import database, embedded
    from tests.browser import scene
    from tests.showing import showing

    home = kept or Path(tempfile.mkdtemp(prefix="weakspot-pages-"))
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)  # Root's Postgres runs as another user, who must get in.
    written = home / "key"
    with embedded.connect(home / "postgres") as server:
        engine = database.create_engine(server.url)
        if not written.exists():
            database.upgrade(server.url)
            written.write_text(scene.tell(engine, home), encoding="ascii")
        # The story's channel is on this machine, and its rules are looked through for a preview.
        os.environ["WEAKSPOT_ALERTS_NETWORKS"] = scene.HERE
        with showing(engine, home, now=scene.NOW, require_keys="true") as board:
            yield board.url, written.read_text(encoding="ascii")
        engine.dispose()
    if kept is None:
        shutil.rmtree(home)


def main(arguments: list[str]) -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="names of pages, with commas; all of them otherwise")
    parser.add_argument("--keep", type=Path, help="home of the story, made if it is not there")
    asked = parser.parse_args(arguments)
    names = asked.only.split(",") if asked.only else list(SHOTS)
    asked.folder.mkdir(parents=True, exist_ok=True)
    with _story(asked.keep) as (base, key), browser() as chromium:
        for width in WIDTHS:
            for scheme in SCHEMES:
                size: Any = {"width": width, "height": 900}
                window = chromium.new_context(viewport=size, color_scheme=scheme)
                # The sign-in comes before anybody has signed in.
                for name in sorted(names, key=lambda each: each != "sign-in"):
                    if name != "sign-in" and not window.cookies():
                        sign_in(window, base, key)
                    file = asked.folder / f"{name}-{width}-{scheme}.png"
                    size_bytes = take(window, base, name, file)
                    print(f"{file.name}: {size_bytes // 1000} kB", file=sys.stderr)  # noqa: T201
                window.close()


if __name__ == "__main__":
    main(sys.argv[1:])
