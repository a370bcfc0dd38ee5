"""After a promotion the fresh days decide: what answers worse than its predecessor goes back.

A version that the loop has promoted is on probation for some days. On each of them, both versions'
answers to the newly labelled images are compared (core.stats.paired_bet), as a whole and class by
class. Shown to be worse anywhere, it is rolled back in the transaction that judges the day, with an
alert of the kind `rolled back`; otherwise it is kept when its days are over.

There is no to and fro: what a rollback puts back was not promoted by the loop, so it has no
probation, and the loop only ever promotes versions it has just made. Whether a weak class has come
back is another question, which the recovery test of its flag answers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core import telling
from core.escaping import one_line
from core.stats.paired_bet import PairedEvidence, paired_evidence
from core.store import alerts, notices, probations, registry
from core.telling import News
from monitor.predecessor import last_day, watched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.probations import Pairs, Probation
    from core.store.registry import Version
    from monitor.page import MonitorOptions

KIND = "rolled back"
BY = "monitor"

_SHOWN_CLASSES = 5
_KEPT_CLASSES = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """Images that both versions answered, and how many only one of them named rightly.

    Attributes:
        label: The class; None for all together.
        n: Images.
        gained: Right by the new version alone.
        lost: Right by its predecessor alone.
        evidence: That the new version is worse.
    """

    label: str | None
    n: int
    gained: int
    lost: int
    evidence: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a version stands against its predecessor.

    Attributes:
        whole: All images.
        classes: Class by class, in the version's order; without those that have no image.
        worse: The classes that are shown to be worse.
        found: The evidence, with its thresholds.
    """

    whole: Counts
    classes: list[Counts]
    worse: list[Counts]
    found: PairedEvidence

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON; of many classes those with the most evidence."""
        differing = [each for each in self.classes if each.gained or each.lost]
        differing.sort(key=lambda each: (-each.evidence, str(each.label)))
        return {
            "whole": asdict(self.whole),
            "whole_threshold": self.found.whole_threshold,
            "classes": [asdict(each) for each in differing[:_KEPT_CLASSES]],
            "class_threshold": self.found.class_threshold,
            "worse": [each.label for each in self.worse],
        }


def decide(
    connection: Connection,
    version: Version,
    day: date,
    *,
    options: MonitorOptions,
    now: datetime,
) -> Alert | None:
    """Keep the version examined, roll it back, or wait; return the alert of a rollback.

    Args:
        connection: The transaction that judges the day.
        version: The version examined.
        day: The day examined.
        options: How long a probation lasts, and at what risk.
        now: The present moment.

    Raises:
        ConflictError: Somebody else moved the alias in the same moment; nothing is written.
    """
    probations.end_replaced(connection, now=now)
    _resolve_outdated(connection, now=now)
    probation = watched(probations.of_champion(connection), version.version, day)
    if probation is None or options.probation_days < 1:
        return None
    until = min(day, last_day(probation, options.probation_days))
    pairs = probations.pairs(connection, probation, probation.began_at.date(), until)
    standing = stand(pairs, version.labels, alpha=options.rollback_alpha)
    probations.note(connection, probation, day=until, evidence=standing.to_dict())
    if standing.found.is_worse:
        return _roll_back(connection, probation, standing, alpha=options.rollback_alpha, now=now)
    if day >= last_day(probation, options.probation_days):
        probations.end(connection, probation, "kept", now=now)
    return None


def stand(pairs: Sequence[Pairs], labels: Sequence[str], *, alpha: float) -> Standing:
    """Return how a version stands against its predecessor, by the images both answered.

    Args:
        pairs: How they were answered; labels that are no class of the version do not count.
        labels: The version's classes.
        alpha: Probability that a version that is nowhere worse is ever rolled back.
    """
    number = {label: i for i, label in enumerate(labels)}
    known = [each for each in pairs if each.label in number]
    found = paired_evidence(
        [(each.gained - each.lost) / each.n for each in known],
        [each.times for each in known],
        [number[each.label] for each in known],
        classes=len(labels),
        alpha=alpha,
    )
    by_label: dict[str, list[Pairs]] = {label: [] for label in labels}
    for each in known:
        by_label[each.label].append(each)
    classes = [
        _counts(label, by_label[label], float(found.classes[i])) for label, i in number.items()
    ]
    worse = [classes[i] for i in found.worse_classes.tolist()]
    return Standing(
        whole=_counts(None, known, found.whole),
        classes=[each for each in classes if each.n],
        worse=sorted(worse, key=lambda each: (-each.evidence, str(each.label))),
        found=found,
    )


def _counts(label: str | None, pairs: Sequence[Pairs], evidence: float) -> Counts:
    return Counts(
        label,
        n=sum(each.n * each.times for each in pairs),
        gained=sum(each.gained * each.times for each in pairs),
        lost=sum(each.lost * each.times for each in pairs),
        evidence=evidence,
    )


def _roll_back(
    connection: Connection,
    probation: Probation,
    standing: Standing,
    *,
    alpha: float,
    now: datetime,
) -> Alert | None:
    """Move the alias back, end the probation, and tell; all in the caller's transaction."""
    whole = standing.whole
    reason = (
        f"worse than {probation.against} on newly labelled images: {whole.lost} right by "
        f"{probation.against} alone, {whole.gained} by {probation.version} alone, of {whole.n}"
    )
    registry.roll_back(connection, now=now, by=BY, reason=reason, over=probation.version)
    probations.end(connection, probation, "rolled back", now=now)
    raised = notices.raise_once(
        connection,
        KIND,
        probation.version,
        title=f"{probation.version} was rolled back to {probation.against}: {reason}",
        body="\n".join(_lines(probation, standing, alpha)),
        now=now,
    )
    if raised is None:
        return None
    evidence = standing.to_dict() | {"version": probation.version, "against": probation.against}
    notices.set_evidence(connection, KIND, probation.version, evidence)
    told = alerts.get(connection, raised.id) or raised
    telling.tell(connection, [News("opened", told)], now=now)
    return told


