"""The page of one class: how it does, how sure that is, what it is mistaken for, what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import dcc, html

from dashboard.address import (
    RANGES,
    class_address,
    image_address,
    label_of,
    overview_address,
)
from dashboard.page import Drawn, Page
from dashboard.pages.health import figures, gather, verdict
from dashboard.pages.health.events import ending
from dashboard.parts import components as parts
from dashboard.parts import exam_numbers
from dashboard.parts.wording import day_text, moment_text, percent

if TYPE_CHECKING:
    from core.store.alerts import Alert
    from core.store.flags import Flag
    from core.store.jobs import Job
    from core.store.validations import WrongImage
    from dashboard.page import Look
    from dashboard.pages.health.facts import OneClass
    from dashboard.parts.components import Component


def draw(facts: OneClass, *, days: int, named: int | None) -> Component:
    """Return the page's content.

    Args:
        facts: What it is drawn from.
        days: The range in days.
        named: The range as links should carry it on; None when it is the usual one.
    """
    reading = facts.reading
    side = parts.ranges(days, [class_address(reading.label, each) for each in RANGES])
    return html.Div(
        [
            html.Div(
                [
                    dcc.Link("Overview", href=overview_address(named), className="crumb"),
                    html.Span("/", className="dim"),
                    html.Bdi(reading.label, className="crumb-here"),
                    parts.badge(reading.standing),
                ],
                className="crumbs",
            ),
            parts.verdict(verdict.of_class(facts), days=named),
            parts.panel("Accuracy", _accuracy(facts), hint=_ACCURACY_HINT, side=side),
            html.Div(
                [
                    parts.panel("Evidence of a drop", _evidence(facts), hint=_EVIDENCE_HINT),
                    parts.panel("Mistaken for", _confusion(facts), hint=_CONFUSION_HINT),
                ],
                className="pair",
            ),
            parts.panel("Wrong images", _wrong(facts), hint=_wrong_hint(facts)),
            html.Div(
                [
                    parts.panel("Alerts", _alerts(facts)),
                    parts.panel("Retrainings", _retrainings(facts)),
                ],
                className="pair",
            ),
        ],
        className="stack",
    )


_ACCURACY_HINT = (
    "A dot is one day with its 95 % Jeffreys interval. While a version's accuracy does not change, "
    "the band holds it with 95 % confidence, however often one looks."
)
_EVIDENCE_HINT = (
    "e-SR detector: an alarm when the evidence reaches the threshold, which the alarm budget sets; "
    "then it begins anew. A healthy class reaches it at most as often as the budget says."
)
_CONFUSION_HINT = "Share of its images that were taken for each other class."


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


def _wrong_hint(facts: OneClass) -> str:
    if not facts.wrong:
        return ""
    return f"Labelled {facts.reading.label}, answered otherwise; the surest wrong answers first."


def _wrong(facts: OneClass) -> Component:
    if not facts.wrong:
        return parts.empty("No image of this class was answered wrong in this range.")
    return html.Ul([_wrong_image(image, facts) for image in facts.wrong], className="gallery")


def _wrong_image(image: WrongImage, facts: OneClass) -> Component:
    when = day_text(image.day, today=facts.now.date())
    return html.Li(
        [
            _picture(image.image, f"Image {image.image}, answered {image.predicted}"),
            html.Div(html.Bdi(image.predicted), className="said"),
            html.Div(f"{percent(image.confidence)} sure", className="interval"),
            html.Div(f"{when}, {image.version}", className="interval"),
        ]
    )


def _picture(image: int, words: str) -> Component:
    address = image_address(image)
    return html.A(
        html.Img(src=address, alt=words, className="picture"),
        href=address,
        target="_blank",
        rel="noopener",
    )


def _alerts(facts: OneClass) -> Component:
    if not facts.events.flags:
        return parts.empty("No alert so far.")
    return html.Div(
        [_alert(flag, facts.events.alerts.get(flag.id), facts) for flag in facts.events.flags],
        className="records",
    )


def _alert(flag: Flag, alert: Alert | None, facts: OneClass) -> Component:
    today = facts.now.date()
    state = alert.state if alert else ("resolved" if flag.closed_on else "open")
    closed = f", closed {day_text(flag.closed_on, today=today)}" if flag.closed_on else ""
    images = alert.images if alert else []
    return parts.record(
        f"raised {day_text(flag.raised_on, today=today)}{closed}",
        state,
        alert.title if alert else f"weak since {flag.since}",
        alert.body if alert else None,
        html.Div([_picture(image, f"Image {image}") for image in images], className="strip"),
    )


def _retrainings(facts: OneClass) -> Component:
    if not facts.events.jobs:
        return parts.empty("No retraining was asked for.")
    return html.Div([_retraining(job, facts) for job in facts.events.jobs], className="records")


def _retraining(job: Job, facts: OneClass) -> Component:
    today = facts.now.date()
    lines = [f"Asked for by {job.requested_by}: {job.reason}."]
    if job.status == "running" and job.progress.get("stage"):
        done, total = job.progress.get("done", 0), job.progress.get("total", 0)
        lines.append(f"Now: {job.progress['stage']}" + (f" ({done} of {total})" if total else ""))
    if job.challenger:
        lines.append(f"{job.challenger} was made from {job.parent or 'nothing'}.")
    return html.Article(
        [
            html.Div(
                [
                    html.Span(moment_text(job.requested_at, today=today), className="when"),
                    parts.badge(job.status),
                ],
                className="record-head",
            ),
            html.P(f"Retraining {job.id} {ending(job)}", className="strong"),
            *[html.P(line, className="body") for line in lines],
            exam_numbers.table(job, facts.reading.label),
        ],
        className="record",
    )


def _draw(look: Look) -> Drawn:
    label = label_of(look.path) or ""
    found = gather.one_class(look.connection, label, days=look.days, now=look.now)
    if found is None:
        text = "No version that has been examined knows it. The overview lists every class."
        return Drawn("No such class", parts.notice(f"There is no class {label!r}", text))
    return Drawn(label, draw(found, days=look.days, named=look.named))


PAGE = Page(takes=lambda path: label_of(path) is not None, draw=_draw)
