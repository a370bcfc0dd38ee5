"""What of the training page is looked at, as its address says it.

`/training?job=7&search=rates&order=newest` says which job and which search are looked at, and in
which order its trials stand. Searches have names from outside; these are quoted whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from dashboard.address import is_number, parsed

PATH = "/training"
TRIALS_CSV = "/training/trials.csv"
JOBS_CSV = "/training/jobs.csv"
VERSIONS_CSV = "/training/versions.csv"
ORDERS = ("best", "newest")

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
        return PATH + ("?" + "&".join(said) if said else "")


def trials_address(search: str) -> str:
    """Return where the trials of a search are had as CSV."""
    return f"{TRIALS_CSV}?search={quote(search, safe='')}"


def training_view(search: str | None) -> TrainingView:
    """Return what a query asks to see of the training page; what makes no sense is left out."""
    asked = {name: each[-1] for name, each in parsed(search).items()}
    job, order = asked.get("job", ""), asked.get("order", "")
    return TrainingView(
        job=int(job) if is_number(job, _MOST_DIGITS) else None,
        search=asked.get("search") or None,
        order=order if order in ORDERS else ORDERS[0],
    )
