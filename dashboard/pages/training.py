"""The training page: what is and was trained, how it went, and what searches have found."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dash import html

from dashboard import components as parts
from dashboard import job_panels, search_panels, training_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboard.components import Component
    from dashboard.training_facts import Training

_log = logging.getLogger(__name__)


def draw(facts: Training) -> Component:
    """Return the page; a panel that cannot be drawn says so, and the others stand."""
    return html.Div(
        [
            parts.verdict(training_words.verdict(facts), days=None),
            _guarded("Passes", lambda: job_panels.course(facts)),
            _guarded("Jobs", lambda: job_panels.jobs(facts)),
            _guarded("Versions", lambda: job_panels.versions(facts)),
            _guarded("Searches", lambda: search_panels.head(facts)),
            *_of_search(facts),
        ],
        className="stack",
    )


def _of_search(facts: Training) -> list[Component]:
    search = facts.searches.shown if facts.searches else None
    if search is None:
        return []
    return [
        html.Div(
            [
                _guarded("Accuracy by trial", lambda: search_panels.history(search)),
                _guarded("What mattered", lambda: search_panels.importance(search)),
            ],
            className="pair",
        ),
        _guarded("Complete trials side by side", lambda: search_panels.together(search)),
        _guarded("Trials", lambda: search_panels.table(facts, search)),
    ]


def _guarded(title: str, drawn: Callable[[], Component]) -> Component:
    try:
        return drawn()
    except Exception:
        _log.exception("the panel %r cannot be drawn", title)
        text = "This panel could not be drawn. The dashboard's log says more."
        return parts.panel(title, parts.empty(text))
