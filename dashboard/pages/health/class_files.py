"""The tables of a class's page as they leave it: counted day by day, and image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dashboard.pages.health.facts import OneClass

Table = tuple[str, tuple[str, ...], list[list[Any]]]


def days(facts: OneClass) -> Table:
    """Return the examined days of the range: counts, interval and evidence."""
    states = {(each.day, each.version): each for each in facts.states}
    columns = (
        "day",
        "version",
        "images",
        "right",
        "low",
        "high",
        "mistaken_for",
        "reference",
        "evidence",
        "threshold",
        "alarm",
    )
    rows: list[list[Any]] = []
    for each in facts.reading.days:
        state = states.get((each.day, each.version))
        rows.append(
            [
                each.day.isoformat(),
                each.version,
                each.n,
                each.correct,
                round(each.low, 6),
                round(each.high, 6),
                each.confused,
                *(
                    [state.reference, state.evidence, state.threshold, state.alarm]
                    if state
                    else [None] * 4
                ),
            ]
        )
    return "class.csv", columns, rows


def wrong(facts: OneClass) -> Table:
    """Return the images that were mistaken, the surest wrong answers first."""
    columns = (
        "image",
        "day",
        "version",
        "label",
        "predicted",
        "confidence",
        "nearest_right_image",
        "distance",
    )
    rows: list[list[Any]] = []
    for each in facts.wrong:
        near = facts.neighbours.get(each.image)
        rows.append(
            [
                each.image,
                each.day.isoformat(),
                each.version,
                each.label,
                each.predicted,
                round(each.confidence, 6),
                near and near.image,
                near and round(near.distance, 6),
            ]
        )
    return "wrong-images.csv", columns, rows


def drift(facts: OneClass) -> Table:
    """Return the drift checks among the predictions of this class on the last checked day."""
    columns = (
        "day",
        "version",
        "column",
        "method",
        "predictions",
        "reference_n",
        "effect",
        "effect_floor",
        "adjusted_p",
        "verdict",
    )
    rows: list[list[Any]] = [
        [
            each.day.isoformat(),
            each.version,
            each.column,
            each.method,
            each.n,
            each.reference_n,
            each.effect,
            each.effect_floor,
            each.adjusted_p,
            each.verdict,
        ]
        for each in facts.drift
    ]
    return "class-drift.csv", columns, rows
