"""The documentation's pictures of the dashboard: every page is there, and none is large."""

import re
from pathlib import Path

import pytest

from tests.browser.screenshots import MOST_BYTES, SCHEMES, SHOTS, WIDTHS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = DOCS / "img" / "pages"
WRITTEN = {f"{name}-{w}-{scheme}.png" for name in SHOTS for w in WIDTHS for scheme in SCHEMES}


class TestPictures:
    """docs/img/pages, as `python -m tests.browser.screenshots docs/img/pages` writes it."""

    def test_are_of_every_page_in_both_widths_and_schemes(self):
        """A page that was renamed leaves no picture behind, and a new one has its own."""
        assert {file.name for file in PAGES.iterdir()} == WRITTEN

    def test_stay_small(self):
        """A repository keeps every version of each."""
        large = [each.name for each in PAGES.iterdir() if each.stat().st_size > MOST_BYTES]

        assert large == []

    @pytest.mark.parametrize("name", SHOTS)
    def test_are_named_in_the_dashboards_documentation(self, name: str):
        """A picture that nobody is led to is not looked at."""
        text = (DOCS / "dashboard.md").read_text(encoding="utf-8")

        assert re.search(rf"\(img/pages/{name}-1440-light\.png\)", text)
