"""The first step of a day: its predictions summed by hour, version and label."""

from __future__ import annotations

from core.store import rollups, runs
from core.store.database import transaction
from monitor.page import Page


def roll_up(page: Page) -> int:
    """Sum the day's predictions, of all versions, and return how many there were.

    Raises:
        StaleRunError: Somebody else has taken the day over; nothing is written.
    """
    with transaction(page.engine) as connection:
        predictions = rollups.roll_up(connection, page.day)
        # Asked last: the question locks the run's row, and this may take longer than its lease.
        runs.require_fence(connection, page.run)
    return predictions
