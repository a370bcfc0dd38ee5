"""The panels of the system page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dash import dcc, html

from dashboard.pages.system import figures, packages
from dashboard.pages.system.view import LICENCES_CSV, SERVICES_CSV, STEPS_CSV, TABLES_CSV
from dashboard.pages.system.words import bytes_text, seconds_text
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.moment import shown
from dashboard.parts.wording import count

if TYPE_CHECKING:
    from core.shown.system import System
    from core.store.last_runs import Errand, LastStep
    from core.store.registry import Load
    from core.store.sizes import TableSize
    from dashboard.parts.components import Component

MOVING = "system-moving"

_MOST_TABLES = 12
_TRAINING = "/training"


def numbers(facts: System) -> Component:
    """Return the row of numbers."""
    waiting, running = facts.jobs.get("queued", 0), facts.jobs.get("running", 0)
    seen = facts.latencies
    ok = sum(each.ok for each in facts.loads)
    return parts.tiles(
        [
            ("Champion", facts.champion.version if facts.champion else "none"),
            (
                "Services that loaded it",
                f"{ok:,} of {len(facts.loads):,}" if facts.loads else "none",
            ),
            ("95 of 100 answers within", f"{seen.p95_ms:.1f} ms" if seen else "no answers"),
            ("Jobs waiting, running", f"{waiting:,}, {running:,}"),
            ("Database", bytes_text(facts.database_bytes)),
        ]
    )


def traffic(facts: System) -> Component:
    """Return the panel of predictions by hour."""
    title, hint = (
        "Predictions by hour",
        "Sums of the log, made by the monitor: hours after its last run are missing.",
    )
    if not facts.hours:
        text = "Nothing was rolled up in the last seven days: no predictions, or no monitor."
        return parts.panel(title, parts.empty(text), hint=hint)
    words = "Predictions in each hour of the last seven days."
    chart = parts.chart(figures.traffic(facts), name="system-traffic", words=words)
    return parts.panel(title, chart, hint=hint)


def latency(facts: System) -> Component:
    """Return the panel of latencies."""
    title = "Time to an answer"
    seen = facts.latencies
    hint = "Mean by hour, from accepting the request to the answer; from the same sums."
    told = (
        html.P(
            f"Of the latest {count(seen.n, 'prediction')}, half took {seen.p50_ms:.1f} ms at most, "
            f"95 % {seen.p95_ms:.1f} ms, 99 % {seen.p99_ms:.1f} ms.",
            className="told",
        )
        if seen
        else None
    )
    if not facts.hours:
        text = "No hour of the last seven days has been rolled up."
        return parts.panel(title, [told, parts.empty(text)], hint=hint)
    words = "Mean latency in each hour of the last seven days."
    chart = parts.chart(figures.latency(facts), name="system-latency", words=words)
    return parts.panel(title, [told, chart], hint=hint)


def services(facts: System) -> Component:
    """Return the panel of services."""
    title = "Services"
    hint = (
        "What each service last said of loading the champion, and by which engine. A service that "
        "ended stays here until another version serves."
    )
    if not facts.loads:
        return parts.panel(title, parts.empty("No service has loaded the champion."), hint=hint)
    head = [html.Th("Service"), html.Th("Champion"), html.Th("When"), html.Th("What it said")]
    head.append(html.Th("Took", className="number medium"))
    rows = [_service(each, facts) for each in facts.loads]
    side = exports.link(SERVICES_CSV, "services-csv", of=title)
    return parts.panel(
        title, _listed("system-services", "Services", head, rows), hint=hint, side=side
    )


def _service(load: Load, facts: System) -> Component:
    word = "loaded" if load.ok else "refused"
    return html.Tr(
        [
            html.Td(html.Bdi(load.instance), className="name"),
            html.Td([load.version, " ", parts.badge(word)], className="with-badge"),
            html.Td(shown(load.at, today=facts.now.date()), className="when"),
            html.Td(html.Span(load.detail, className="clamp"), className="system-told"),
            html.Td(seconds_text(load.seconds), className="number medium"),
        ]
    )


def steps(facts: System) -> Component:
    """Return the panel of the monitor's steps and errands."""
    title = "Last run of every step"
    hint = (
        "Steps of a day's exam in their order, then what is done around the clock. Late: the "
        "last time was more than two days ago, or a day is overdue whatever the hour set."
    )
    if not facts.steps and not facts.errands:
        return parts.panel(title, parts.empty("No monitor has run yet."), hint=hint)
    head = [html.Th("Step"), html.Th("Outcome"), html.Th("For"), html.Th("Last time")]
    head.append(html.Th("Took", className="number medium"))
    rows = [_step(each, facts) for each in facts.steps]
    rows += [_errand(each, facts) for each in facts.errands]
    side = exports.link(STEPS_CSV, "steps-csv", of=title)
    return parts.panel(title, _listed("system-steps", "Steps", head, rows), hint=hint, side=side)


