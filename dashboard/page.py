"""What a page is: where it is shown, what it draws, and what can be done on it.

Each room of `dashboard/pages/` has one `PAGE` or several, and `dashboard.app` lists them; a new
page is a new room and one line there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dash
from flask import Blueprint
from sqlalchemy import Connection, Engine

from core.clock import Clock
from dashboard.door.caller import Caller


@dataclass(frozen=True, slots=True)
class House:
    """What all pages share.

    Attributes:
        engine: The database, migrated.
        clock: Says what "now" is.
        home: WEAKSPOT_HOME: bundles, archive and reports lie below it.
        days: Range shown when an address names none.
        refresh_s: How often an open page asks for news.
        labels_a_day: How many labels the inbox asks for in a day, of everybody together.
        networks: Networks that messages may go to though not public, with blanks between.
    """

    engine: Engine
    clock: Clock
    home: Path
    days: int = 30
    refresh_s: int = 15
    labels_a_day: int = 20
    networks: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a page.

    Attributes:
        connection: In a transaction that is over when the page is drawn.
        path: Of the address.
        search: Its query, with or without the question mark; None without one.
        days: The range that it names, or the usual one.
        named: The range as links carry it on; None when it is the usual one.
        now: The present moment.
        caller: Who looks; buttons that they may not press are left out.
    """

    connection: Connection
    path: str
    search: str | None
    days: int
    named: int | None
    now: datetime
    caller: Caller


@dataclass(frozen=True, slots=True)
class Drawn:
    """A page as it is shown: its title, and its components."""

    title: str
    content: Any


@dataclass(frozen=True, slots=True)
class Action:
    """What a button does.

    Attributes:
        scope: What the caller's key must have.
        do: Does it, given the house, who asks and what it is about, and returns what to say of
            it. A WeakspotError is shown as its message.
    """

    scope: str
    do: Callable[[House, Caller, str], str]


@dataclass(frozen=True, slots=True)
class Page:
    """A page, or several of one kind.

    Attributes:
        takes: Says whether a path is one of its.
        draw: Draws it.
        name: In the navigation; None for what is not listed there.
        path: Where the navigation leads.
        actions: Of its buttons (dashboard.parts.buttons), by name: `alerts.ack`.
        connect: Registers callbacks of its own, if it needs any.
        routes: Returns its addresses that are no pages, if it has any; every one of them asks
            dashboard.door.caller.current() for the scope it needs.
        charts: Whether it always has charts: what draws them then comes with the page, and not
            once the first of them is there (dashboard.index).
        grid: Likewise for a table of `dashboard.parts.grid`.
    """

    takes: Callable[[str], bool]
    draw: Callable[[Look], Drawn]
    name: str | None = None
    path: str = ""
    actions: Mapping[str, Action] = field(default_factory=dict[str, Action])
    connect: Callable[[dash.Dash, House], None] | None = None
    routes: Callable[[House], Blueprint] | None = None
    charts: bool = False
    grid: bool = False
