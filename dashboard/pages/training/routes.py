"""The tables of the training page as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint

from core.errors import NotFoundError
from core.store import job_lines, jobs, trial_lines, version_lines
from dashboard.pages.training.trial_table import sheet
from dashboard.pages.training.view import JOBS_CSV, TRIALS_CSV, VERSIONS_CSV, training_view
from dashboard.parts.exam_numbers import CSV as EXAM_CSV
from dashboard.parts.exports import Sheet, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from core.store.job_lines import JobLine
    from dashboard.page import House

_MOST = 10_000
_ALL = 1_000_000


def blueprint(house: House) -> Blueprint:
    """Return the routes of the files that `dashboard.pages.training.view` names."""
    routes = Blueprint("training", __name__)
    for address, made in (
        (TRIALS_CSV, _trials),
        (JOBS_CSV, _jobs),
        (VERSIONS_CSV, _versions),
        (EXAM_CSV, _exam),
    ):
        serve(routes, house.engine, address, made)
    return routes


def _trials(connection: Connection, query: str) -> Sheet:
    """Return every trial of a search.

    Raises:
        NotFoundError: There is no search of that name.
    """
    name = training_view(query).search or ""
    known = trial_lines.names(connection)
    found = trial_lines.search(connection, name, _ALL) if known else None
    if found is None:
        raise NotFoundError("there is no search of that name")
    return sheet(found)


def _jobs(connection: Connection, _query: str) -> Sheet:
    """Return the jobs as the page lists them: what runs, what waits, then what ended."""
    columns = (
        "job", "kind", "classes", "n_classes", "backbone", "reason", "requested_by",
        "requested_at", "status", "worker", "tries", "started_at", "finished_at", "stage",
        "challenger", "parent", "cancelled_by", "error", "reasons_of_the_gate",
    )  # fmt: skip
    found = job_lines.latest(connection, _MOST)
    return Sheet("jobs.csv", columns, map(_job, found))


def _job(line: JobLine) -> list[Any]:
    return [
        line.id,
        line.kind,
        line.labels,
        line.n_labels,
        line.backbone,
        line.reason,
        line.requested_by,
        line.requested_at,
        line.status,
        line.worker,
        line.tries,
        line.started_at,
        line.finished_at,
        line.stage,
        line.challenger,
        line.parent,
        line.cancelled_by,
        line.error,
        line.reasons,
    ]


def _versions(connection: Connection, _query: str) -> Sheet:
    rows = [
        [
            each.version,
            "champion" if each.is_champion else "once champion" if each.was_champion else None,
            each.parent,
            each.job,
            each.val_top1,
            each.test_top1,
            each.backbone,
            each.created_at,
        ]
        for each in version_lines.latest(connection, _MOST)
    ]
    columns = (
        "version", "role", "made_from", "by_job", "validation", "test", "backbone", "made_at",
    )  # fmt: skip
    return Sheet("versions.csv", columns, rows)


def _exam(connection: Connection, query: str) -> Sheet:
    """Return what the gate counted in a job's exam, class by class.

    Raises:
        NotFoundError: There is no such job, or it had no exam.
    """
    number = training_view(query).job
    if number is None:
        raise NotFoundError("name a job: ?job=7")
    gate: Mapping[str, Any] = (jobs.get(connection, number).result or {}).get("gate") or {}
    classes = [*gate.get("classes", []), *filter(None, [gate.get("overall")])]
    if not classes:
        raise NotFoundError("this job had no exam")
    counted = ("gained", "lost", "difference", "standard_error", "low", "high", "verdict")
    rows = [[each.get(name) for name in ("label", "n", *counted)] for each in classes]
    return Sheet("exam.csv", ("class", "images", *counted), rows)