def _step(step: LastStep, facts: System) -> Component:
    at = datetime.fromisoformat(step.started_at)
    return html.Tr(
        [
            html.Td(step.step, className="name"),
            html.Td(_outcome(step.outcome, late=facts.is_late(at)), className="with-badge"),
            html.Td(step.slot, className="when"),
            html.Td(shown(at, today=facts.now.date()), className="when"),
            html.Td(seconds_text(step.seconds), className="number medium"),
        ]
    )


def _errand(errand: Errand, facts: System) -> Component:
    took = (errand.finished_at - errand.started_at).total_seconds()
    return html.Tr(
        [
            html.Td(errand.kind, className="name"),
            html.Td(_outcome(errand.outcome, late=False), className="with-badge"),
            html.Td(errand.holder, className="dim"),
            html.Td(shown(errand.started_at, today=facts.now.date()), className="when"),
            html.Td(seconds_text(took), className="number medium"),
        ]
    )


def _outcome(outcome: str, *, late: bool) -> list[Component]:
    return [parts.badge(outcome), parts.badge("late") if late else None]


def queue(facts: System) -> Component:
    """Return the panel of the queue of jobs, and of the spool."""
    said = ", ".join(f"{n:,} {status}" for status, n in sorted(facts.jobs.items()))
    lines: list[Component] = [
        html.P(
            [f"Jobs: {said or 'none yet'}. ", dcc.Link("Training", href=_TRAINING)],
            className="told",
        )
    ]
    lines += [
        html.P(
            [
                f"Job {each.id}: {each.worker or 'its worker'} has not been heard of since its "
                "lease ended, ",
                shown(each.lease_until, today=facts.now.date()) if each.lease_until else "",
                ".",
            ],
            className="told",
        )
        for each in facts.silent
    ]
    lines.append(
        html.P(
            "Spool and batch queue are each service's own and stand in no row: its /readyz says "
            "whether answers are spooled, and its /metrics how many wait.",
            className="hint",
        )
    )
    return parts.panel("Queue and spool", lines)


def database(facts: System) -> Component:
    """Return the panel of the tables."""
    head = [html.Th("Table"), html.Th("Size", className="number")]
    head += [html.Th("Rows, about", className="number"), html.Th("Days", className="number medium")]
    rows = [_table_row(each) for each in facts.tables[:_MOST_TABLES]]
    more = facts.tables[_MOST_TABLES:]
    rest = (
        f" {count(len(more), 'smaller table')} hold {bytes_text(sum(each.bytes for each in more))}."
        if more
        else ""
    )
    return parts.panel(
        "Database",
        _listed("system-tables", "Tables", head, rows),
        hint="With indexes; at most a minute old. The prediction log has a partition a day, "
        "dropped when its retention is over." + rest,
        side=exports.link(TABLES_CSV, "tables-csv", of="Tables"),
    )


def _table_row(table: TableSize) -> Component:
    days = "" if table.days is None else f"{table.days:,}"
    return html.Tr(
        [
            html.Td(table.name, className="name"),
            html.Td(bytes_text(table.bytes), className="number"),
            html.Td(f"{table.rows:,}", className="number"),
            html.Td(days, className="number medium"),
        ]
    )


def machine(facts: System) -> Component:
    """Return the panel of the machine; what moves by itself is asked for apart."""
    at, needed = facts.revisions
    migration = f"Migrations: at {at}, as this program needs."
    if facts.lacks_migration:
        migration = f"Migrations: at {at or 'none'}, this program needs {needed}."
    elif at != needed:
        migration = f"Migrations: at {at}, of a newer release than this program ({needed})."
    return parts.panel(
        "Machine",
        [html.P(migration, className="told"), html.Div(id=MOVING, className="system-moving")],
        hint="Disk and clock of the machine that the dashboard runs on.",
    )


def versions() -> Component:
    """Return the panel of packages and licences."""
    known = packages.installed()
    by_name = {each.name.lower(): each for each in known}
    main = [by_name[name] for name in packages.MAIN if name in by_name]
    said = ", ".join(f"{n} {family}" for family, n in packages.families(known))
    rows = [
        html.Tr(
            [
                html.Td(each.name, className="name"),
                html.Td(each.version),
                html.Td(each.licence, className="dim"),
            ]
        )
        for each in main
    ]
    head = [html.Th("Package"), html.Th("Version"), html.Th("Licence")]
    return parts.panel(
        "Versions and licences",
        [
            _listed("system-versions", "Packages", head, rows),
            html.P(f"All {len(known)} packages of this environment: {said}.", className="hint"),
        ],
        hint="As each package describes itself.",
        side=exports.link(LICENCES_CSV, "licences", of="All packages"),
    )


def _listed(name: str, words: str, head: list[Component], rows: list[Component]) -> Component:
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="table", id=name)
    return parts.scrolling(table, words)
