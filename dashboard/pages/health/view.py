"""What of the overview's table is looked at, as its address says it.

`/?days=30&state=weak&find=spi&sort=evidence.desc&filter={...}`: assets/health.js reads and writes
the same fields in the browser, without asking the server. Here they are read for the CSV, which
holds what the table shows, but for the filters of single columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import urlencode

from core.store.standing import Standing
from dashboard.address import OVERVIEW, days_of, parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboard.pages.health.facts import ClassReading

CLASSES_CSV = "/health/classes.csv"
# The rows of the table of classes; assets/health.js has the same address.
CLASSES_JSON = "/health/classes.json"
EVENTS_CSV = "/health/events.csv"
CLASS_CSV = "/health/class.csv"
WEEKS_CSV = "/health/weeks.csv"
CONFUSIONS_CSV = "/health/mistaken-for.csv"
WRONG_CSV = "/health/wrong.csv"
DRIFT_CSV = "/health/drift.csv"

# In the order of urgency, as the classes stand.
STATES: tuple[Standing, ...] = ("weak", "recovering", "uncertain", "healthy", "no labels")

_LONGEST_FIND = 200


@dataclass(frozen=True, slots=True)
class TableView:
    """Which classes are looked at.

    Attributes:
        state: Only those that stand so; None for all.
        find: Only those with this in their name; empty for all.
    """

    state: Standing | None = None
    find: str = ""

    def chosen(self, classes: Sequence[ClassReading]) -> list[ClassReading]:
        """Return those of the classes that are looked at, in their order."""
        sought = self.find.casefold()
        return [
            each
            for each in classes
            if (self.state is None or each.standing == self.state)
            and sought in each.label.casefold()
        ]


def table_view(search: str | None) -> TableView:
    """Return what a query asks to see; what makes no sense is left out."""
    asked = {name: each[-1] for name, each in parsed(search).items()}
    state = asked.get("state", "")
    known = cast("Standing", state) if state in get_args(Standing) else None
    return TableView(known, asked.get("find", "")[:_LONGEST_FIND])


def state_address(state: Standing | None, days: int | None) -> str:
    """Return the overview with the classes that stand so; all of them for None."""
    said = {"days": days, "state": state}
    query = urlencode({name: value for name, value in said.items() if value is not None})
    return OVERVIEW + (f"?{query}" if query else "")


def csv_address(path: str, *, days: int | None, label: str | None = None) -> str:
    """Return where a table is had as CSV: that of a class, or that of all."""
    said = {"class": label, "days": days}
    query = urlencode({name: value for name, value in said.items() if value is not None})
    return path + (f"?{query}" if query else "")


def label_and_days(search: str, usual: int) -> tuple[str, int]:
    """Return the class and the range that a query names."""
    return parsed(search).get("class", [""])[-1], days_of(search, usual)
