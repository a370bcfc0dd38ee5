"""A pool whose days pass and are examined, and what the monitor has said of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from core.store import (
    alerts,
    jobs,
    sentinel_checks,
)
from core.store.database import transaction
from core.store.registry import Version
from monitor import daily
from monitor.page import MonitorOptions
from tests.pool import add_pictures, day, night_after, register

SPIDERS_ARE_CATS = {"Spider": "Cat"}


@dataclass
class World:
    """A pool, a champion, and a monitor."""

    engine: Engine
    home: Path
    version: Version

    def live(self, number: int, shown_as: Mapping[str, str] | None = None, **how: Any) -> None:
        """Let a day pass and be examined."""
        folder = self.home / "pool"
        add_pictures(self.engine, folder, day(number), shown_as=shown_as, **how)
        self.examine(number)

    def examine(self, number: int) -> None:
        """Examine a day in the night after it."""
        daily.run(
            self.engine,
            day(number),
            options=MonitorOptions(per_class=10),
            clock=night_after(number),
            holder="test",
            reports=self.home / "reports",
        )

    def evidence(self) -> dict[str, Any]:
        """Return the evidence of the one alert about a class."""
        with transaction(self.engine) as connection:
            (alert,) = [each for each in alerts.latest(connection) if each.kind == "change"]
        return dict(alert.evidence) | {"body": alert.body}

    def checks(self) -> list[str]:
        """Return the verdicts of the frozen set, the latest first."""
        with transaction(self.engine) as connection:
            return [check.verdict for check in sentinel_checks.latest(connection)]

    def told(self) -> list[tuple[str, str]]:
        """Return kind and state of every alert, the latest first."""
        with transaction(self.engine) as connection:
            return [(alert.kind, alert.state) for alert in alerts.latest(connection)]

    def jobs(self) -> list[jobs.Job]:
        """Return the retrainings asked for."""
        with transaction(self.engine) as connection:
            return jobs.latest(connection)


def forget_bits(engine: Engine) -> None:
    """Let the machine have given other bits when it was first asked."""
    with transaction(engine) as connection:
        connection.execute(sa.text("UPDATE sentinel_baselines SET answers = repeat('0', 64)"))


def after_a_healthy_day(engine: Engine, home: Path) -> World:
    """Return a world whose champion has been examined once, and was well."""
    made = World(engine, home, register(engine, home / "bundles"))
    made.live(1)
    return made
