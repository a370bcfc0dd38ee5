"""The tables of a class's page as they leave it: counted day by day, and image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.pages.health import figures
from dashboard.parts.exports import Sheet

if TYPE_CHECKING:
    from dashboard.pages.health.facts import OneClass


def days(facts: OneClass) -> Sheet:
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
                each.day,
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
    return Sheet("class.csv", columns, rows)


def weeks(facts: OneClass) -> Sheet:
    """Return the weeks: precision, recall, confidence and calibration."""
    columns = (
        "first",
        "last",
        "images",
        "recalled",
        "recall",
        "called",
        "right",
        "precision",
        "confidence",
        "calibration_error",
        "by_chance",
    )
    rows = [
        [
            each.first,
            each.last,
            each.n,
            each.recalled,
            each.recall,
            each.called,
            each.right,
            each.precision,
            each.confidence,
            each.error,
            each.by_chance,
        ]
        for each in facts.weeks
    ]
    return Sheet("weeks.csv", columns, rows)


def mistaken_for(facts: OneClass) -> Sheet:
    """Return what it is mistaken for, by version and stretch, the most often first."""
    columns = ("version", "stretch", "first", "last", "images", "predicted", "times", "share")
    rows = [
        [each.version, each.stretch, each.first, each.last, each.n, label, times, share]
        for each in figures.counted(facts)
        for label, times, share in sorted(
            ((label, times, each.shares.get(label)) for label, times in each.times.items()),
            key=lambda row: (-row[1], row[0]),
        )
    ]
    return Sheet("mistaken-for.csv", columns, rows)


def wrong(facts: OneClass) -> Sheet:
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
                each.day,
                each.version,
                each.label,
                each.predicted,
                round(each.confidence, 6),
                near and near.image,
                near and round(near.distance, 6),
            ]
        )
    return Sheet("wrong-images.csv", columns, rows)


def drift(facts: OneClass) -> Sheet:
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
            each.day,
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
    return Sheet("class-drift.csv", columns, rows)
