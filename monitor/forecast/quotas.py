"""How many labelled images of each class a day's draw wants, and how many fresh ones there are.

The evidence decides. Where it says nothing, between classes of equal evidence or before the first
exam, the class whose expected accuracy has fallen furthest comes first; see
monitor.forecast.expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from core.clock import day_bounds
from core.stats.allocation import allocate, allocate_within
from core.store import class_state, exam_draws
from monitor.forecast import expected

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.store.registry import Version
    from monitor.page import MonitorOptions


# What a suspect gets beyond the plain draw was taken in so many days, where its images are dated.
RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Quotas:
    """The draw of one day, class by class in the version's order.

    Attributes:
        wanted: Images that the draw would take if there were enough of each, shape (K,).
        drawn: What it takes of each, what one class lacks going to others, shape (K,).
        fresh: Images that this version has not learnt from, nor was judged on, nor chosen by, (K,).
        priority: The classes, the one to be labelled first in front, shape (K,).
        days_without_labels: Since the last exam with images of the class, shape (K,).
    """

    wanted: NDArray[np.int64]
    drawn: NDArray[np.int64]
    fresh: NDArray[np.int64]
    priority: NDArray[np.intp]
    days_without_labels: NDArray[np.int64]

    def needs_labels(self, labels: list[str]) -> list[dict[str, Any]]:
        """Return the classes the draw lacks images of, or had none of, the most urgent first."""
        short = np.maximum(self.wanted - self.fresh, 0)
        return [
            {
                "label": labels[i],
                "days_without_labels": int(self.days_without_labels[i]),
                "fresh": int(self.fresh[i]),
                "wanted": int(self.wanted[i]),
                "missing": int(short[i]),
            }
            for i in self.priority.tolist()
            if short[i] or self.days_without_labels[i]
        ]


def quotas(
    connection: Connection, version: Version, day: date, options: MonitorOptions, *, said: date
) -> Quotas:
    """Return the quotas of a day's draw.

    Args:
        connection: Where the pool is.
        version: The version to be examined.
        day: The day of the draw; only images taken before its end count.
        options: How many images a class, and whether suspects get more.
        said: The day whose predictions say where expected accuracy has fallen.
    """
    labels = version.labels
    states = {state.label: state for state in class_state.before(connection, version.version, day)}
    evidence = np.array([states[each].evidence if each in states else 0.0 for each in labels])
    absent = [states[each].days_without_labels if each in states else 0 for each in labels]
    end = day_bounds(day)[1]
    stock, recent = (
        np.array(
            exam_draws.fresh(
                connection,
                version=version.version,
                labels=labels,
                before=end,
                snapshot_at=version.snapshot_at,
                chosen=version.was_chosen,
                since=since,
            ),
            dtype=np.int64,
        )
        for since in (None, end - timedelta(days=RECENT_DAYS))
    )
    fallen = expected.fallen(expected.expected(connection, version, said))
    priority = np.lexsort((np.arange(len(labels)), -fallen, -evidence))
    wanted = drawn = np.full(len(labels), options.per_class, dtype=np.int64)
    if options.adaptive and len(labels) > 1 and (evidence.any() or fallen.any()):
        # Equal evidence is settled by the order of the classes, so they are put in order.
        total = options.per_class * len(labels)
        wanted, drawn = np.empty_like(wanted), np.empty_like(wanted)
        wanted[priority] = allocate(evidence[priority], total)
        # Old images say nothing of today: they fill up a plain draw, and are no suspect's extra.
        usable = np.maximum(recent, np.minimum(stock, options.per_class))
        drawn[priority] = allocate_within(evidence[priority], total, usable[priority])
    return Quotas(wanted, drawn, stock, priority, np.array(absent, dtype=np.int64))


def next_quotas(
    connection: Connection, version: Version, day: date, options: MonitorOptions
) -> Quotas:
    """Return the quotas of the draw that follows `day`, going by what `day` said."""
    return quotas(connection, version, day + timedelta(days=1), options, said=day)
