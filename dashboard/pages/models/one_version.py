"""The page of one version: what it was made of, how good it was, and what the gate said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import dcc, html

from dashboard.address import class_address
from dashboard.pages.models.facts import flat
from dashboard.pages.models.listing import version_link
from dashboard.pages.models.view import (
    CLASSES_CSV,
    CONFIGURATION_CSV,
    LOADS_CSV,
    PATH,
    compare_address,
    promote_address,
    rollback_address,
    version_address,
)
from dashboard.parts import components as parts
from dashboard.parts import exam_numbers, exports, pairs
from dashboard.parts.guarding import guarded
from dashboard.parts.moment import named, shown
from dashboard.parts.saying import Phrase, Verdict
from dashboard.parts.wording import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from core.store.jobs import Job
    from core.store.lineage import Service
    from core.store.registry import Version
    from dashboard.door.caller import Caller
    from dashboard.pages.models.facts import OneVersion
    from dashboard.parts.components import Component

MOST_CLASSES = 300
MOST_EXAMINED = 100

_FIGURES = (
    ("Test accuracy", "top1"),
    ("Macro F1", "macro_f1"),
    ("AUROC", "auroc"),
    ("Calibration error", "ece"),
)


def draw(facts: OneVersion, caller: Caller) -> Component:
    """Return the page."""
    version = facts.version
    return html.Div(
        [
            crumbs(version.version, "champion" if version.version == facts.champion else ""),
            parts.verdict(_said(facts), days=None),
            _moves(facts, caller),
            parts.tiles(_tiles(version)),
            _pair(
                ("Where it comes from", lambda: _lineage(facts)),
                ("Configuration", lambda: _configuration(version)),
            ),
            _pair(
                ("By class", lambda: _classes(version)),
                ("What the gate said", lambda: gate_panel(facts.job, "What the gate said")),
            ),
            _pair(("Loaded by", lambda: _loads(facts)), ("Model card", lambda: _card(facts))),
        ],
        className="stack",
    )


def _pair(*panels: tuple[str, Callable[[], Component]]) -> Component:
    return html.Div([guarded(title, drawn) for title, drawn in panels], className="pair")


def crumbs(here: str, badge: str = "") -> Component:
    """Return the way back to the list."""
    return html.Div(
        [
            dcc.Link("Models", href=PATH, className="crumb"),
            html.Span("/", className="dim"),
            html.Span(here, className="crumb-here"),
            parts.badge(badge) if badge else None,
        ],
        className="crumbs",
    )


def _said(facts: OneVersion) -> Verdict:
    name, today = facts.version.version, facts.now.date()
    made: Phrase = ["Made ", named(facts.version.created_at, today=today), "."]
    if name == facts.champion:
        now = facts.services[0]
        since: Phrase = ["Since ", named(now.since, today=today), f", by {now.by}: {now.reason}."]
        return Verdict("good", [f"{name} serves"], [since, made])
    if facts.services:
        last = facts.services[0]
        until = named(last.until, today=today) if last.until else "now"
        return Verdict("none", [f"{name} served until ", until], [made])
    return Verdict("none", [f"{name} never served"], [made])


def _moves(facts: OneVersion, caller: Caller) -> Component:
    name, champion = facts.version.version, facts.champion
    links: list[Component] = []
    if champion is not None and champion != name:
        address = compare_address(champion, name)
        links.append(dcc.Link(f"Compare with {champion}", href=address, className="button"))
    elif facts.version.parent:
        address = compare_address(facts.version.parent, name)
        links.append(
            dcc.Link(f"Compare with {facts.version.parent}", href=address, className="button")
        )
    if caller.may("admin"):
        if name != champion:
            links.append(
                dcc.Link(
                    "Promote…",
                    href=promote_address(name),
                    className="button button-main",
                    id="to-promote",
                )
            )
        else:
            links.append(dcc.Link("Roll back…", href=rollback_address(name), className="button"))
    return html.Div(links, className="buttons") if links else None


def _tiles(version: Version) -> list[tuple[str, str]]:
    test: Mapping[str, Any] = version.metrics.get("test") or {}
    shown = [("Classes", f"{len(version.labels):,}")]
    for words, name in _FIGURES:
        value = test.get(name)
        said = (
            "not known" if value is None else percent(value) if name == "top1" else f"{value:.3f}"
        )
        shown.append((words, said))
    return shown


def _lineage(facts: OneVersion) -> Component:
    version, today = facts.version, facts.now.date()
    children: list[Component] = []
    for place, child in enumerate(facts.children[:20]):
        children += [", " if place else "", version_link(child)]
    job: Component = "trained by hand"
    if facts.job is not None:
        job = [
            dcc.Link(f"job {facts.job.id}", href=f"/training?job={facts.job.id}"),
            f", {facts.job.status}",
        ]
    rows: list[tuple[str, Component]] = [
        ("Made from", version_link(version.parent) if version.parent else "nothing"),
        ("Children", children or "none"),
        ("Training", job),
        ("Data", html.Code(version.snapshot)),
        ("List frozen", shown(version.snapshot_at, today=today)),
        ("Bundle", html.Code(version.digest)),
        ("Code", html.Bdi(version.code_version)),
        *[("Served", _stretch(each, today)) for each in facts.services[:10]],
    ]
    hint = "Data is the digest of the frozen list of images, the bundle's that of all its files."
    return parts.panel(
        "Where it comes from",
        pairs.table(rows, "lineage"),
        hint=hint,
        side=pairs.link(rows, "lineage", of="Where it comes from"),
    )


def _stretch(each: Service, today: date) -> Component:
    until = shown(each.until, today=today) if each.until else "now"
    return [shown(each.since, today=today), " to ", until, f": {each.reason}"]


def _configuration(version: Version) -> Component:
    rows = flat(version.config)
    if not rows:
        return parts.panel("Configuration", parts.empty("Its run kept none."))
    table = pairs.table([(name, html.Code(value)) for name, value in rows], "configuration")
    side = _file(CONFIGURATION_CSV, version, "Configuration")
    return parts.panel("Configuration", html.Div(table, className="model-tall"), side=side)


def _classes(version: Version) -> Component:
    recalls: Mapping[str, Any] = (version.metrics.get("test") or {}).get("per_class") or {}
    if not recalls:
        text = "Its release has no figures by class."
        return parts.panel("By class", parts.empty(text))
    known = sorted(recalls.items(), key=lambda each: (each[1] is None, each[1] or 0.0, each[0]))
    rows = [_class(label, recall, version) for label, recall in known[:MOST_CLASSES]]
    head = html.Thead(
        html.Tr(
            [
                html.Th("Class"),
                html.Th("Test recall", className="number"),
                html.Th("Reference", className="number"),
            ]
        )
    )
    table = html.Table([head, html.Tbody(rows)], className="table", id="by-class")
    rest = len(known) - len(rows)
    more = f" The {len(rows)} worst of {len(known):,} are shown." if rest else ""
    hint = (
        "Share of each class's test images named rightly, the worst first; reference is what its "
        f"reference images said, right of all.{more}"
    )
    side = _file(CLASSES_CSV, version, "By class")
    return parts.panel("By class", html.Div(table, className="model-tall"), hint=hint, side=side)


def _class(label: str, recall: float | None, version: Version) -> Component:
    counts: Mapping[str, Any] = version.reference.get(label) or {}
    n = counts.get("n") or 0
    return html.Tr(
        [
            html.Td(
                dcc.Link(html.Bdi(label), href=class_address(label), className="class-link"),
                className="name",
            ),
            html.Td("no images" if recall is None else percent(recall), className="number"),
            html.Td(f"{counts.get('correct', 0):,} of {n:,}" if n else "", className="number"),
        ]
    )


def gate_panel(job: Job | None, title: str) -> Component:
    """Return the panel of a version's exam."""
    if job is None:
        return parts.panel(title, parts.empty("No gate has examined it."))
    table = exam_numbers.table(job, job.labels[0] if job.labels else "", MOST_EXAMINED)
    if table is None:
        return parts.panel(title, parts.empty(f"Job {job.id} is {job.status}: no exam so far."))
    hint = (
        "Challenger against champion on the same gate images: gained are those that only the "
        "challenger names rightly, points their difference, bound its lower bound."
    )
    side = dcc.Link(f"job {job.id}", href=f"/training?job={job.id}")
    return parts.panel(title, html.Div(table, className="model-tall"), hint=hint, side=side)


