"""The versions' pages: the list, one version, two of them, and the champion moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.store import lineage
from dashboard.page import Drawn, Page
from dashboard.pages.models import (
    compare_panel,
    facts,
    listing,
    moving,
    one_version,
    routes,
    view,
)
from dashboard.parts import components as parts

if TYPE_CHECKING:
    from dashboard.page import Look
    from dashboard.pages.models.view import ModelsView


def _draw(look: Look) -> Drawn:
    wanted = view.models_view(look.search)
    if wanted.promote is not None:
        asked = facts.promotion(look.connection, wanted.promote)
        content = moving.draw_promotion(wanted.promote, asked, look.caller)
        return Drawn(f"Promote {wanted.promote}", content)
    if wanted.rollback is not None:
        asked = facts.withdrawal(look.connection)
        content = moving.draw_withdrawal(wanted.rollback, asked, look.caller)
        return Drawn(f"Roll back {wanted.rollback}", content)
    if wanted.a is not None and wanted.b is not None:
        return _two(look, wanted.a, wanted.b)
    return _one(look, wanted) if wanted.version is not None else _list(look, wanted)


def _list(look: Look, wanted: ModelsView) -> Drawn:
    found = facts.page_of(look.connection, wanted, now=look.now)
    return Drawn("Models", listing.draw(found, look.caller))


def _one(look: Look, wanted: ModelsView) -> Drawn:
    name = wanted.version or ""
    found = facts.one(look.connection, name, now=look.now)
    if found is None:
        return _gone(name)
    return Drawn(name, one_version.draw(found, look.caller))


def _two(look: Look, a: str, b: str) -> Drawn:
    found = facts.two(look.connection, a, b)
    if found is None:
        return _gone(f"{a} or {b}")
    names = [*dict.fromkeys([*lineage.names(look.connection, facts.MOST_NAMES), a, b])]
    promotable = facts.other_than_champion(look.connection, a, b)
    if not look.caller.may("admin"):
        promotable = None
    return Drawn(f"{a} and {b}", compare_panel.draw(found, names, promotable))


def _gone(name: str) -> Drawn:
    text = "The list of versions has all there are."
    return Drawn("No such version", parts.notice(f"There is no version {name}", text))


PAGE = Page(
    takes=view.PATH.__eq__,
    draw=_draw,
    name="Models",
    path=view.PATH,
    connect=moving.connect,
    routes=routes.blueprint,
)
