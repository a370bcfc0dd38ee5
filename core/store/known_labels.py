"""Whether there is a class of that name: asked before anybody's label is written down."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.store import images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def require_known(connection: Connection, label: str, champion: Sequence[str]) -> None:
    """Refuse a label that neither the champion nor the pool knows, and say which are near.

    Args:
        connection: Where the pool is.
        label: What somebody says.
        champion: The labels of the version that serves.

    Raises:
        UsageError: There is no such class.
    """
    if label in champion:
        return
    known = sorted({*champion, *images.labels(connection)})
    if label in known:
        return
    near = get_close_matches(label, known, n=3, cutoff=0.5) or known[:3]
    raise UsageError(f"no class has that name; did you mean: {', '.join(near) or 'none yet'}?")
