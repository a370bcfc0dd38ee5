"""What the addresses mean: everything one looks at is named by its address, so a link shows it.

`/` is the overview and `/class/<label>` one class; `?days=30` is the range. What else an address
says is its page's affair. Labels have names from outside; these are quoted whole, so that none can
be a scheme or a host.
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote

OVERVIEW = "/"
LONGEST_DAYS = 400
RANGES = (7, 14, 30, 90)

_CLASS = "/class/"


def class_address(label: str, days: int | None = None) -> str:
    """Return the address of a class's page; `days` is the range when it is not the usual one."""
    return _CLASS + quote(label, safe="") + _query(days)


def overview_address(days: int | None = None) -> str:
    """Return the address of the overview; `days` is the range when it is not the usual one."""
    return OVERVIEW + _query(days)


def image_address(image: int) -> str:
    """Return the address of a picture of the pool."""
    return f"/images/{image:d}"


def label_of(path: str | None) -> str | None:
    """Return the class that a path names; None when it names none."""
    if path is None or not path.startswith(_CLASS):
        return None
    return unquote(path.removeprefix(_CLASS)) or None


def days_of(search: str | None, usual: int) -> int:
    """Return the range that a query asks for, kept within bounds; `usual` when it names none."""
    asked = parsed(search).get("days", [""])[-1]
    if not is_number(asked, 4):
        return usual
    return min(max(int(asked), 1), LONGEST_DAYS)


def _query(days: int | None) -> str:
    return "" if days is None else f"?days={days:d}"


def parsed(search: str | None) -> dict[str, list[str]]:
    """Return the values of each field of a query; none where it makes no sense."""
    try:
        return parse_qs((search or "").removeprefix("?"))
    except ValueError:  # More fields than anybody needs.
        return {}


def is_number(text: str, most_digits: int) -> bool:
    """Say whether a text is a whole number of not too many digits."""
    return text.isascii() and text.isdecimal() and len(text) <= most_digits
