"""The system page: does everything run, how fast, and how full is it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from dash import Input, Output, html

from core.errors import StoreError
from core.shown import system
from core.store.database import transaction
from dashboard.door.caller import current
from dashboard.page import Drawn, Page
from dashboard.pages.system import files, panels
from dashboard.pages.system.view import PATH
from dashboard.pages.system.words import bytes_text, verdict
from dashboard.parts import components as parts
from dashboard.parts.guarding import guarded
from dashboard.parts.saying import Moment, Phrase

if TYPE_CHECKING:
    from datetime import datetime

    import dash

    from core.shown.system import System
    from dashboard.page import House, Look
    from dashboard.parts.components import Component

_LITTLE = 0.1  # of the disk free, below which it is said
_OFF_S = 2.0  # seconds between two clocks, from which on it is said
_NOW = sa.text("SELECT clock_timestamp()")


def draw(facts: System) -> Component:
    """Return the page; a panel that cannot be drawn says so, and the others stand."""
    return html.Div(
        [
            parts.verdict(verdict(facts), days=None),
            panels.numbers(facts),
            _pair(
                guarded("Predictions by hour", lambda: panels.traffic(facts)),
                guarded("Time to an answer", lambda: panels.latency(facts)),
            ),
            guarded("Services", lambda: panels.services(facts)),
            guarded("Last run of every step", lambda: panels.steps(facts)),
            _pair(
                guarded("Queue and spool", lambda: panels.queue(facts)),
                guarded("Machine", lambda: panels.machine(facts)),
            ),
            _pair(
                guarded("Database", lambda: panels.database(facts)),
                guarded("Versions and licences", panels.versions),
            ),
        ],
        className="stack",
    )


def _pair(left: Component, right: Component) -> Component:
    return html.Div([left, right], className="pair")


def moving(house: House) -> list[Phrase]:
    """Return what changes by itself: the disk's room, and the clocks."""
    return [[_disk(house)], _clock(house)]


def _disk(house: House) -> str:
    try:
        found = shutil.disk_usage(house.home)
    except OSError as error:
        return f"Disk of the home: cannot be read ({error.strerror})."
    share = found.free / found.total if found.total else 0.0
    little = " Make room: at the end of it answers are refused." if share < _LITTLE else ""
    return (
        f"Disk of the home: {bytes_text(found.free)} of {bytes_text(found.total)} free "
        f"({100 * share:.0f} %).{little}"
    )


def _clock(house: House) -> Phrase:
    try:
        with transaction(house.engine) as connection:
            before = house.clock.now()
            theirs = connection.execute(_NOW).scalar_one()
    except StoreError:
        return ["Clock: ", _now(house.clock.now()), "; the database does not answer."]
    off = (theirs - before).total_seconds()
    apart = f"is {abs(off):,.0f} s {'ahead' if off > 0 else 'behind'}"
    said = "agrees" if abs(off) < _OFF_S else apart
    return ["Clock: ", _now(before), f"; the database's {said}."]


def _now(at: datetime) -> Moment:
    return Moment(at, f"{at:%Y-%m-%d %H:%M} UTC")


def _draw(look: Look) -> Drawn:
    return Drawn("System", draw(system.gather(look.connection, now=look.now)))


def _connect(app: dash.Dash, house: House) -> None:
    @app.callback(
        Output(panels.MOVING, "children"),
        Input("tick", "n_intervals"),
        Input(panels.MOVING, "id"),
    )
    def tell(_tick: int | None, _id: Any) -> Any:
        current().require("read")
        return [html.P(parts.sentence(line, days=None), className="told") for line in moving(house)]


PAGE = Page(
    takes=PATH.__eq__,
    draw=_draw,
    name="System",
    path=PATH,
    connect=_connect,
    routes=files.blueprint,
    charts=True,
)
