"""The traffic of past days looked at again, when predictions come late: sums first, then drift.

A prediction that waited in a service's spool while Postgres was away belongs to the day on which it
was made. Drift is checked again from the first day on whose sums it changed: later days may have
that one among their references. A day whose log has been dropped keeps its sums and its verdicts.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from core.clock import day_bounds
from core.errors import BundleError
from core.store import drift as drift_checks
from core.store import registry, rollups
from core.store.database import transaction
from monitor.drift import drift
from monitor.judgement import changes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Engine

    from core.clock import Clock
    from core.store.registry import Version
    from monitor.judgement.changes import Changed
    from monitor.page import MonitorOptions, OnProgress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What every part of a replay needs to know."""

    engine: Engine
    options: MonitorOptions
    clock: Clock
    by: str
    tell: OnProgress


@dataclass(frozen=True, slots=True)
class Checked:
    """How many days were checked for drift again, and which verdicts are others now."""

    days: int = 0
    changes: tuple[Changed, ...] = ()


def sum_up(terms: Terms, days: Sequence[date]) -> date:
    """Sum each day's predictions up anew, and return the first day whose sums changed.

    True labels that came late are among the sums, but no reason to check for drift. When nothing
    else changed, it is a day that never comes.
    """
    changed: list[date] = []
    for done, day in enumerate(days):
        terms.tell("summing traffic up", done, len(days))
        with transaction(terms.engine) as connection:
            before = rollups.fingerprint(connection, day)
            rollups.roll_up(connection, day)
            changed += [day] * (rollups.fingerprint(connection, day) != before)
    terms.tell("summing traffic up", len(days), len(days))
    return min(changed, default=date.max)


def check(terms: Terms, days: Sequence[date], reports: Path | None) -> Checked:
    """Check days for drift again, and write down which verdicts are others now.

    Args:
        terms: How.
        days: Days that have just been summed up.
        reports: Folder of the reports; None checks nothing.

    Raises:
        StoreError: Postgres is away.
    """
    if reports is None:
        return Checked()
    checked = 0
    found: list[Changed] = []
    for done, day in enumerate(days):
        terms.tell("checking for drift", done, len(days))
        with transaction(terms.engine) as connection:
            version = registry.champion_on(connection, day_bounds(day)[1])
        if version is None:
            continue
        try:
            found += _check_day(terms, day, version, reports)
        except BundleError as error:
            # Verdicts that stand are better than none, and the rest of the replay is better still.
            logger.warning("%s keeps its drift verdicts: %s", day, error)
            continue
        checked += 1
    return Checked(checked, tuple(found))


def _check_day(terms: Terms, day: date, version: Version, reports: Path) -> list[Changed]:
    options, now = terms.options, terms.clock.now()
    wanted = drift.Terms(options.drift_rows, reports, options.report_days, now)
    checks = drift.check(terms.engine, day, version, wanted)
    with transaction(terms.engine) as connection:
        before = drift_checks.of_day(connection, day, version.version)
        before += drift_checks.of_classes(connection, day, version.version)
        found = changes.of_drift(before, checks)
        drift_checks.write(connection, day, version.version, checks)
        changes.record(connection, found, now=now, by=terms.by)
    return found
