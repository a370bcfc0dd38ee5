"""What each day is judged by: the alert rules in force on it.

A day that is judged again, for late labels say, is judged by the rules of that day and not by
today's. Where the rules changed within the stretch that is replayed, it is gone through piece by
piece, each from the memory that the one before it left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.judging import rules
from core.judging.standard import Standard, standard
from core.store import alert_rules
from core.store.alert_policy import AlertRules

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

    from core.judging.rules import Levels, Verdict
    from core.store.registry import Version
    from monitor.page import MonitorOptions


@dataclass(frozen=True, slots=True)
class Judged:
    """What the detectors say of a stretch of days.

    Attributes:
        verdicts: Day by day; classes that are left out raise no alarm in them.
        first: What the first day asked for is judged by, also when nothing was examined on it.
        by_day: What each of the days was judged by.
    """

    verdicts: list[Verdict]
    first: Standard
    by_day: dict[date, Standard]

    def on(self, day: date) -> Standard:
        """Return what a day was judged by."""
        return self.by_day.get(day, self.first)

    @property
    def levels(self) -> dict[date, Levels]:
        """What each of the days was held to."""
        return {day: each.levels for day, each in self.by_day.items()}


def rules_on(connection: Connection, day: date | None, options: MonitorOptions) -> AlertRules:
    """Return the alert rules in force on a day; what the settings say where none were ever set.

    Args:
        connection: Where they are kept.
        day: The day; None for the latest rules.
        options: What the settings say.
    """
    found = alert_rules.in_force(connection, day) if day else alert_rules.latest(connection)
    return found.rules if found else AlertRules(budget=options.alarm_budget, floor=options.floor)


def judge(connection: Connection, version: Version, first: date, options: MonitorOptions) -> Judged:
    """Compute the detectors' memory from `first` on anew, each day by the rules of that day.

    Args:
        connection: The transaction that judges.
        version: The version whose days they are.
        first: The first day that may have changed.
        options: What holds where no alert rules were ever set.
    """
    verdicts: list[Verdict] = []
    by_day: dict[date, Standard] = {}
    for start in [first, *alert_rules.set_after(connection, first)]:
        on = rules_on(connection, start, options)
        held_to = standard(version, on)
        # Replayed to the end each time; what the next rules judge otherwise is put over it.
        found = rules.replay(connection, version.version, start, held_to.levels)
        verdicts = [each for each in verdicts if each.day < start]
        verdicts += [_without(each, on.left_out) for each in found]
        by_day |= {each.day: held_to for each in found}
    return Judged(verdicts, standard(version, rules_on(connection, first, options)), by_day)


def _without(verdict: Verdict, left_out: tuple[str, ...]) -> Verdict:
    alarms = {label: e for label, e in verdict.alarms.items() if label not in left_out}
    return replace(verdict, alarms=alarms)
