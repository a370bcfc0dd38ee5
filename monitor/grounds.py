"""What a retraining is asked for on: the numbers of each alert, kept with the job as they were.

The alert goes on and its flag may close; what a job was asked for must still be readable beside
what it came to. Everything here is read off tables, nothing is judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.escaping import one_line
from core.store import alerts, class_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.flags import Flag
    from core.store.registry import Version

# What a job's `payload` has these under.
KEY = "grounds"

_SHOWN_CONFUSIONS = 3


@dataclass(frozen=True, slots=True)
class Share:
    """Right answers of images; `accuracy` is None where there were none."""

    n: int
    correct: int
    accuracy: float | None

    @classmethod
    def of(cls, correct: int, n: int) -> Share:
        """Return the share of k of n."""
        return cls(n, correct, correct / n if n else None)


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why a class is retrained for.

    Attributes:
        label: The class.
        flag: Number of its flag.
        alert: Number of the alert that tells of it; None where none was raised.
        version: The version it was flagged against.
        examined: The version whose answers `now` counts.
        since: The day on which it most likely sank.
        raised_on: The day of the alarm.
        until: The last day counted.
        days: Examined days with images of the class among them.
        evidence: Of the alarm.
        threshold: What it had to reach.
        before: On the images the version was measured on when it was made.
        now: On the daily images since the class sank.
        confused_with: The classes it is mistaken for, `[label, images]`, the most frequent first.
        cause: Whose fault it is, as the diagnosis says; None where there is none yet.
    """

    label: str
    flag: int
    alert: int | None
    version: str
    examined: str
    since: date
    raised_on: date
    until: date
    days: int
    evidence: float
    threshold: float
    before: Share
    now: Share
    confused_with: list[list[Any]]
    cause: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON holds them."""
        days = {name: getattr(self, name).isoformat() for name in ("since", "raised_on", "until")}
        return asdict(self) | days

    def to_text(self) -> str:
        """Return the numbers in a few words."""
        shown = one_line(self.label)
        if self.now.accuracy is None:
            return f"{shown} (since {self.since})"
        was = "" if self.before.accuracy is None else f", was {100 * self.before.accuracy:.0f} %"
        return f"{shown} (since {self.since}: {self.now.correct} of {self.now.n} right{was})"


def gather(
    connection: Connection, flags: Sequence[Flag], *, examined: Version, until: date
) -> list[Grounds]:
    """Return what is known of some flags at the end of a day.

    Args:
        connection: Where to ask.
        flags: The flags.
        examined: The version examined on that day.
        until: The day.
    """
    told = {each.flag: each for each in alerts.of_flags(connection, [flag.id for flag in flags])}
    return [_of(connection, flag, told.get(flag.id), examined, until) for flag in flags]


def _of(
    connection: Connection, flag: Flag, alert: Alert | None, examined: Version, until: date
) -> Grounds:
    version = examined.version
    days = class_days.of_label(connection, version, flag.label, flag.since, until)
    if not any(day.n for day in days):
        # The version of now has not been examined on the class: its predecessor was.
        version = flag.version
        days = class_days.of_label(connection, version, flag.label, flag.since, until)
    confused = Counter[str]()
    for day in days:
        confused.update(day.confused)
    reference = examined.reference.get(flag.label, {})
    mistaken = sorted(confused.items(), key=lambda item: (-item[1], item[0]))
    return Grounds(
        label=flag.label,
        flag=flag.id,
        alert=alert.id if alert else None,
        version=flag.version,
        examined=version,
        since=flag.since,
        raised_on=flag.raised_on,
        until=until,
        days=sum(day.n > 0 for day in days),
        evidence=flag.evidence,
        threshold=flag.threshold,
        before=Share.of(int(reference.get("correct", 0)), int(reference.get("n", 0))),
        now=Share.of(sum(day.correct for day in days), sum(day.n for day in days)),
        confused_with=[[label, n] for label, n in mistaken[:_SHOWN_CONFUSIONS]],
        cause=str(alert.evidence["cause"]) if alert and alert.evidence.get("cause") else None,
    )
