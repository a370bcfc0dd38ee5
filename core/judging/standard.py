"""What the classes of a version are held to by some alert rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.judging import rules
from core.judging.pool import pool_of
from core.stats.pooled import split_budget

if TYPE_CHECKING:
    from core.judging.rules import Levels
    from core.store.alert_policy import AlertRules
    from core.store.registry import Version


@dataclass(frozen=True, slots=True)
class Standard:
    """What a day is judged by: the levels, and how many classes share the alarm budget."""

    levels: Levels
    watched: int


def standard(version: Version, on: AlertRules) -> Standard:
    """Return what the classes of a version are held to by some rules.

    Four fifths of the budget are shared by the classes that are watched: leaving some out makes the
    others' alarms come earlier, at the same number of false ones. The rest is for all together.
    """
    known = len(version.labels)
    watched = max(1, known - len(set(on.left_out) & set(version.labels)))
    share = split_budget(on.budget, watched).classes
    levels = rules.levels(version, budget=share * known / watched, floor=on.floor)
    together = pool_of(version, budget=on.budget, left_out=on.left_out)
    return Standard(replace(levels, pool=together), watched)
