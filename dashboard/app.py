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
from core.settings import AlertSettings, DashboardSettings, HomeSettings
from core.store.database import open_database, transaction
from dashboard import acting, address, finding, problems, responses, routes
from dashboard.door import caller as door
from dashboard.door import entrance, sign_in
from dashboard.door.entrance import Locks
from dashboard.door.keyring import Keyring, require_some_key
from dashboard.door.rules import Rules, rules_for
from dashboard.door.secret import kept_secret
from dashboard.door.sessions import Signer
from dashboard.index import IndexedDash
from dashboard.page import Drawn, House, Look, Page
from dashboard.pages.alerts import page as alerts
from dashboard.pages.drift import page as drift
from dashboard.pages.health import formulas, one_class, overview
from dashboard.pages.inbox import page as inbox
from dashboard.pages.models import page as models
from dashboard.pages.system import page as system
from dashboard.pages.training import page as training
from dashboard.pages.tryout import page as tryout
from dashboard.parts import components, frame, picker
from dashboard.parts.moment import moment
from dashboard.serving import LARGEST_BODY, leaving_on_signals, serve

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask

    from dashboard.door.caller import Caller
    from dashboard.parts.components import Component

_log = logging.getLogger(__name__)

_ASSETS = Path(__file__).parent / "assets"
_THEME: Any = {
    "primaryColor": "blue",
    "fontFamily": "var(--font)",
    "headings": {"fontFamily": "var(--font)"},
}


_PAGES: tuple[Page, ...] = (
    overview.PAGE,
    one_class.PAGE,
    formulas.PAGE,
    inbox.PAGE,
    drift.PAGE,
    models.PAGE,
    training.PAGE,
    alerts.PAGE,
    tryout.PAGE,
    system.PAGE,
)


def create_app(house: House, rules: Rules | None = None) -> dash.Dash:
    """Return the dashboard of a house.

    Args:
        house: What all pages share.
        rules: How its door is kept; None for this machine alone, without keys.

    Raises:
        UsageError: Callers need keys, and the secret of their sessions cannot be kept.
    """
    rules = rules or Rules()
    app = IndexedDash(
        _PAGES,
        assets_folder=str(_ASSETS),
        assets_ignore=r"scheme\.js",  # The page loads it earlier than the others.
        title="Weakspot",
        update_title="",
        use_pages=False,
        suppress_callback_exceptions=True,  # Not every page has all of them.
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = lambda: _layout(house, keys=rules.keys)  # It names who is signed in.
    _connect(app, house)
    acting.connect(app, house, {name: act for page in _PAGES for name, act in page.actions.items()})
    app.server.register_blueprint(routes.blueprint(house.engine))
    app.server.register_blueprint(finding.blueprint(house.engine))
    for page in _PAGES:
        if page.connect:
            page.connect(app, house)
        if page.routes:
            app.server.register_blueprint(page.routes(house))
    _close(app.server, house, rules)
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
        UsageError: The address cannot be listened on, or callers need keys and there are none.
        SchemaError: The database needs `weakspot db upgrade` first.
        StoreError: Postgres cannot be started or reached.
    """
    rules = rules_for(
        settings.host,
        require_keys=settings.require_keys,
        hosts=settings.hosts,
        https=settings.https,
    )

    def announce(url: str) -> None:
        _log.info("listening on %s", url)
        if on_listening:
            on_listening(url)

    with (
        leaving_on_signals(),
        open_database(home.database_url, home.postgres, on_progress=_log.info) as engine,
    ):
        clock = open_clock(home.clock_file)
        if rules.keys:
            require_some_key(engine, host=settings.host, now=clock.now())
        house = House(
            engine,
            clock,
            home.home,
            days=settings.days,
            refresh_s=settings.refresh_s,
            labels_a_day=settings.labels_a_day,
            networks=AlertSettings().networks,  # pyright: ignore[reportCallIssue] - the environment
        )
        app = create_app(house, rules)
        serve(app.server, settings.host, settings.port, announce)


def _close(server: Flask, house: House, rules: Rules) -> None:
    """Give a server its door."""
    server.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    problems.install(server)
    locks = None
    if rules.keys:
        locks = Locks(Keyring(house.engine, house.clock), Signer(kept_secret(house.home)))
        server.register_blueprint(sign_in.blueprint(house.engine, house.clock, locks, rules))
    entrance.install(server, rules, locks, house.clock)


def _layout(house: House, *, keys: bool) -> Component:
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=1000 * house.refresh_s),
            dcc.Store(id="shown"),
            dcc.Store(id="title"),
            html.Span(id="nowhere", hidden=True),
            dcc.Store(id="acted"),
            frame.shell(
                [(page.name, page.path) for page in _PAGES if page.name],
                patience_s=3 * house.refresh_s + 10,
                signed_in=door.current().shown if keys else None,
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
        return content, digest, drawn.title, moment(now, f"{now:%H:%M:%S} UTC")

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
    picker.connect(app)
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
