"""What of the drift page is looked at, as its address says it.

`/drift?days=30&day=2026-03-11&check=sharpness&class=Cow` says which days the matrix shows, and
which day, check and class are looked at. Classes have names from outside; these are quoted whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dashboard.address import parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/drift"
REPORTS = "/drift/reports"
MATRIX_CSV = "/drift/drift.csv"
CHECKS_CSV = "/drift/checks.csv"
CLASSES_CSV = "/drift/classes.csv"
MIX_CSV = "/drift/labels.csv"

_LONGEST = 400


@dataclass(frozen=True, slots=True)
class DriftView:
    """What of the drift page is looked at.

    Attributes:
        days: The range as links carry it on; None when it is the usual one.
        day: The day; None for the last one that was checked.
        version: Whose answers; None for those of the version that answered most.
        check: The column; None for the one that moved most.
        label: The predicted class; None for all of them.
    """

    days: int | None = None
    day: date | None = None
    version: str | None = None
    check: str | None = None
    label: str | None = None

    def address(self, **changed: Any) -> str:
        """Return the address that shows this, with what is to differ from it."""
        wanted = replace(self, **changed)
        said = [f"days={wanted.days:d}"] if wanted.days is not None else []
        if wanted.day is not None:
            said.append(f"day={wanted.day.isoformat()}")
        for name, value in (
            ("version", wanted.version),
            ("check", wanted.check),
            ("class", wanted.label),
        ):
            if value is not None:
                said.append(f"{name}={quote(value, safe='')}")
        return PATH + ("?" + "&".join(said) if said else "")

    def addresses_of(self, labels: Sequence[str], **changed: Any) -> list[str]:
        """Return the address of each of many classes, with what else is to differ."""
        begun = self.address(**changed, label="")
        return [begun + quote(label, safe="") for label in labels]


def file_address(path: str, view: DriftView, **changed: Any) -> str:
    """Return where a table is had as a file: what the page shows, with what is to differ."""
    return path + view.address(**changed).removeprefix(PATH)


def report_address(day: date, version: str) -> str:
    """Return where Evidently's report of a day is had."""
    return f"{REPORTS}/{day.isoformat()}/{quote(version, safe='')}"


def drift_view(search: str | None, *, days: int | None) -> DriftView:
    """Return what a query asks to see of the drift page; what makes no sense is left out.

    Args:
        search: The query.
        days: The range as links carry it on.
    """
    asked = {name: each[-1][:_LONGEST] for name, each in parsed(search).items()}
    return DriftView(
        days=days,
        day=day_of(asked.get("day", "")),
        version=asked.get("version") or None,
        check=asked.get("check") or None,
        label=asked.get("class") or None,
    )


def day_of(text: str) -> date | None:
    """Return the day that a text names as `2026-03-11`; None when it names none."""
    try:
        return date.fromisoformat(text) if len(text) == 10 and text.isascii() else None
    except ValueError:
        return None
