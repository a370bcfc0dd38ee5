"""The page of one class: how it does, how sure that is, what it is mistaken for, what was done."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dash import dcc, html

from core.shown import weeks
from dashboard.address import RANGES, class_address, label_of, overview_address
from dashboard.page import Drawn, Page
from dashboard.pages.alerts.view import CSV as ALERTS_CSV
from dashboard.pages.alerts.view import AlertsView, file_address
from dashboard.pages.health import class_story, figures, gather, verdict, week_figures
from dashboard.pages.health.actions import ACTIONS
from dashboard.pages.health.formulas import hint
from dashboard.pages.health.gallery import gallery
from dashboard.pages.health.view import (
    CLASS_CSV,
    CONFUSIONS_CSV,
    DRIFT_CSV,
    WEEKS_CSV,
    WRONG_CSV,
    csv_address,
)
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.wording import day_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboard.door.caller import Caller
    from dashboard.page import Look
    from dashboard.pages.health.facts import OneClass
    from dashboard.parts.components import Children, Component

_log = logging.getLogger(__name__)


def draw(facts: OneClass, *, days: int, named: int | None, caller: Caller) -> Component:
    """Return the page's content.

    Args:
        facts: What it is drawn from.
        days: The range in days.
        named: The range as links should carry it on; None when it is the usual one.
        caller: Who looks; buttons that they may not press are left out.
    """
    side = parts.ranges(days, [class_address(facts.reading.label, each) for each in RANGES])
    return html.Div(
        [
            _crumbs(facts, named),
            parts.verdict(verdict.of_class(facts), days=named),
            class_story.deeds(facts, caller),
            _panel(
                "Accuracy",
                _accuracy,
                facts,
                hint=_ACCURACY_HINT,
                side=html.Div([side, _csv(CLASS_CSV, facts, named)], className="side"),
            ),
            _pair(
                _panel("Evidence of a drop", _evidence, facts, hint=_EVIDENCE_HINT),
                _panel(
                    "Mistaken for",
                    _confusion,
                    facts,
                    hint=_CONFUSION_HINT,
                    side=_csv(CONFUSIONS_CSV, facts, named),
                ),
            ),
            _pair(
                _panel(
                    "Precision, recall, confidence",
                    _shares,
                    facts,
                    hint=_WEEKS_HINT,
                    side=_csv(WEEKS_CSV, facts, named),
                ),
                _panel("Calibration error", _calibration, facts, hint=_CALIBRATION_HINT),
            ),
            _panel(
                "Wrong images", gallery, facts, hint=_WRONG_HINT, side=_csv(WRONG_CSV, facts, named)
            ),
            _panel(
                "Drift of this class",
                class_story.drift,
                facts,
                hint=_drift_hint(facts),
                side=_csv(DRIFT_CSV, facts, named),
            ),
            _pair(
                _panel("Alerts", class_story.alerts, facts, side=_alerts_file(facts)),
                _panel("Retrainings", class_story.retrainings, facts),
            ),
        ],
        className="stack",
    )


def _crumbs(facts: OneClass, named: int | None) -> Component:
    return html.Div(
        [
            dcc.Link("Overview", href=overview_address(named), className="crumb"),
            html.Span("/", className="dim"),
            html.Bdi(facts.reading.label, className="crumb-here"),
            parts.badge(facts.reading.standing),
        ],
        className="crumbs",
    )


def _pair(left: Component, right: Component) -> Component:
    return html.Div([left, right], className="pair")


_ACCURACY_HINT = hint(
    "A dot is one day with its 95 % Jeffreys interval. While a version's accuracy does not change, "
    "the band holds it with 95 % confidence, however often one looks.",
    "interval",
    "sequence",
)
_EVIDENCE_HINT = hint(
    "e-SR detector: an alarm when the evidence reaches the threshold, which the alarm budget sets; "
    "then it begins anew. A healthy class reaches it at most as often as the budget says.",
    "evidence",
)
_CONFUSION_HINT = hint("Share of its images that were taken for each other class.", "confusion")
_WEEKS_HINT = hint(
    f"Labelled images of seven days together, for the last {weeks.LONGEST_DAYS} days at most.",
    "weeks",
)
_CALIBRATION_HINT = hint(
    "How far confidence and truth lie apart among the images that were called so.", "calibration"
)
_WRONG_HINT = hint(
    "The surest wrong answers first; beside each the image of the class answered right that looks "
    "most like it.",
    "nearest",
)


def _drift_hint(facts: OneClass) -> Children:
    when = ""
    if facts.drift:
        check = facts.drift[0]
        when = f" on {day_text(check.day, today=facts.now.date())}, with {check.version}"
    return hint(f"Predictions that bear its name{when}, against the reference.", "drift")


def _panel(
    title: str,
    drawn: Callable[[OneClass], Component],
    facts: OneClass,
    *,
    hint: Children = "",
    side: Component = None,
) -> Component:
    """Return a panel; one that cannot be drawn says so, and the others stand."""
    try:
        return parts.panel(title, drawn(facts), hint=hint, side=side)
    except Exception:
        _log.exception("the panel %r of %s cannot be drawn", title, facts.reading.label)
        text = "This panel could not be drawn. The dashboard's log says more."
        return parts.panel(title, parts.empty(text))


def _csv(path: str, facts: OneClass, named: int | None) -> Component:
    name = path.rpartition("/")[2].replace(".", "-")
    return exports.link(csv_address(path, days=named, label=facts.reading.label), name)


def _alerts_file(facts: OneClass) -> Component:
    view = AlertsView(label=facts.reading.label)
    return exports.link(file_address(ALERTS_CSV, view), "class-alerts-csv", of="Alerts")


def _accuracy(facts: OneClass) -> Component:
    if not any(day.n for day in facts.reading.days):
        return parts.empty("No labelled image of this class was examined in this range.")
    words = "Accuracy by day with its confidence sequence and the reference level."
    return [
        parts.chart(figures.accuracy(facts), name="accuracy", words=words),
        parts.legend(
            ("dot", "one day"),
            ("line", "since the version began"),
            ("band", "95 % confidence sequence"),
            ("dash", "reference"),
        ),
    ]


def _evidence(facts: OneClass) -> Component:
    if not facts.states:
        return parts.empty("This class was not examined in this range.")
    words = "Evidence against the class by day, with the threshold of an alarm."
    return [
        parts.chart(figures.evidence(facts), name="evidence", words=words),
        parts.legend(("line", "evidence"), ("dash", "threshold"), ("mark mark-alert", "alarm")),
    ]


def _confusion(facts: OneClass) -> Component:
    figure = figures.confusion(facts)
    if not figure["layout"]["yaxis"]["tickvals"]:
        return parts.empty("It was mistaken for nothing, neither in this range nor as reference.")
    words = "What the class was mistaken for, now and in the reference."
    series = figures.confusion_series(facts)
    return [
        parts.chart(figure, name="confusion", words=words),
        parts.legend(*[(each.colour, each.name) for each in series]),
    ]


def _shares(facts: OneClass) -> Component:
    if not any(week.n or week.called for week in facts.weeks):
        return parts.empty("No labelled image was of this class or called so in this range.")
    words = "Recall, precision and mean confidence of the class by week."
    return [
        parts.chart(week_figures.shares(facts), name="weeks", words=words),
        parts.legend(
            ("line-recall", "recall"),
            ("line-precision", "precision"),
            ("line-confidence", "confidence"),
        ),
    ]


def _calibration(facts: OneClass) -> Component:
    if all(week.error is None for week in facts.weeks):
        return parts.empty(
            f"In no week of this range were {weeks.FEWEST_CALLED} labelled images called so: "
            "the calibration error of fewer is chance."
        )
    words = "Calibration error of the class by week, and what chance makes of it."
    return [
        parts.chart(week_figures.calibration(facts), name="calibration", words=words),
        parts.legend(
            ("line-recall", "calibration error"),
            ("line line-dotted", "exceeded by chance in one week of twenty"),
        ),
    ]


def _draw(look: Look) -> Drawn:
    label = label_of(look.path) or ""
    found = gather.one_class(look.connection, label, days=look.days, now=look.now)
    if found is None:
        text = "No version that has been examined knows it. The overview lists every class."
        return Drawn("No such class", parts.notice(f"There is no class {label!r}", text))
    return Drawn(label, draw(found, days=look.days, named=look.named, caller=look.caller))


PAGE = Page(takes=lambda path: label_of(path) is not None, draw=_draw, actions=ACTIONS, charts=True)
