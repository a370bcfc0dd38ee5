"""The tables of the versions' pages as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint

from core.errors import NotFoundError
from core.store import lineage, registry
from dashboard.pages.models import facts
from dashboard.pages.models.view import (
    CHAMPIONS_CSV,
    CLASSES_CSV,
    CONFIGURATION_CSV,
    CSV,
    LOADS_CSV,
    VERSIONS_CSV,
    models_view,
)
from dashboard.parts.exports import Sheet, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from core.store.registry import Version
    from dashboard.page import House

_MOST = 10_000


def blueprint(house: House) -> Blueprint:
    """Return the routes of the files that `dashboard.pages.models.view` names."""
    routes = Blueprint("models", __name__)
    for address, made in (
        (CSV, _compared),
        (VERSIONS_CSV, _versions),
        (CHAMPIONS_CSV, _champions),
        (CLASSES_CSV, _classes),
        (CONFIGURATION_CSV, _configuration),
        (LOADS_CSV, _loads),
    ):
        serve(routes, house.engine, address, made)
    return routes


def _compared(connection: Connection, query: str) -> Sheet:
    """Return the two versions that a query names, class by class.

    Raises:
        NotFoundError: One of them is not registered.
    """
    view = models_view(query)
    found = facts.two(connection, view.a, view.b) if view.a and view.b else None
    if found is None:
        raise NotFoundError("name two registered versions: ?a=v1&b=v2")
    rows = [
        [row.label or "(all images)", row.n, row.a, row.b, row.difference, row.low, row.high]
        for row in [*([found.whole] if found.whole else []), *found.rows]
    ]
    columns = ("class", "images", found.a, found.b, "difference", "low", "high")
    return Sheet("compare.csv", columns, rows)


def _versions(connection: Connection, _query: str) -> Sheet:
    """Return every version, the newest first."""
    serving = registry.champion(connection)
    rows = [
        [
            each.version,
            serving is not None and each.version == serving.version,
            each.created_at,
            each.parent,
            each.test_top1,
            each.snapshot,
            each.snapshot_at,
            each.backbone,
            each.job,
            each.job_status,
        ]
        for each in lineage.page(connection, _MOST)
    ]
    columns = (
        "version", "champion", "made_at", "made_from", "test", "data", "data_frozen_at",
        "backbone", "by_job", "job_status",
    )  # fmt: skip
    return Sheet("versions.csv", columns, rows)


def _champions(connection: Connection, _query: str) -> Sheet:
    """Return who served when, the latest first."""
    rows = [
        [each.version, each.since, each.until, each.by, each.reason]
        for each in lineage.services(connection, _MOST)
    ]
    return Sheet("champions.csv", ("version", "since", "until", "moved_by", "why"), rows)


def _classes(connection: Connection, query: str) -> Sheet:
    """Return a version's recalls of its test images, beside its reference."""
    version = _named(connection, query)
    recalls: Mapping[str, Any] = (version.metrics.get("test") or {}).get("per_class") or {}
    counted: Mapping[str, Any] = version.reference
    rows = [
        [
            label,
            recalls.get(label),
            (counted.get(label) or {}).get("n"),
            (counted.get(label) or {}).get("correct"),
        ]
        for label in sorted({*recalls, *counted})
    ]
    columns = ("class", "test_recall", "reference_images", "reference_right")
    return Sheet("by-class.csv", columns, rows)


def _configuration(connection: Connection, query: str) -> Sheet:
    """Return the configuration of the run that made a version."""
    rows = sorted(_named(connection, query).config.items())
    return Sheet("configuration.csv", ("name", "value"), rows)


def _loads(connection: Connection, query: str) -> Sheet:
    """Return the last attempt of each service to load a version."""
    rows = [
        [each.instance, "loaded" if each.ok else "refused", each.at, each.detail, each.seconds]
        for each in registry.latest_loads(connection, _named(connection, query).version)
    ]
    columns = ("service", "outcome", "at", "what_it_said", "seconds")
    return Sheet("loads.csv", columns, rows)


def _named(connection: Connection, query: str) -> Version:
    """Return the version that a query names.

    Raises:
        NotFoundError: It names none that is registered.
    """
    name = models_view(query).version
    if name is None:
        raise NotFoundError("name a registered version: ?version=v3")
    return registry.get(connection, name)
