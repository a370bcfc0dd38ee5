"""Which labels that look wrong are held back from training, and which are let go again.

Where a model and a label disagree for sure, either may be wrong. An image is held back when it also
looks as the class that the model says, and its own class is not weak for another reason: where the
pictures or the model are at fault, disagreement is the weakness itself, and is what a retraining
must see. Nothing is let go because a cause is not known: only pictures and model can clear labels.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.stats import cause
from core.stats.cause import Reference
from core.store import label_suspects, traces
from core.store.label_suspects import Suspect
from core.store.traces import Stretch
from monitor.diagnosis.material import reference_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.registry import Version
    from core.store.traces import Trace

_DAYS = 60
_MOST = 2_000
_CLEAR_LABELS = frozenset({"data", "model"})


def settle(
    connection: Connection,
    version: Version,
    day: date,
    weak: Mapping[str, tuple[date, str]],
    *,
    now: datetime,
) -> int:
    """Hold back what looks wrong among a day's labels; return how many were not held before.

    For a class that is weak, everything since it sank is decided anew:

    | cause | held back of those that look as another class |
    |---|---|
    | `label` | all wrong images |
    | `unclear` | those whose label looks wrong by confident learning, as in a class that is well |
    | `data`, `model` | none, and what was is let go |
    | `runtime` | what was; by its answers nothing is added |

    Args:
        connection: Where the tables are.
        version: The version examined.
        day: The day examined.
        weak: Since when, and by whose fault, of each class whose flag is open.
        now: The present moment.
    """
    today = Stretch(version.version, day, day)
    doubtful = [each for each in traces.suspected(connection, today) if each.label not in weak]
    first = day
    for label, (since, named) in weak.items():
        stretch = Stretch(version.version, since, day)
        if named in {"label", "unclear"}:
            first = min(first, since)
            found = _wrong(connection, stretch, label)
            doubtful += [each for each in found if named == "label" or each.suggested is not None]
        if named not in _CLEAR_LABELS:
            continue
        reason = f"{label} is weak, and the cause is not its labels but: {named}"
        label_suspects.release(connection, version.version, label, since, reason=reason, now=now)
    suspects = _looking_otherwise(connection, version, first, doubtful)
    return label_suspects.hold_back(connection, suspects, now=now)


def _wrong(connection: Connection, asked: Stretch, label: str) -> list[Trace]:
    """Return every image of a class that was answered otherwise, also where not so surely."""
    found = traces.of_class(connection, asked, label, limit=_MOST)
    return [trace for trace in found if trace.predicted != trace.label]


def _looking_otherwise(
    connection: Connection, version: Version, first: date, doubtful: Sequence[Trace]
) -> list[Suspect]:
    """Return those that look as the class the model says, by the reference of before."""
    if not doubtful:
        return []
    earlier = Stretch(version.version, first - timedelta(days=_DAYS), first - timedelta(days=1))
    examined = {trace.image for trace in doubtful}
    kept = reference_of(
        connection, version, earlier, label=doubtful[0].label, without=examined
    ).rows
    if not len(kept):
        return []
    reference = Reference(kept)
    rows, predicted = rows_of(doubtful, version.labels)
    known = reference.knows(rows.labels) & reference.knows(predicted)
    rows, predicted = rows.take(known), predicted[known]
    found = cause.looks_as(reference, rows, predicted)
    those = [trace for trace, is_known in zip(doubtful, known.tolist(), strict=True) if is_known]
    return [
        Suspect(
            image=trace.image,
            version=trace.version,
            day=trace.day,
            label=trace.label,
            suggested=trace.suggested or trace.predicted,
            # Without a margin of its own, the largest it can be.
            margin=1 - 2 * trace.confidence if trace.margin is None else trace.margin,
        )
        for trace, looks in zip(those, found, strict=True)
        if looks == "label"
    ]
