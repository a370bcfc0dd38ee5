"""A panel that cannot be drawn says so, and the others stand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dashboard.parts import components as parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboard.parts.components import Component

_log = logging.getLogger(__name__)


def guarded(title: str, drawn: Callable[[], Component]) -> Component:
    """Return a panel; one that says why it is empty where drawing it fails.

    Args:
        title: Its heading, where it cannot draw its own.
        drawn: Draws it.
    """
    try:
        return drawn()
    except Exception:
        _log.exception("the panel %r cannot be drawn", title)
        text = "This panel could not be drawn. The dashboard's log says more."
        return parts.panel(title, parts.empty(text))
