"""Two days of traffic, the second darker, checked for drift: for tests of what is shown of it."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine

from core.store import drift as drift_checks
from core.store import rollups
from core.store.database import transaction
from monitor.drift import drift
from tests.pool import add_predictions, day, night_after, register


def tell(engine: Engine, home: Path, labels: Sequence[str]) -> None:
    """Write both days: predictions, rollups, and the verdicts of the monitor."""
    version = register(engine, home / "bundles", labels=list(labels))
    for number, darker in ((1, 1.0), (2, 0.6)):
        add_predictions(engine, version, day(number), 150, darker=darker)
        terms = drift.Terms(2_000, home / "reports", 0, night_after(number).now())
        with transaction(engine) as connection:
            rollups.roll_up(connection, day(number))
        checks = drift.check(engine, day(number), version, terms)
        with transaction(engine) as connection:
            drift_checks.write(connection, day(number), "v1", checks)
