"""Why a class has sunk: what it is mistaken for, what has moved, and whose fault it is.

`diagnose` is pure: the same material, the same diagnosis. What it says is a finding with its
numbers, not a proof: a cause is named where the tests of core.stats.cause agree, and `unclear`
otherwise. The frozen set comes first: what sank since the runtime gives other answers than before,
by answers that it can have turned, is no weak class.

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
from core.store import alerts, flags, notices, sentinel_checks, traces
from core.store.traces import Stretch
from monitor.diagnosis import label_doubts, mistaken
from monitor.diagnosis.diagnosis_words import sentences_of
from monitor.diagnosis.findings import COLUMNS, Cause, Diagnosis, Doubt, Moved, WorstImage
from monitor.diagnosis.material import (
    CURRENT,
    UNKNOWN_IMAGE,
    Material,
    gather,
    leads_of_wrong,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.flags import Flag
    from core.store.registry import Version
    from core.store.sentinel_checks import Check
    from core.store.traces import Trace

SHOWN = 5
MOST_A_DAY = 20

_DOUBTS = 20
_TURNED = 0.5  # of the wrong answers, so that a runtime that can turn them explains a class
_ALONE_LEVEL = 0.05


def explain(
    connection: Connection, flag: Flag, until: date | None = None, *, version: str | None = None
) -> Diagnosis:
    """Return why the class of a flag has sunk, by what is known at the end of a day.

    Args:
        connection: Where the tables are.
        flag: The flag.
        until: The day; the one that raised the flag when None.
        version: The version examined by then; the flag's when None.
    """
    return diagnose(gather(connection, flag, until or flag.raised_on, version or flag.version))


def of_new_flag(
    connection: Connection, flag: Flag, until: date | None = None, *, version: str | None = None
) -> Diagnosis | None:
    """Return why the class of a flag has sunk; None unless it is among the MOST_A_DAY surest.

    Where hundreds of classes sink at once, those with the most evidence are told of first; the
    others follow on the next days.
    """
    beside = flags.overlapping(connection, flag.raised_on, flag.raised_on)
    surer = [
        each
        for each in beside
        if each.raised_on == flag.raised_on
        and (-each.evidence, each.id) < (-flag.evidence, flag.id)
    ]
    if len(surer) >= MOST_A_DAY:
        return None
    return explain(connection, flag, until, version=version)


def to_tell(
    connection: Connection, opened: Sequence[Flag], version: str, day: date | None
) -> list[Flag]:
    """Return the flags that need an alert of their own now, the oldest first.

    A flag that the runtime explains has none: the runtime's own alert is about the same cause, and
    names the class. It gets one as soon as the runtime does not explain it any more.

    Args:
        connection: Where the tables are.
        opened: The flags just opened.
        version: The version examined.
        day: The day examined; None where no exam counted.
    """
    if day is None:
        return list(opened)
    older = _untold(connection, flags.open_flags(connection))
    waiting = {each.id: each for each in older if each.raised_on <= day} | {
        each.id: each for each in opened
    }
    check = sentinel_checks.last(connection, version, day)
    first = sentinel_checks.unsound_since(connection, version, day)
    told: list[Flag] = []
    for _, flag in sorted(waiting.items()):
        wrong: list[Trace] = []
        if first is not None and flag.version == version and flag.since >= first:
            asked = Stretch(version, flag.since, day)
            wrong = traces.of_class(connection, asked, flag.label, limit=CURRENT)
        if not _is_by_runtime(check, first, flag.since, wrong):
            told.append(flag)
    return told


def settle(connection: Connection, version: Version, day: date, *, now: datetime) -> None:
    """Bring the diagnoses of open flags up to date, and hold back labels that look wrong.

    At most MOST_A_DAY: those without a diagnosis first, the surest before the others, then those
    whose diagnosis is the oldest.

    Args:
        connection: Where the tables are.
        version: The version examined; flags of versions before it are diagnosed by its answers.
        day: The day examined; its new flags have their diagnosis already.
        now: The present moment.
    """
    known = set(version.labels)
    weak = [flag for flag in flags.open_flags(connection) if flag.label in known]
    told = {alert.flag: alert for alert in alerts.of_flags(connection, [f.id for f in weak])}

    def urgency(flag: Flag) -> tuple[str, float, int]:
        return str(told[flag.id].evidence.get("until") or ""), -flag.evidence, flag.id

    older = [flag for flag in weak if flag.id in told and flag.raised_on < day]
    for flag in sorted(older, key=urgency)[:MOST_A_DAY]:
        found = explain(connection, flag, day, version=version.version)
        before = dict(told[flag.id].evidence)
        evidence = found.to_dict()
        # What an earlier version's images have shown holds until this one's show something.
        if before and flag.version != version.version and not found.is_founded:
            evidence = before | {"until": day.isoformat()}
        alerts.set_evidence(connection, flag.id, evidence)
    causes = alerts.causes(connection, [flag.id for flag in weak])
    causes |= {flag.id: "runtime" for flag in weak if flag.id not in told}
    _name_under_runtime(connection, [flag for flag in weak if flag.id not in told], version)
    named = {flag.label: (flag.since, causes.get(flag.id, "unclear")) for flag in weak}
    label_doubts.settle(connection, version, day, named, now=now)


def _untold(connection: Connection, found: Sequence[Flag]) -> list[Flag]:
    told = {alert.flag for alert in alerts.of_flags(connection, [flag.id for flag in found])}
    return [flag for flag in found if flag.id not in told]


def _name_under_runtime(connection: Connection, untold: Sequence[Flag], version: Version) -> None:
    """Let the runtime's alert name the classes that it explains."""
    classes = [{"label": flag.label, "since": flag.since.isoformat()} for flag in untold]
    if classes:
        evidence = {"cause": "runtime", "classes": classes}
        notices.set_evidence(connection, "runtime", version.version, evidence)


def diagnose(material: Material) -> Diagnosis:
    """Return the diagnosis of this material."""
    confused = mistaken.most_mistaken_for(material)
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
        version=material.version,
        until=material.until,
    )
    return replace(found, sentences=sentences_of(found))


def _cause(material: Material, verdict: Verdict | None) -> Cause:
    if _sentinels_explain(material):
        return "model" if material.check and material.check.verdict == "model" else "runtime"
    return (verdict.blame if verdict else None) or "unclear"


def _sentinels_explain(material: Material) -> bool:
    """Say whether what the frozen set found can be why the class sank."""
    check, first = material.check, material.unsound_since
    if check is not None and check.verdict == "model":
        return first is not None and material.since >= first
    return _is_by_runtime(check, first, material.since, material.current)


def _is_by_runtime(
    check: Check | None, first: date | None, since: date, current: Sequence[Trace]
) -> bool:
    """Say whether another runtime may be why a class sank.

    It is not to blame for what began before it changed, nor for answers that it cannot have turned.

    Args:
        check: What the frozen set said last.
        first: Since when it has been unsound.
        since: When the class sank.
        current: What was seen of it since.
    """
    if check is None or check.verdict != "runtime" or first is None or since < first:
        return False
    return cause.share_turned(leads_of_wrong(current), check.deviation) >= _TURNED


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
    first = material.unsound_since
    return {
        "verdict": check.verdict,
        "day": check.day.isoformat(),
        "detail": check.detail,
        "since": first.isoformat() if first else None,
        "explains": _sentinels_explain(material),
    }
