"""What was computed once and is kept, because an open page asks for it every few seconds."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sqlalchemy import Connection, Engine

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The last few values of one kind, by what they follow from.

    Whoever asks for a value that is being computed waits for it: ten open pages compute it once.
    """

    def __init__(self, most: int) -> None:
        """Keep at most so many values of each database."""
        self._most = most
        self._lock = Lock()
        self._values: WeakKeyDictionary[Engine, OrderedDict[Hashable, Value]] = WeakKeyDictionary()

    def get(self, connection: Connection, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value that follows from `key`, computed where it is not kept.

        Args:
            connection: To the database that it is read from.
            key: All that it follows from.
            compute: Computes it; where it fails nothing is kept.
        """
        with self._lock:
            known = self._values.setdefault(connection.engine, OrderedDict())
            if key not in known:
                known[key] = compute()
                while len(known) > self._most:
                    known.popitem(last=False)
            known.move_to_end(key)
            return known[key]