def _lines(probation: Probation, standing: Standing, alpha: float) -> list[str]:
    new, old, found = probation.version, probation.against, standing.found
    lines = [
        f"Since {probation.began_at:%Y-%m-%d} both answered {standing.whole.n} newly labelled "
        f"images: {standing.whole.gained} were named rightly by {new} alone, "
        f"{standing.whole.lost} by {old} alone.",
        f"Evidence that {new} is worse: {standing.whole.evidence:.3g} over all images (threshold "
        f"{found.whole_threshold:,.0f}). Each class has a threshold of "
        f"{found.class_threshold:,.0f}. A version that is nowhere worse is rolled back with a "
        f"probability of {100 * alpha:g} % at most.",
    ]
    if standing.worse:
        shown = ", ".join(
            f"{one_line(str(each.label))} ({each.gained} by {new} alone, {each.lost} by {old} "
            f"alone, of {each.n}; evidence {each.evidence:.3g})"
            for each in standing.worse[:_SHOWN_CLASSES]
        )
        more = len(standing.worse) - _SHOWN_CLASSES
        lines.append(f"Shown to be worse: {shown}" + (f" and {more} more." if more > 0 else "."))
    lines.append(
        f"{old} serves again. {new} is not promoted again by itself; by hand: weakspot model "
        f"promote {new}. The next retraining waits for the cool-down and for new images."
    )
    return lines


def _resolve_outdated(connection: Connection, *, now: datetime) -> None:
    """Resolve what was told of rollbacks, once another version serves than the one put back."""
    serving = registry.champion(connection)
    for version in notices.causes(connection, KIND):
        probation = probations.rolled_back(connection, version)
        if serving and probation and serving.version != probation.against:
            over = notices.resolve(connection, KIND, version, now=now)
            telling.tell(connection, [News("resolved", over)] if over else [], now=now)
