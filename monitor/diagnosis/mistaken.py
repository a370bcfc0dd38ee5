"""What a class is now mistaken for: the class with the most evidence of it.

Not the one with the largest count: dogs that were always called cats now and then are no news. One
name is told wherever an alert says it (monitor.judgement.alerting): this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.stats.confusion import Together, confusion_e_values, confusion_levels
from monitor.diagnosis.findings import Confused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from monitor.diagnosis.material import Material


def most_mistaken_for(material: Material) -> Confused | None:
    """Return the class with the largest e-value; None when no image was called otherwise."""
    days = [day for day in material.days if day.n > 0]
    others = sorted({name for day in days for name in day.confused})
    if not others:
        return None
    counted = material.counts.get(material.label, {})
    images, before = _int(counted.get("n")), _counts(counted.get("confused"))
    levels = confusion_levels(
        [before.get(name, 0) for name in others],
        images,
        [_usual(material, name) for name in others],
    )
    called = [[day.confused.get(name, 0) for day in days] for name in others]
    total = [day.n for day in days]
    together = _together(material, [day.day for day in days], others)
    evidence = confusion_e_values(called, total, levels, together)
    # The larger e-value, then the more images, so that ties are told alike.
    times = [sum(each) for each in called]
    place = max(range(len(others)), key=lambda i: (evidence[i], times[i]))
    choices = max(len(material.labels) - 1, 1)
    return Confused(
        label=others[place],
        times=times[place],
        images=sum(total),
        reference_share=before.get(others[place], 0) / images if images else 0.0,
        level=float(levels[place]),
        e_value=float(evidence[place]),
        chosen_from=choices,
        e_value_chosen=float(evidence[place]) / choices,
    )


def _together(material: Material, days: Sequence[date], others: Sequence[str]) -> Together | None:
    """Return the images that are one bet a group; None where each is its own."""
    place = {day: i for i, day in enumerate(days)}
    groups = [each for each in material.together if each.day in place]
    if not groups:
        return None
    called = [[each.said.get(name, 0) for each in groups] for name in others]
    return Together(
        np.array([place[each.day] for each in groups], dtype=np.int64),
        np.array(called, dtype=np.int64),
        np.array([each.n for each in groups], dtype=np.int64),
    )


def _usual(material: Material, name: str) -> float:
    """Return the share of all third classes' reference images that were called so."""
    thirds = [
        counted for label, counted in material.counts.items() if label not in {name, material.label}
    ]
    images = sum(_int(counted.get("n")) for counted in thirds)
    called = sum(_counts(counted.get("confused")).get(name, 0) for counted in thirds)
    return called / images if images else 0.0


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _counts(value: object) -> dict[str, int]:
    return dict(value) if isinstance(value, dict) else {}
