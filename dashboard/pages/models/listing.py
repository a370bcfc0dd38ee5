"""The list of versions: where each comes from, what it was made of, and when it served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import dcc, html

from dashboard.pages.models.view import (
    CHAMPIONS_CSV,
    PATH,
    VERSIONS_CSV,
    compare_address,
    older_address,
    rollback_address,
    version_address,
)
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.guarding import guarded
from dashboard.parts.moment import named, shown
from dashboard.parts.saying import Verdict
from dashboard.parts.wording import percent

if TYPE_CHECKING:
    from core.store.lineage import Line, Service
    from dashboard.door.caller import Caller
    from dashboard.pages.models.facts import Registered
    from dashboard.parts.components import Component

_HINT = (
    "Accuracy is that of the test images when the version was made. Data is the digest of the "
    "frozen list of images it learnt from: the same digest, the same images."
)
_MOST_SERVICES = 20


def draw(facts: Registered, caller: Caller) -> Component:
    """Return the page."""
    return html.Div(
        [
            parts.verdict(_said(facts), days=None),
            guarded("Versions", lambda: _versions(facts)),
            guarded("Champions", lambda: _services(facts, caller)),
        ],
        className="stack",
    )


def _said(facts: Registered) -> Verdict:
    if not facts.lines and facts.view.before is None:
        return Verdict(
            "none", ["No version is registered yet"], ["weakspot train makes the first."]
        )
    if not facts.services:
        text = "A version is promoted on its own page, or by weakspot model promote."
        return Verdict("watch", ["No version serves yet"], [text])
    now = facts.services[0]
    when = named(now.since, today=facts.now.date())
    return Verdict(
        "good", [f"{now.version} serves"], [["Since ", when, f", by {now.by}: {now.reason}."]]
    )


def _versions(facts: Registered) -> Component:
    if not facts.lines:
        return parts.panel("Versions", parts.empty("None here."))
    rows = [_row(each, facts) for each in facts.lines]
    table = html.Table([_HEAD, html.Tbody(rows)], className="table", id="models")
    links: list[Component] = []
    if facts.view.before is not None:
        links.append(dcc.Link("Newest", href=PATH, className="range"))
    if facts.more:
        older = older_address(facts.lines[-1].number)
        links.append(dcc.Link("Older", href=older, className="range"))
    pages = html.Div(links, className="ranges model-pages") if links else None
    side = html.Div(
        [
            dcc.Link("Trainings and searches", href="/training", className="button"),
            exports.link(VERSIONS_CSV, "versions-csv", of="Versions"),
        ],
        className="side",
    )
    return parts.panel(
        "Versions", [parts.scrolling(table, "Versions"), pages], hint=_HINT, side=side
    )


_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Version"),
            html.Th("Made from"),
            html.Th("Test", className="number"),
            html.Th("Data", className="medium"),
            html.Th("Backbone", className="wide"),
            html.Th("By job", className="medium"),
            html.Th("Served", className="wide"),
            html.Th("Compare"),
        ]
    )
)


def _row(each: Line, facts: Registered) -> Component:
    champion = facts.champion
    served = [service for service in facts.services if service.version == each.version]
    role = "champion" if each.version == champion else "once champion" if served else ""
    today = facts.now.date()
    return html.Tr(
        [
            html.Td(
                [
                    version_link(each.version),
                    parts.badge(role) if role else None,
                    html.Span(shown(each.created_at, today=today), className="detail block"),
                ],
                className="with-badge",
            ),
            html.Td(
                version_link(each.parent) if each.parent else html.Span("nothing", className="dim")
            ),
            html.Td("" if each.test_top1 is None else percent(each.test_top1), className="number"),
            html.Td(
                [
                    html.Code(each.snapshot[:12]),
                    html.Span(shown(each.snapshot_at, today=today), className="detail block"),
                ],
                className="medium",
            ),
            html.Td(each.backbone, className="name wide"),
            html.Td(_job(each), className="medium"),
            html.Td(_served(served, facts), className="wide when"),
            html.Td(_compare(each, champion)),
        ],
        className="chosen" if each.version == champion else "",
    )


def _job(each: Line) -> Component:
    if each.job is None:
        return html.Span("by hand", className="dim")
    link = dcc.Link(str(each.job), href=f"/training?job={each.job}")
    return [link, html.Span(each.job_status, className="detail block")]


def _served(served: list[Service], facts: Registered) -> Component:
    if not served:
        return html.Span("never", className="dim")
    more = f", and {len(served) - 1} times before" if len(served) > 1 else ""
    return [*_stretch(served[0], facts), more]


def _stretch(service: Service, facts: Registered) -> list[Component]:
    """Return from when to when a version served."""
    today = facts.now.date()
    until = shown(service.until, today=today) if service.until else "now"
    return [shown(service.since, today=today), " to ", until]


def _compare(each: Line, champion: str | None) -> Component:
    """Return a link that sets it against the champion, or the champion against what it is from."""
    other = each.parent if each.version == champion else champion
    if other is None or other == each.version:
        return None
    return dcc.Link(f"with {other}", href=compare_address(other, each.version))


def version_link(version: str) -> Component:
    """Return a link to a version's page."""
    return dcc.Link(version, href=version_address(version), className="strong class-link")


def _services(facts: Registered, caller: Caller) -> Component:
    if not facts.services:
        return parts.panel("Champions", parts.empty("None so far."))
    rows = [
        html.Tr(
            [
                html.Td(version_link(each.version)),
                html.Td(_stretch(each, facts), className="when"),
                html.Td(html.Bdi(each.by)),
                html.Td(html.Bdi(each.reason), className="said"),
            ]
        )
        for each in facts.services[:_MOST_SERVICES]
    ]
    head = html.Thead(
        html.Tr([html.Th("Version"), html.Th("Served"), html.Th("Moved by"), html.Th("Why")])
    )
    table = html.Table([head, html.Tbody(rows)], className="table", id="champions")
    back = None
    if caller.may("admin") and len(facts.services) > 1 and facts.champion:
        address = rollback_address(facts.champion)
        back = dcc.Link("Roll back…", href=address, className="button", id="to-rollback")
    csv = exports.link(CHAMPIONS_CSV, "champions-csv", of="Champions")
    side = html.Div([back, csv], className="side")
    hint = f"Who served when, and why; the latest {_MOST_SERVICES}. Every move is in the audit."
    return parts.panel("Champions", parts.scrolling(table, "Champions"), hint=hint, side=side)