def _loads(facts: OneVersion) -> Component:
    if not facts.loads:
        return parts.panel("Loaded by", parts.empty("No service has tried to load it."))
    today = facts.now.date()
    rows = [
        html.Tr(
            [
                html.Td(html.Bdi(each.instance), className="name"),
                html.Td(parts.badge("loaded" if each.ok else "refused")),
                html.Td(shown(each.at, today=today), className="when"),
                html.Td(html.Bdi(each.detail), className="said"),
            ]
        )
        for each in facts.loads[:50]
    ]
    table = html.Table(html.Tbody(rows), className="table", id="loads")
    hint = "The last attempt of each service to load it."
    side = _file(LOADS_CSV, facts.version, "Loaded by")
    return parts.panel("Loaded by", parts.scrolling(table, "Loaded by"), hint=hint, side=side)


def _file(path: str, version: Version, of: str) -> Component:
    name = path.rpartition("/")[2].replace(".", "-")
    return exports.link(version_address(version.version, path), name, of=of)


def _card(facts: OneVersion) -> Component:
    if facts.card is None:
        text = "Its bundle has no model card, or cannot be read from here."
        return parts.panel("Model card", parts.empty(text))
    body = html.Pre(facts.card, className="model-card model-tall")
    hint = (
        "As it lies in the bundle, as plain text: data, figures and limits known when it was made."
    )
    return parts.panel("Model card", body, hint=hint)
