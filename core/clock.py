"""What time it is, as an argument.

Programs take a `Clock` at their front door and hand moments down, so that a test
or the demonstration can live two weeks in two minutes. Durations are never
measured with it: they come from `time.monotonic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Anything that can say what time it is."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still, for tests and for re-running a past day."""

    moment: datetime

    def now(self) -> datetime:
        """Return the one moment this clock knows."""
        return self.moment


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The machine's clock moved by the whole seconds that a file holds.

    The demonstration and drills write the file; several programs then live on
    the same simulated day. A missing file means no shift.
    """

    path: Path

    def now(self) -> datetime:
        """Return the machine's time plus the file's shift, in UTC."""
        try:
            shift_s = int(self.path.read_text(encoding="ascii").strip() or "0")
        except FileNotFoundError:
            shift_s = 0
        return datetime.now(UTC) + timedelta(seconds=shift_s)


def open_clock(shift_file: Path | None) -> Clock:
    """Return the system's clock, or the one shifted by `shift_file` when that is given."""
    return SystemClock() if shift_file is None else ShiftedClock(shift_file)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of `day` and of the day after it, in UTC."""
    start = datetime.combine(day, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)
