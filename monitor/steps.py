"""What each step of a day leaves in its run: when it began, how long it took, how it ended.

The row in `runs` is written as the day goes on, so whoever looks sees which step it is at; a step
that was under way when its monitor died stays "running" there. Moments are by the clock, which may
be set back; seconds are by one that is never.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from core.store import runs
from core.store.database import transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.clock import Clock
    from core.store.runs import Run

RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a day.

    Attributes:
        step: Its name.
        started_at: When it began, in UTC as ISO 8601.
        finished_at: When it ended; None while it runs.
        seconds: How long it took; None while it runs.
        outcome: `running`, `done` or `failed`.
    """

    step: str
    started_at: str
    finished_at: str | None = None
    seconds: float | None = None
    outcome: str = RUNNING


class Steps:
    """The steps of one run so far.

    Args:
        engine: Where the run is.
        run: The run.
        clock: What time it is.
    """

    def __init__(self, engine: Engine, run: Run, clock: Clock) -> None:
        self._engine = engine
        self._run = run
        self._clock = clock
        self._steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Write down that a step begins, and how it ends.

        Raises:
            StaleRunError: Somebody else has taken the run over.
        """
        with self.within(name):
            self._write()
            yield
        self._write()

    @contextmanager
    def within(self, name: str) -> Generator[None]:
        """Take a step's times inside a transaction that is open, and holds the run's row.

        They are written with the next step, or the end of the one around the transaction, which
        is what stands in the row meanwhile, and when the process dies.
        """
        place, begun = len(self._steps), time.monotonic()
        self._steps.append(Step(name, self._clock.now().isoformat()))
        outcome = FAILED
        try:
            yield
            outcome = DONE
        finally:
            self._steps[place] = replace(
                self._steps[place],
                finished_at=self._clock.now().isoformat(),
                seconds=round(time.monotonic() - begun, 3),
                outcome=outcome,
            )

    def to_detail(self) -> dict[str, Any]:
        """Return the steps as the run's row keeps them."""
        return {"steps": [asdict(step) for step in self._steps]}

    def _write(self) -> None:
        with transaction(self._engine) as connection:
            runs.note(connection, self._run, self.to_detail())
