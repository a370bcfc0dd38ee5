"""Why a class has sunk: what it is mistaken for, what has moved, and whose fault it is.

`diagnose` is pure: the same material, the same diagnosis. What it says is a finding with its
numbers, not a proof: a cause is named where the tests of core.stats.cause agree, and `unclear`
otherwise. The frozen set comes first: where the runtime gives other answers than before, no class
is judged by them.

| cause | what it means | retraining |
|---|---|---|
| `runtime` | the registered model, computed or fed otherwise than before | refused |
| `label` | pictures of another class, as they always were, under this class's name | refused |
| `data` | pictures of a kind that the reference does not hold | yes |
| `model` | pictures and labels as before, answered otherwise; or another bundle | yes; no |
| `unclear` | too few wrong images, or the tests do not agree | yes |
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.stats import cause
from core.stats.cause import Reference, Rows, Verdict
from core.stats.confusion import confusion_e_values, confusion_levels
from core.store import alerts, flags
from monitor import label_doubts
from monitor.diagnosis_words import sentences_of
from monitor.findings import COLUMNS, Cause, Confused, Diagnosis, Doubt, Moved, WorstImage
from monitor.material import UNKNOWN_IMAGE, Material, gather, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.flags import Flag
    from core.store.registry import Version
    from core.store.traces import Trace

SHOWN = 5
MOST_A_DAY = 20

_DOUBTS = 20
_ALONE_LEVEL = 0.05


def explain(connection: Connection, flag: Flag, until: date | None = None) -> Diagnosis:
    """Return why the class of a flag has sunk, by what is known at the end of a day.

    Args:
        connection: Where the tables are.
        flag: The flag.
        until: The day; the one that raised the flag when None.
    """
    return diagnose(gather(connection, flag, until or flag.raised_on))


def of_new_flag(connection: Connection, flag: Flag) -> Diagnosis | None:
    """Return why the class of a flag has sunk; None past the first MOST_A_DAY flags of its day.

    Where hundreds of classes sink at once, the first ones tell what there is to tell.
    """
    before = [
        each
        for each in flags.overlapping(connection, flag.raised_on, flag.raised_on)
        if each.raised_on == flag.raised_on and each.id < flag.id
    ]
    return explain(connection, flag) if len(before) < MOST_A_DAY else None


def settle(connection: Connection, version: Version, day: date, *, now: datetime) -> None:
    """Bring the diagnoses of open flags up to date, and hold back labels that look wrong.

    Args:
        connection: Where the tables are.
        version: The version examined.
        day: The day examined; its new flags have their diagnosis already.
        now: The present moment.
    """
    weak = [flag for flag in flags.open_flags(connection) if flag.version == version.version]
    for flag in [flag for flag in weak if flag.raised_on < day][:MOST_A_DAY]:
        alerts.set_evidence(connection, flag.id, explain(connection, flag, day).to_dict())
    known = alerts.causes(connection, [flag.id for flag in weak])
    named = {flag.label: (flag.since, known.get(flag.id, "unclear")) for flag in weak}
    label_doubts.settle(connection, version, day, named, now=now)


def diagnose(material: Material) -> Diagnosis:
    """Return the diagnosis of this material."""
    confused = _confused(material)
    reference = Reference(material.reference.rows) if len(material.reference.rows) else None
    current, predicted = rows_of(material.current, material.labels)
    verdict = cause.blame(reference, current, predicted) if reference and len(current) else None
    moved = _moved(reference, current, material, verdict) if reference and verdict else ()
    named = _cause(material, verdict)
    found = Diagnosis(
        cause=named,
        label=material.label,
        confused=confused,
        moved=moved,
        worst=_worst(material),
        doubts=_doubts(material.current),
        verdict=verdict,
        sentinels=_sentinels(material),
    )
    return replace(found, sentences=sentences_of(found))


def _cause(material: Material, verdict: Verdict | None) -> Cause:
    check = material.check
    if check is not None and check.verdict in {"runtime", "model"}:
        return "runtime" if check.verdict == "runtime" else "model"
    return (verdict.blame if verdict else None) or "unclear"


def _confused(material: Material) -> Confused | None:
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
    evidence = confusion_e_values(called, total, levels)
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


def _usual(material: Material, name: str) -> float:
    """Return the share of all third classes' reference images that were called so."""
    thirds = [
        counted for label, counted in material.counts.items() if label not in {name, material.label}
    ]
    images = sum(_int(counted.get("n")) for counted in thirds)
    called = sum(_counts(counted.get("confused")).get(name, 0) for counted in thirds)
    return called / images if images else 0.0


def _moved(
    reference: Reference, current: Rows, material: Material, verdict: Verdict
) -> tuple[Moved, ...]:
    others, _ = rows_of(material.others, material.labels)
    own = current.take(reference.knows(current.labels))
    alone = cause.moved_alone(reference, own, others)
    return tuple(
        Moved(
            what=name,
            effect=float(verdict.from_own.effect[i]),
            adjusted_p=float(verdict.from_own.adjusted[i]),
            moved=bool(verdict.from_own.moved[i]),
            effect_alone=float(alone.effect[i]),
            adjusted_p_alone=float(alone.adjusted[i]),
            alone=bool(
                verdict.from_own.moved[i]
                and alone.adjusted[i] <= _ALONE_LEVEL
                and abs(alone.effect[i]) >= cause.EFFECT_FLOOR
            ),
        )
        for i, name in enumerate(COLUMNS)
    )


def _worst(material: Material) -> tuple[WorstImage, ...]:
    """Return the surest wrong answers, each beside another right image of its class."""
    wrong = [trace for trace in material.current if trace.predicted != trace.label]
    wrong.sort(key=lambda trace: (-trace.confidence, trace.image))
    shown = wrong[:SHOWN]
    number = material.labels.index(material.label)
    kept = material.reference
    fit = kept.right & (kept.rows.labels == number) & (kept.images != UNKNOWN_IMAGE)
    ids, embedding = kept.images[fit], kept.rows.embedding[fit].astype(np.float64)
    left = np.ones(len(ids), dtype=np.bool_)
    found: list[WorstImage] = []
    for trace in shown:
        nearest: int | None = None
        distance: float | None = None
        if left.any():
            apart = np.linalg.norm(embedding - trace.embedding, axis=1)
            place = int(np.argmin(np.where(left, apart, np.inf)))
            nearest, distance = int(ids[place]), float(apart[place])
            left[place] = False
        found.append(WorstImage(trace.image, trace.predicted, trace.confidence, nearest, distance))
    return tuple(found)


def _doubts(current: Sequence[Trace]) -> tuple[Doubt, ...]:
    found = [
        Doubt(trace.image, trace.suggested, trace.margin)
        for trace in current
        if trace.suggested is not None and trace.margin is not None
    ]
    return tuple(sorted(found, key=lambda doubt: (doubt.margin, doubt.image))[:_DOUBTS])


def _sentinels(material: Material) -> dict[str, Any] | None:
    check = material.check
    if check is None:
        return None
    return {"verdict": check.verdict, "day": check.day.isoformat(), "detail": check.detail}


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _counts(value: object) -> dict[str, int]:
    return dict(value) if isinstance(value, dict) else {}
