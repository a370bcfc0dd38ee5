"""Puts the dashboard together: one layout, one callback that draws whatever the address names.

A page is drawn anew from rows at every look, and sent only when it has changed, so an open page
does not flicker and a closed one costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update
from plotly.utils import PlotlyJSONEncoder

from core.clock import open_clock
from core.errors import StoreError
from core.settings import DashboardSettings, HomeSettings
from core.store.database import open_database, transaction
from dashboard import acting, address, responses, routes
from dashboard.door import caller as door
from dashboard.door.entrance import let_owner_in
from dashboard.page import Drawn, House, Look, Page
from dashboard.pages.health import one_class, overview
from dashboard.pages.training import page as training
from dashboard.parts import components
from dashboard.serving import leaving_on_signals, serve

if TYPE_CHECKING:
    from datetime import datetime

    from dashboard.door.caller import Caller
    from dashboard.parts.components import Component

_log = logging.getLogger(__name__)

_ASSETS = Path(__file__).parent / "assets"
# The scheme is set before anything is drawn, so that a dark page does not begin with a flash.
_INDEX = """<!DOCTYPE html>
<html lang="en">
    <head>
        {%metas%}
        <title>{%title%}</title>
        <link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
        <script src="/assets/scheme.js"></script>
        {%css%}
    </head>
    <body>
        {%app_entry%}
        <noscript>The dashboard needs JavaScript.</noscript>
        <footer>
            {%config%}
            {%scripts%}
            {%renderer%}
        </footer>
    </body>
</html>"""
_THEME: Any = {
    "primaryColor": "blue",
    "fontFamily": "var(--font)",
    "headings": {"fontFamily": "var(--font)"},
}


_PAGES: tuple[Page, ...] = (overview.PAGE, one_class.PAGE, training.PAGE)


def create_app(house: House) -> dash.Dash:
    """Return the dashboard of a house."""
    app = dash.Dash(
        "weakspot",
        assets_folder=str(_ASSETS),
        assets_ignore=r"scheme\.js",  # The page loads it earlier than the others.
        index_string=_INDEX,
        title="Weakspot",
        update_title="",
        use_pages=False,
        suppress_callback_exceptions=True,  # Not every page has all of them.
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = _layout(house)
    _connect(app, house)
    acting.connect(app, house, {name: act for page in _PAGES for name, act in page.actions.items()})
    app.server.register_blueprint(routes.blueprint(house.engine))
    for page in _PAGES:
        if page.connect:
            page.connect(app, house)
        if page.routes:
            app.server.register_blueprint(page.routes(house))
    let_owner_in(app.server)
    responses.install(app.server, app.csp_hashes())
    return app


def run(
    home: HomeSettings,
    settings: DashboardSettings,
    *,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return.

    Args:
        home: Where things are.
        settings: The dashboard's knobs.
        on_listening: Told the address as soon as requests are answered.

    Raises:
        UsageError: The address cannot be listened on.
        SchemaError: The database needs `weakspot db upgrade` first.
        StoreError: Postgres cannot be started or reached.
    """

    def announce(url: str) -> None:
        _log.info("listening on %s", url)
        if on_listening:
            on_listening(url)

    with (
        leaving_on_signals(),
        open_database(home.database_url, home.postgres, on_progress=_log.info) as engine,
    ):
        clock = open_clock(home.clock_file)
        app = create_app(House(engine, clock, home.home, settings.days, settings.refresh_s))
        serve(app.server, settings.host, settings.port, announce)


def _layout(house: House) -> Component:
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=1000 * house.refresh_s),
            dcc.Store(id="shown"),
            dcc.Store(id="title"),
            html.Span(id="nowhere", hidden=True),
            dcc.Store(id="acted"),
            components.shell(
                [(page.name, page.path) for page in _PAGES if page.name],
                patience_s=3 * house.refresh_s + 10,
            ),
        ],
        theme=_THEME,
        defaultColorScheme="auto",
    )


def _connect(app: dash.Dash, house: House) -> None:
    @app.callback(
        Output("page", "children"),
        Output("shown", "data"),
        Output("title", "data"),
        Output("heard", "children"),
        Input("address", "pathname"),
        Input("address", "search"),
        Input("tick", "n_intervals"),
        Input("acted", "data"),
        State("shown", "data"),
    )
    def show(
        path: str | None, search: str | None, _tick: int | None, _acted: Any, shown: str | None
    ) -> Any:
        now = house.clock.now()
        drawn = draw(house, path, search, caller=door.current(), now=now)
        digest = _digest(path, drawn)
        content = no_update if digest == shown else drawn.content
        return content, digest, drawn.title, f"{now:%H:%M:%S} UTC"

    app.clientside_callback(
        ClientsideFunction("weakspot", "setTitle"),
        Output("nowhere", "title"),
        Input("title", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("weakspot", "heard"),
        Output("nowhere", "lang"),
        Input("heard", "children"),
    )
    app.clientside_callback(
        ClientsideFunction("weakspot", "open"),
        Output("address", "pathname"),
        Input("matrix", "clickData"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("weakspot", "find"),
        Output("address", "pathname", allow_duplicate=True),
        Input("find", "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("weakspot", "pick"),
        Output("address", "href"),
        Input("pick", "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("weakspot", "setCurrent"),
        Output("nowhere", "className"),
        Input("address", "pathname"),
    )


def draw(
    house: House, path: str | None, search: str | None, *, caller: Caller, now: datetime
) -> Drawn:
    """Return the page that an address names; a page that says why, when there is none."""
    path = path or address.OVERVIEW
    days = address.days_of(search, house.days)
    named = None if days == house.days else days
    page = next((page for page in _PAGES if page.takes(path)), None)
    if page is None:
        return Drawn(
            "Nothing here", components.notice("There is no such page", "Go to the overview.")
        )
    try:
        with transaction(house.engine) as connection:
            return page.draw(Look(connection, path, search, days, named, now, caller))
    except StoreError as error:
        _log.warning("the page %s cannot be drawn: %s", path, error)
        text = (
            "Nothing can be shown until it is back; this page tries again every "
            f"{house.refresh_s} seconds."
        )
        return Drawn("Database away", components.notice("The database does not answer", text))
    except Exception:
        _log.exception("the page %s cannot be drawn", path)
        text = "This is a fault of the dashboard. Its log says more."
        return Drawn("Error", components.notice("This page could not be drawn", text))


def _digest(path: str | None, drawn: Drawn) -> str:
    written = json.dumps([path, drawn.content], cls=PlotlyJSONEncoder, sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()
