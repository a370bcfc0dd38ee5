"""The tables of the drift page as files, and the charts that are tables as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import NotFoundError
from core.store import drift
from dashboard.address import days_of
from dashboard.pages.drift import facts
from dashboard.pages.drift.view import CHECKS_CSV, CLASSES_CSV, MATRIX_CSV, MIX_CSV, drift_view
from dashboard.parts.exports import Sheet, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Blueprint
    from sqlalchemy import Connection

    from core.store.drift import DriftCheck
    from dashboard.page import House
    from dashboard.pages.drift.facts import Day, Drift

COLUMNS = (
    "day", "version", "class", "column", "verdict", "effect", "effect_floor", "adjusted_p",
    "p_value", "level", "predictions", "reference_n", "reference", "method", "detail",
)  # fmt: skip


def add(routes: Blueprint, house: House) -> None:
    """Add the routes of the files that `dashboard.pages.drift.view` names."""

    def of_page(address: str, made: Callable[[Connection, Drift], Sheet]) -> None:
        def sheet(connection: Connection, query: str) -> Sheet:
            days, now = days_of(query, house.days), house.clock.now()
            view = drift_view(query, days=days)
            return made(connection, facts.gather(connection, view, days=days, now=now))

        serve(routes, house.engine, address, sheet)

    of_page(MATRIX_CSV, _of_range)
    of_page(CHECKS_CSV, lambda _, found: _of_day(_chosen(found), found))
    of_page(CLASSES_CSV, lambda connection, found: _of_classes(connection, _chosen(found)))
    of_page(MIX_CSV, lambda _, found: _mix(_chosen(found)))


def _chosen(found: Drift) -> Day:
    """Return the day that is looked at.

    Raises:
        NotFoundError: Nothing was checked on it.
    """
    if found.chosen is None:
        raise NotFoundError("nothing was checked on that day")
    return found.chosen


def _of_day(day: Day, found: Drift) -> Sheet:
    """Return the checks of the day: over all predictions, or within the class looked at."""
    return _checks("checks.csv", day.of_class if found.view.label is not None else day.checks)


def _of_range(connection: Connection, found: Drift) -> Sheet:
    """Return every check over all predictions in the range."""
    return _checks("drift.csv", drift.matrix(connection, *found.range.ends))


def _of_classes(connection: Connection, day: Day) -> Sheet:
    return _checks("classes.csv", drift.of_classes(connection, day.day, day.version))


def _checks(name: str, checks: Iterable[DriftCheck]) -> Sheet:
    rows = [
        [
            each.day,
            each.version,
            each.label,
            each.column,
            each.verdict,
            each.effect,
            each.effect_floor,
            each.adjusted_p,
            each.p_value,
            each.level,
            each.n,
            each.reference_n,
            each.reference,
            each.method,
            each.detail,
        ]
        for each in checks
    ]
    return Sheet(name, COLUMNS, rows)


def _mix(day: Day) -> Sheet:
    """Return how often each label was predicted, on the day and in the reference."""
    if day.histograms is None:
        raise NotFoundError("no pictures were kept of this day, and the mix of labels with them")
    before, now = day.histograms.mix.tolist()
    totals = sum(before) or 1, sum(now) or 1
    rows = [
        [label, k, k / totals[1], reference, reference / totals[0]]
        for label, reference, k in zip(day.histograms.labels, before, now, strict=True)
    ]
    columns = ("class", "predictions", "share", "reference_predictions", "reference_share")
    return Sheet("labels.csv", columns, rows)
