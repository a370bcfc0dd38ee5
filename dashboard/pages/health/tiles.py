"""The five numbers on top of the overview, each with what it was before.

How a number moved is said in words and by an arrow, never by colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.shown import summary
from dashboard.parts.wording import day_text, percent, points

if TYPE_CHECKING:
    from datetime import date

    from core.shown.summary import Change
    from dashboard.pages.health.facts import Overview

_SAME = "as"
_UP, _DOWN = "▲", "▼"


def tiles(facts: Overview) -> list[tuple[str, str, str]]:
    """Return the numbers: of each its name, its value, and how it differs from before."""
    numbers, today = facts.numbers, facts.now.date()
    on = f" on {day_text(facts.exam.day, today=today)}" if facts.exam else ""
    labels = len(facts.classes) or (len(facts.champion.labels) if facts.champion else 0)
    accuracy = numbers.accuracy
    return [
        ("Champion", facts.champion.version if facts.champion else "none", _reign(facts, today)),
        (
            f"Flagged of {labels:,} classes",
            f"{numbers.flagged.now:,.0f}",
            counted(numbers.flagged, "a week before"),
        ),
        (
            "Right in 7 days",
            percent(accuracy.now) if accuracy else "–",
            _shares(accuracy) if accuracy else "no labels",
        ),
        (
            f"Predictions{on}",
            f"{numbers.predictions.now:,.0f}",
            _relative(numbers.predictions, "the day before"),
        ),
        (
            "Open alerts",
            f"{numbers.open_alerts.now:,.0f}",
            counted(numbers.open_alerts, "a week ago"),
        ),
    ]


def counted(change: Change, when: str) -> str:
    """Return how a number of things differs from before: `▲ 2 more than a week before`."""
    if change.before is None:
        return ""
    more = change.now - change.before
    if not more:
        return f"{_SAME} {when}"
    word, sign = ("more", _UP) if more > 0 else ("fewer", _DOWN)
    return f"{sign} {abs(more):,.0f} {word} than {when}"


def _shares(change: Change) -> str:
    if change.before is None:
        return "nothing before to compare"
    moved = change.now - change.before
    if abs(moved) < 0.0005:
        return f"{_SAME} in the week before"
    return f"{_UP if moved > 0 else _DOWN} {points(moved)} points on the week before"


def _relative(change: Change, when: str) -> str:
    if not change.before:
        return f"none {when}" if change.now else ""
    moved = change.now / change.before - 1
    if abs(moved) < 0.005:
        return f"{_SAME} {when}"
    word, sign = ("more", _UP) if moved > 0 else ("fewer", _DOWN)
    return f"{sign} {100 * abs(moved):,.0f} % {word} than {when}"


def _reign(facts: Overview, today: date) -> str:
    """Return since when the champion serves, and which version did before."""
    reign = summary.reign(facts.champion, facts.events.moves)
    if reign is None:
        return ""
    before = f", {reign.before} before" if reign.before else ""
    return f"since {day_text(reign.since.date(), today=today)}{before}"
