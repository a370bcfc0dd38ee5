"""The training page: what is and was trained, how it went, and what searches have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from dashboard.page import Drawn, Page
from dashboard.pages.training import facts as training_facts
from dashboard.pages.training import job_panels, routes, search_panels, view
from dashboard.pages.training import words as training_words
from dashboard.parts import components as parts
from dashboard.parts.guarding import guarded

if TYPE_CHECKING:
    from dashboard.page import Look
    from dashboard.pages.training.facts import Training
    from dashboard.parts.components import Component


def draw(facts: Training) -> Component:
    """Return the page; a panel that cannot be drawn says so, and the others stand."""
    return html.Div(
        [
            parts.verdict(training_words.verdict(facts), days=None),
            guarded("Passes", lambda: job_panels.course(facts)),
            guarded("Jobs", lambda: job_panels.jobs(facts)),
            guarded("Versions", lambda: job_panels.versions(facts)),
            guarded("Searches", lambda: search_panels.head(facts)),
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
                guarded("Accuracy by trial", lambda: search_panels.history(search)),
                guarded("What mattered", lambda: search_panels.importance(search)),
            ],
            className="pair",
        ),
        guarded("Complete trials side by side", lambda: search_panels.together(search)),
        guarded("Trials", lambda: search_panels.table(facts, search)),
    ]


def _draw(look: Look) -> Drawn:
    facts = training_facts.gather(look.connection, view.training_view(look.search), now=look.now)
    return Drawn("Training", draw(facts))


PAGE = Page(
    takes=view.PATH.__eq__, draw=_draw, name="Training", path=view.PATH, routes=routes.blueprint
)
