"""The days a page looks at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.store.flags import Flag


@dataclass(frozen=True, slots=True)
class Range:
    """The days looked at, both ends included."""

    first: date
    last: date

    @property
    def ends(self) -> tuple[date, date]:
        """Its first and its last day."""
        return self.first, self.last

    @property
    def days(self) -> list[date]:
        """Every day of it, in order."""
        length = (self.last - self.first).days + 1
        return [self.first + timedelta(days=i) for i in range(length)]

    def holds(self, moment: date | datetime) -> bool:
        """Say whether a day, or the UTC day of a moment, lies in it."""
        day = moment.date() if isinstance(moment, datetime) else moment
        return self.first <= day <= self.last

    def touches(self, flag: Flag) -> bool:
        """Say whether a flag was up on one of its days."""
        return flag.since <= self.last and (flag.closed_on is None or flag.closed_on >= self.first)
