"""The first step of a day: its predictions summed by hour, version and label."""

from __future__ import annotations

from core.store import rollups
from monitor.page import Page


def roll_up(page: Page) -> int:
    """Sum the day's predictions, of all versions, and return how many there were."""
    with page.writing() as connection:
        return rollups.roll_up(connection, page.day)
