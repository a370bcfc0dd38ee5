"""A picture is tried out in a real browser: on the server, and in the browser alone."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from core.bundle.runner import Runner
from core.images.decode import decode
from core.images.preprocess import preprocess
from tests import pool
from tests.board import HOSTILE
from tests.browser.visit import Visit
from tests.images import jpeg, photo, png, webp
from tests.showing import Board, showing
from tests.tiny import picture

LABELS = ("Bear", "Cat", "Dog", HOSTILE)
READY_MS = 90_000
_ASK = """async ([bytes, type]) => {
    const raw = Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0));
    const said = await window.weakspotTry.offline.ask(new Blob([raw], {type}));
    return [Array.from(said.probabilities), Array.from(said.tensor)];
}"""
_RESIZE = """async ([bytes, width, height, recipe]) => {
    const {preprocess} = window.weakspotTry.offline;
    const raw = Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0));
    return Array.from(preprocess(raw, width, height, recipe));
}"""


@pytest.fixture(scope="module")
def home(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion with a hostile name among its classes."""
    folder = tmp_path_factory.mktemp("try")
    pool.register(module_engine, folder / "bundles", labels=LABELS)
    return folder


@pytest.fixture(scope="module")
def board(module_engine: Engine, home: Path) -> Iterator[Board]:
    """A dashboard of it."""
    with showing(module_engine, home, now=pool.night_after(1).now()) as board:
        yield board


