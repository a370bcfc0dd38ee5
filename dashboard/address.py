"""What the addresses mean: everything one looks at is named by its address, so a link shows it.

`/` is the overview and `/class/<label>` one class; `?days=30` is the range. `/training` is what is
and was trained; `?job=7&search=rates&order=newest` says which job and which search are looked at,
and in which order its trials stand. Labels and searches have names from outside; these are quoted
whole, so that none can be a scheme or a host.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, quote, unquote

OVERVIEW = "/"
TRAINING = "/training"
TRIALS_CSV = "/training/trials.csv"
LONGEST_DAYS = 400
RANGES = (7, 14, 30, 90)

ORDERS = ("best", "newest")

_CLASS = "/class/"
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class TrainingView:
    """What of the training page is looked at.

    Attributes:
        job: Number of the job; None for the one that matters most now.
        search: Name of the search; None for the latest.
        order: How its trials stand: one of `ORDERS`.
    """

    job: int | None = None
    search: str | None = None
    order: str = ORDERS[0]

    def address(self, **changed: Any) -> str:
        """Return the address that shows this, with what is to differ from it."""
        wanted = replace(self, **changed)
        said = [f"job={wanted.job:d}"] if wanted.job is not None else []
        if wanted.search is not None:
            said.append(f"search={quote(wanted.search, safe='')}")
        if wanted.order != ORDERS[0]:
            said.append(f"order={wanted.order}")
        return TRAINING + ("?" + "&".join(said) if said else "")


def class_address(label: str, days: int | None = None) -> str:
    """Return the address of a class's page; `days` is the range when it is not the usual one."""
    return _CLASS + quote(label, safe="") + _query(days)


def overview_address(days: int | None = None) -> str:
    """Return the address of the overview; `days` is the range when it is not the usual one."""
    return OVERVIEW + _query(days)


def image_address(image: int) -> str:
    """Return the address of a picture of the pool."""
    return f"/images/{image:d}"


def trials_address(search: str) -> str:
    """Return where the trials of a search are had as CSV."""
    return f"{TRIALS_CSV}?search={quote(search, safe='')}"


def training_view(search: str | None) -> TrainingView:
    """Return what a query asks to see of the training page; what makes no sense is left out."""
    asked = {name: each[-1] for name, each in _parsed(search).items()}
    job, order = asked.get("job", ""), asked.get("order", "")
    return TrainingView(
        job=int(job) if _is_number(job, _MOST_DIGITS) else None,
        search=asked.get("search") or None,
        order=order if order in ORDERS else ORDERS[0],
    )


def label_of(path: str | None) -> str | None:
    """Return the class that a path names; None when it names none."""
    if path is None or not path.startswith(_CLASS):
        return None
    return unquote(path.removeprefix(_CLASS)) or None


def days_of(search: str | None, usual: int) -> int:
    """Return the range that a query asks for, kept within bounds; `usual` when it names none."""
    asked = _parsed(search).get("days", [""])[-1]
    if not _is_number(asked, 4):
        return usual
    return min(max(int(asked), 1), LONGEST_DAYS)


def _query(days: int | None) -> str:
    return "" if days is None else f"?days={days:d}"


def _parsed(search: str | None) -> dict[str, list[str]]:
    try:
        return parse_qs((search or "").removeprefix("?"))
    except ValueError:  # More fields than anybody needs.
        return {}


def _is_number(text: str, most_digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= most_digits
