"""What of the inbox is looked at, as its address says it.

`/inbox?class=Spider` asks about that class alone; `/inbox?item=12` opens one image that was
answered, to correct it. Classes have names from outside; these are quoted whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from dashboard.address import is_number, parsed

PATH = "/inbox"
API = "/inbox/api"
PICTURE = "/inbox/picture"
LATELY_CSV = "/inbox/lately.csv"

_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class InboxView:
    """What of the inbox is looked at.

    Attributes:
        label: Only images that have to do with this class; None for all.
        item: One image that is opened again; None for the next that is asked about.
    """

    label: str | None = None
    item: int | None = None


def inbox_view(search: str | None) -> InboxView:
    """Return what a query asks to see of the inbox; what makes no sense is left out."""
    asked = {name: each[-1] for name, each in parsed(search).items()}
    item = asked.get("item", "")
    return InboxView(
        label=asked.get("class") or None, item=int(item) if is_number(item, _MOST_DIGITS) else None
    )


def inbox_address(label: str | None = None) -> str:
    """Return the address of the inbox, narrowed to a class where one is given."""
    return PATH if label is None else f"{PATH}?class={quote(label, safe='')}"


def picture_address(item: int) -> str:
    """Return the address of a picture of the inbox."""
    return f"{PICTURE}/{item:d}"
