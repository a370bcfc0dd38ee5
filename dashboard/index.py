"""The page that a browser asks for first, whatever its address: what it fetches, and how early.

Dash fetches what draws charts and tables once the first of them is to be drawn, when everything
else has come and run. Pages that always have some name it here: it comes beside everything else,
and assets/dashboard.js runs it while the server draws the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dash
import plotly
from dash.fingerprint import build_fingerprint
from flask import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboard.page import Page

_EARLY = "<!-- early -->"
# The scheme is set before anything is drawn, so that a dark page does not begin with a flash.
_INDEX = f"""<!DOCTYPE html>
<html lang="en">
    <head>
        {{%metas%}}
        <title>{{%title%}}</title>
        <link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
        <script src="/assets/scheme.js"></script>
        {{%css%}}
        {_EARLY}
    </head>
    <body>
        {{%app_entry%}}
        <noscript>The dashboard needs JavaScript.</noscript>
        <footer>
            {{%config%}}
            {{%scripts%}}
            {{%renderer%}}
        </footer>
    </body>
</html>"""
_SUITES = "/_dash-component-suites/"
# As Dash names them where it asks for them itself: another name would fetch them twice.
_CHART = _SUITES + "dash/dcc/async-graph.js"
_GRID = _SUITES + "dash_ag_grid/async-community.js"
_PLOTLY = "package_data/plotly.min.js"


class IndexedDash(dash.Dash):
    """Dash with an index of our own."""

    def __init__(self, pages: Sequence[Page], **options: Any) -> None:
        """Create it.

        Args:
            pages: Those of the dashboard.
            options: What `dash.Dash` takes.
        """
        super().__init__("weakspot", index_string=_INDEX, **options)
        self._pages = pages

    # Dash calls it by name, and its documentation overrides it so.
    def interpolate_index(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, **parts: str
    ) -> str:
        """Return the index for the address that is asked for."""
        early = "\n        ".join(self._early(request.path))
        return super().interpolate_index(**parts).replace(_EARLY, early)

    def _early(self, path: str) -> list[str]:
        page = next((page for page in self._pages if page.takes(path)), None)
        links: list[str] = []
        if page and page.charts:
            links += [_link(_CHART), _link(_plotly_address(), ' id="charts-library"')]
        if page and page.grid:
            links.append(_link(_GRID))
        return links


def _link(address: str, more: str = "") -> str:
    # What every page needs before it can ask for its content comes first.
    return f'<link rel="preload" as="script" fetchpriority="low" href="{address}"{more}>'


def _plotly_address() -> str:
    """Return the address of Plotly's file that names its version, so that browsers keep it."""
    changed = (Path(plotly.__file__).parent / _PLOTLY).stat().st_mtime
    return f"{_SUITES}plotly/{build_fingerprint(_PLOTLY, plotly.__version__, int(changed))}"