@pytest.fixture(scope="module")
def visit(chromium: Browser, board: Board) -> Iterator[Visit]:
    """One window for all: the model is fetched once."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield Visit(context.new_page(), board.url)
    context.close()


def _offline(visit: Visit) -> Page:
    visit.page.goto(f"{visit.base}/try/offline")
    expect(visit.page.locator("#try-kept")).to_be_visible(timeout=READY_MS)
    return visit.page


def _files() -> Iterator[tuple[bytes, str]]:
    """Thirty pictures: drawn and smooth ones of many sizes, three formats, some lying on a side."""
    sizes = [(32, 32), (64, 40), (41, 97), (200, 150), (16, 16), (12, 300)]
    for i in range(30):
        height, width = sizes[i % len(sizes)]
        drawn = picture(LABELS[i % len(LABELS)], labels=LABELS, size=(height, width), seed=i)
        pixels = photo(width, height, seed=i) if i % 5 == 4 else drawn
        if i % 3 == 0:
            yield jpeg(pixels, quality=95, exif_orientation=6 if i % 2 else None), "image/jpeg"
        elif i % 3 == 1:
            yield png(pixels), "image/png"
        else:
            yield webp(pixels), "image/webp"


class TestServer:
    """The page /try."""

    def test_answers_a_picture_that_is_chosen_and_one_that_is_dropped(
        self, visit: Visit, tmp_path: Path
    ):
        """With bars, what it rests on, and names as text."""
        page = visit.open("/try")
        path = tmp_path / "hostile.png"
        path.write_bytes(png(picture(HOSTILE, labels=LABELS, size=(48, 64), seed=1)))
        page.locator(".try-file").first.set_input_files(path)

        expect(page.locator(".try-first bdi")).to_have_text(HOSTILE)
        expect(page.locator(".try-bars li")).to_have_count(4)
        expect(page.locator(".try-slider, .try-looked .empty")).to_be_visible(timeout=READY_MS)
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_viewport_size({"width": 1440, "height": 900})
        _drop(page, "text/plain", b"no picture")
        expect(page.locator(".try-bad")).to_contain_text("JPEG")
        assert page.evaluate("window.hacked") is None
        # The browser says of every 4xx that there was one.
        assert [each for each in visit.complaints if "415" not in each] == []
        visit.complaints.clear()

    def test_takes_a_lesson(self, visit: Visit):
        """Pasted, corrected, kept."""
        page = visit.open("/try")
        _paste(page, jpeg(photo(80, 60, seed=21)))
        field, button = page.locator(".try-label"), page.locator("form.try-wrong button")
        expect(field).to_be_visible(timeout=READY_MS)

        field.fill("Unicorn")
        expect(button).to_be_disabled()
        field.fill("Bear")
        button.click()

        expect(page.locator(".try-told")).to_contain_text("learns it as Bear")
        assert (visit.complaints, visit.outside) == ([], [])


class TestOffline:
    """The page /try/offline."""

    def test_answers_as_the_service_does(self, visit: Visit, home: Path):
        """Thirty pictures: the same class each time, and nearly the same probabilities."""
        page = _offline(visit)
        runner = Runner.open(home / "bundles" / "v1", "cpu", threads=1)
        farthest = pixels = 0.0
        for data, kind in _files():
            tensor = preprocess(decode(data), runner.recipe)
            expected = runner.run(tensor[np.newaxis]).probabilities[0]

            found, seen = page.evaluate(_ASK, [base64.b64encode(data).decode(), kind])

            assert np.argmax(found) == np.argmax(expected)
            farthest = max(farthest, float(np.abs(np.array(found) - expected).max()))
            pixels = max(pixels, float(np.abs(np.array(seen) - tensor.ravel().astype(int)).max()))

        assert farthest < 0.02
        assert pixels <= 2
        assert (visit.complaints, visit.outside) == ([], [])

    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("resize", [None, 40])
    def test_resizes_as_pillow_does(self, visit: Visit, interpolation: str, resize: int | None):
        """To the last bit, shrinking and stretching."""
        page = visit.page if "offline" in visit.page.url else _offline(visit)
        from core.images.preprocess import Recipe

        recipe = Recipe(32, 24, resize, interpolation)  # pyright: ignore[reportArgumentType]
        for width, height in ((97, 61), (20, 31), (300, 45)):
            image = photo(width, height, seed=width)
            rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
            raw = base64.b64encode(rgba.tobytes()).decode()

            found = page.evaluate(_RESIZE, [raw, width, height, recipe.to_dict()])

            expected = preprocess(image, recipe).ravel()
            assert np.abs(np.array(found) - expected.astype(int)).max() == 0

    def test_works_when_the_server_has_gone(self, visit: Visit, board: Board):
        """The last test here: nobody answers any more, and the page is loaded anew."""
        page = _offline(visit)
        board.process.terminate()
        board.process.wait(20)

        page.reload()
        expect(page.locator(".try-file").first).to_be_attached(timeout=READY_MS)
        page.locator(".try-file").first.set_input_files(
            {
                "name": "dog.jpg",
                "mimeType": "image/jpeg",
                "buffer": jpeg(picture("Dog", labels=LABELS, size=(60, 80), seed=4)),
            }
        )

        expect(page.locator(".try-first bdi")).to_have_text("Dog", timeout=READY_MS)
        expect(page.locator("#try-forget")).to_be_visible(timeout=READY_MS)
        page.locator("#try-forget").click()
        expect(page.locator("#try-kept-words")).to_contain_text("Nothing is kept")


def _drop(page: Page, kind: str, data: bytes) -> None:
    page.evaluate(
        """([bytes, type]) => {
            const raw = Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([raw], 'dropped', {type}));
            const options = {bubbles: true, cancelable: true, dataTransfer: carried};
            document.querySelector('.try-drop').dispatchEvent(new DragEvent('drop', options));
        }""",
        [base64.b64encode(data).decode(), kind],
    )


def _paste(page: Page, data: bytes) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "PNG")
    page.evaluate(
        """(bytes) => {
            const raw = Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([raw], 'pasted.png', {type: 'image/png'}));
            const options = {bubbles: true, cancelable: true, clipboardData: carried};
            document.dispatchEvent(new ClipboardEvent('paste', options));
        }""",
        base64.b64encode(file.getvalue()).decode(),
    )
