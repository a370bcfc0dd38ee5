"""The panels of jobs and versions: how one went, what runs and waits, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from dashboard.pages.training import figures as training_figures
from dashboard.pages.training import words as training_words
from dashboard.pages.training.view import JOBS_CSV, VERSIONS_CSV
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.moment import shown
from dashboard.parts.wording import count, percent

if TYPE_CHECKING:
    from datetime import date

    from core.store.job_lines import JobCourse, JobLine
    from core.store.version_lines import VersionLine
    from dashboard.pages.training.facts import Training
    from dashboard.parts.components import Children, Component

_PASSES_HINT = (
    "Above, the share of the validation images named rightly, its best pass marked; below, the "
    "losses. As wide as all passes that were planned."
)


def course(facts: Training) -> Component:
    """Return the panel of the job that is looked at."""
    if facts.course is None:
        if facts.view.job is not None:
            return parts.panel(f"Job {facts.view.job}", parts.empty("There is no such job."))
        return parts.panel(
            "Passes", parts.empty("Here is how a job learns, pass by pass, once one was asked for.")
        )
    line = facts.course.line
    body = [
        _told(line, facts),
        _bar(line),
        _passes(facts.course),
        _reasons(line),
        _tries(facts.course, facts.now.date()),
    ]
    title = f"Job {line.id}: {line.kind}"
    hint = _PASSES_HINT if facts.course.passes else ""
    return parts.panel(title, body, hint=hint, side=_status(line, facts))


def _told(line: JobLine, facts: Training) -> Component:
    today = facts.now.date()
    said: Children = [
        "Asked for ",
        shown(line.requested_at, today=today),
        f" by {line.requested_by}: {line.reason.rstrip('.')}.",
    ]
    about = parts.sentence(training_words.capitalised(training_words.subject(line)), days=None)
    said = [*about, ". ", *said]
    if line.status == "running":
        said.append(f" {line.worker} is at it: {training_words.stage(line)}.")
    if line.is_silent(facts.now) and line.lease_until is not None:
        late = shown(line.lease_until, today=today)
        said += [" It has not been heard of in time (until ", late, "): this may be out of date."]
    if line.challenger:
        said += [" It made ", _version_link(line.challenger), "."]
    return html.P(said, className="told")


def _bar(line: JobLine) -> Component:
    if line.status != "running" or not line.total:
        return None
    return html.Progress(
        value=str(line.done),
        max=str(line.total),
        className="bar",
        **parts.attributes({"aria-label": training_words.stage(line)}),
    )


def _passes(found: JobCourse) -> Component:
    if not found.passes:
        return parts.empty(_WITHOUT_PASSES.get(found.line.status, _NO_PASSES))
    words = "Losses and validation accuracy by pass; weakspot jobs show has the same numbers."
    return html.Div(
        [
            parts.chart(training_figures.passes(found.passes), name="passes", words=words),
            parts.legend(
                ("line", "validation accuracy"),
                ("diamond", "best pass"),
                ("line line-orange", "validation loss"),
                ("line line-dotted", "training loss"),
            ),
        ]
    )


_NO_PASSES = "It made no pass. A head on a frozen backbone is fitted at once, without passes."
_WITHOUT_PASSES = {
    "queued": "It waits for a worker; its first pass is still to come.",
    "running": "No pass has ended yet. A head on a frozen backbone is fitted without any.",
}


def _reasons(line: JobLine) -> Component:
    if line.error:
        return html.P(f"{line.status.capitalize()}: {line.error}", className="told")
    if not line.reasons:
        return None
    more = line.n_reasons - len(line.reasons)
    rest = [html.Li(f"and {count(more, 'more reason')}")] if more > 0 else []
    return html.Ul([*[html.Li(each) for each in line.reasons], *rest], className="reasons")


def _tries(found: JobCourse, today: date) -> Component:
    if len(found.tries) < 2 and not any(each.get("why") for each in found.tries):
        return None
    return html.Details(
        [
            html.Summary(count(found.line.tries, "try", "tries")),
            html.Ul([html.Li(_try(each, today)) for each in found.tries], className="reasons"),
        ]
    )


def _try(each: dict[str, Any], today: date) -> Children:
    until = each.get("ended_at")
    ended = [" to ", _moment(until, today)] if until else [", under way"]
    stage = f" while {each['stage']}" if each.get("stage") else ""
    why = f": {each['why']}{stage}" if each.get("why") else ""
    begun = _moment(each.get("started_at"), today)
    return [f"{each.get('worker', 'a worker')}, ", begun, *ended, why]


def _moment(text: Any, today: date) -> Component:
    """Return a moment that a job keeps as text; empty where an older release kept none."""
    return shown(datetime.fromisoformat(str(text)), today=today) if text else ""


def jobs(facts: Training) -> Component:
    """Return the panel of all jobs."""
    if not facts.jobs:
        return parts.panel(
            "Jobs",
            parts.empty(
                "None yet. weakspot retrain --class NAME or weakspot train --queue asks for one."
            ),
        )
    chosen = facts.course.line.id if facts.course else None
    table = html.Table(
        [_JOBS_HEAD, html.Tbody([_job_row(each, facts, each.id == chosen) for each in facts.jobs])],
        className="table",
        id="jobs",
    )
    more = sum(facts.counts.values()) - len(facts.jobs)
    hint = "What runs, what waits in the order of its turn, then what ended, the latest first."
    if more > 0:
        hint += f" {count(more, 'more job')}: weakspot jobs list."
    side = exports.link(JOBS_CSV, "jobs-csv", of="Jobs")
    return parts.panel("Jobs", parts.scrolling(table, "Jobs"), hint=hint, side=side)


_JOBS_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Job"),
            html.Th("What for"),
            html.Th("Status"),
            html.Th("What came of it"),
            html.Th("Version"),
            html.Th("Tries", className="number wide"),
            html.Th("When", className="wide"),
        ]
    )
)


def _job_row(line: JobLine, facts: Training, is_chosen: bool) -> Component:
    at = line.finished_at or line.started_at or line.requested_at
    address = facts.view.address(job=line.id)
    return html.Tr(
        [
            html.Td(dcc.Link(str(line.id), href=address, className="strong")),
            html.Td(parts.sentence(training_words.subject(line), days=None), className="about"),
            html.Td(_status(line, facts)),
            html.Td(html.Div(training_words.came_of(line), className="clamp"), className="said"),
            html.Td(_version_link(line.challenger)),
            html.Td(str(line.tries), className="number wide"),
            html.Td(shown(at, today=facts.now.date()), className="when wide"),
        ],
        className="chosen" if is_chosen else "",
    )


def _status(line: JobLine, facts: Training) -> Component:
    return parts.badge("silent" if line.is_silent(facts.now) else line.status)


def _version_link(version: str | None) -> Component:
    return html.A(version, href=f"#version-{version}") if version else None


def versions(facts: Training) -> Component:
    """Return the panel of versions."""
    if not facts.versions:
        return parts.panel("Versions", parts.empty("None yet. weakspot train makes the first."))
    listed = {each.version for each in facts.versions}
    table = html.Table(
        [
            _VERSIONS_HEAD,
            html.Tbody([_version_row(each, facts, listed) for each in facts.versions]),
        ],
        className="table",
        id="versions",
    )
    hint = (
        "Accuracy as it was measured when the version was made. The champion serves; weakspot "
        "model show has the gate's page of numbers."
    )
    side = exports.link(VERSIONS_CSV, "versions-csv", of="Versions")
    return parts.panel("Versions", parts.scrolling(table, "Versions"), hint=hint, side=side)


_VERSIONS_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Version"),
            html.Th("Made from"),
            html.Th("By job"),
            html.Th("Validation", className="number"),
            html.Th("Test", className="number"),
            html.Th("Backbone", className="wide"),
            html.Th("Made", className="wide"),
        ]
    )
)


def _version_row(each: VersionLine, facts: Training, listed: set[str]) -> Component:
    role = "champion" if each.is_champion else "once champion" if each.was_champion else ""
    job = each.job
    parent = _version_link(each.parent) if each.parent in listed else each.parent
    return html.Tr(
        [
            html.Td(
                [html.Span(each.version, className="strong"), parts.badge(role) if role else None],
                className="with-badge",
            ),
            html.Td(parent or html.Span("nothing", className="dim")),
            html.Td(
                dcc.Link(str(job), href=facts.view.address(job=job))
                if job is not None
                else html.Span("by hand", className="dim")
            ),
            html.Td(_accuracy(each.val_top1), className="number"),
            html.Td(_accuracy(each.test_top1), className="number"),
            html.Td(each.backbone, className="name wide"),
            html.Td(shown(each.created_at, today=facts.now.date()), className="when wide"),
        ],
        id=f"version-{each.version}",
    )


def _accuracy(share: float | None) -> str:
    return "" if share is None else percent(share)
