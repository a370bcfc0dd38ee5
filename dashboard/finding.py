"""A class found from every page: what the field in the header asks while somebody types.

No page carries the names of all classes; the server is asked for the first ten that fit.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from core.store import registry, validations
from core.store.database import transaction
from dashboard.address import class_address
from dashboard.door import caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

PATH = "/classes/find"
MOST = 10

_LONGEST = 200
_WORD = re.compile(r"\w+")


def blueprint(engine: Engine) -> Blueprint:
    """Return the route `/classes/find?q=spi`: the classes that fit best, and how many more do."""
    routes = Blueprint("finding", __name__)
    names = _Names()

    @routes.get(PATH)
    def find() -> Response:
        caller.current().require("read")
        with transaction(engine) as connection:
            found = fitting(names.of(connection), request.args.get("q", "")[:_LONGEST])
        shown = [{"label": each, "address": class_address(each)} for each in found[:MOST]]
        return jsonify({"classes": shown, "more": len(found) - len(shown)})

    return routes


def fitting(labels: Sequence[str], typed: str) -> list[str]:
    """Return the labels with a text in them, those that begin with it first.

    Then come those of which a word begins with it. Case does not matter.

    Example:
        >>> fitting(["Wild Cat", "Bobcat", "Cat", "Dog"], "cat")
        ['Cat', 'Wild Cat', 'Bobcat']
    """
    sought = typed.strip().casefold()
    found = [
        (place, label)
        for label in labels
        if (place := _place(label.casefold(), sought)) is not None
    ]
    return [label for _, label in sorted(found)]


def _place(label: str, sought: str) -> int | None:
    """Return how well a label fits, the best being 0; None where it does not."""
    if sought not in label:
        return None
    if label.startswith(sought):
        return 0 if label == sought else 1
    begins = any(label.startswith(sought, word.start()) for word in _WORD.finditer(label))
    return 2 if begins else 3


class _Names:
    """The classes of the version examined last; a version's never change, so they are kept."""

    def __init__(self) -> None:
        self._known: tuple[str, list[str]] = ("", [])
        self._lock = threading.Lock()

    def of(self, connection: Connection) -> list[str]:
        """Return the classes that have a page, in the order of the version."""
        exam = validations.last_done(connection)
        if exam is None:
            return []
        with self._lock:
            version, labels = self._known
        if version != exam.version:
            labels = registry.get(connection, exam.version).labels
            with self._lock:
                self._known = (exam.version, labels)
        return labels
