"""What of the versions is looked at, as its address says it.

`/models` is the list, `?version=v3` one of them, `?a=v3&b=v2` two of them on the same images, and
`?promote=v3` and `?rollback=v3` ask before the champion is moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from dashboard.address import is_number, parsed

PATH = "/models"
CSV = "/models/compare.csv"
VERSIONS_CSV = "/models/versions.csv"
CHAMPIONS_CSV = "/models/champions.csv"
CLASSES_CSV = "/models/by-class.csv"
CONFIGURATION_CSV = "/models/configuration.csv"
LOADS_CSV = "/models/loads.csv"

_LONGEST_NAME = 100
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ModelsView:
    """What of the versions is looked at.

    Attributes:
        version: The one version; None for the list.
        a: The first of two that are compared; None for none.
        b: The second.
        promote: The version that is to be promoted; None for none.
        rollback: The champion that is to be rolled back; None for none.
        before: Only versions with a smaller number are listed; None for the newest.
    """

    version: str | None = None
    a: str | None = None
    b: str | None = None
    promote: str | None = None
    rollback: str | None = None
    before: int | None = None


def models_view(search: str | None) -> ModelsView:
    """Return what a query asks to see of the versions; what makes no sense is left out."""
    asked = {name: each[-1] for name, each in parsed(search).items()}
    named = {name: _name(asked.get(name, "")) for name in ("version", "a", "b")}
    before = asked.get("before", "")
    return ModelsView(
        **named,
        promote=_name(asked.get("promote", "")),
        rollback=_name(asked.get("rollback", "")),
        before=int(before) if is_number(before, _MOST_DIGITS) else None,
    )


def version_address(version: str, path: str = PATH) -> str:
    """Return the address of one version, or of one of its tables as a file."""
    return f"{path}?version={quote(version, safe='')}"


def compare_address(a: str, b: str, path: str = PATH) -> str:
    """Return the address of two versions on the same images."""
    return f"{path}?a={quote(a, safe='')}&b={quote(b, safe='')}"


def promote_address(version: str) -> str:
    """Return the address that asks before a version is promoted."""
    return f"{PATH}?promote={quote(version, safe='')}"


def rollback_address(champion: str) -> str:
    """Return the address that asks before the champion is rolled back."""
    return f"{PATH}?rollback={quote(champion, safe='')}"


def older_address(before: int) -> str:
    """Return the address of older versions."""
    return f"{PATH}?before={before:d}"


def _name(text: str) -> str | None:
    return text if 0 < len(text) <= _LONGEST_NAME else None
