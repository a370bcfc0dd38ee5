"""What people are told: which class, since when, how sure, mistaken for what, and five pictures.

An alert is a row, a line in the log, and a message to whoever hears of it (core.telling). A flag
is told of once when it opens, once more whenever its class is shown to be worse than was told, and
when it closes. The text is plain: class names stand in it as they are, but on one line; whoever
shows it escapes it for where it is shown.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core import telling
from core.escaping import one_line
from core.judging.rules import CERTAIN_REFERENCE
from core.shown.phrases import sure_text
from core.stats.evidence import certainty
from core.stats.proportions import jeffreys
from core.store import alerts, class_days, class_state, validations, worsening
from core.store.alerts import NewAlert
from core.store.told import Told
from core.telling import News
from monitor.diagnosis import diagnosis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.judging.rules import Levels
    from core.store.alerts import Alert
    from core.store.class_days import ClassDay
    from core.store.flags import Flag
    from core.store.validations import WrongImage
    from monitor.diagnosis.findings import Diagnosis
    from monitor.judgement.flagging import Decisions
    from monitor.judgement.standards import Judged

SHOWN_IMAGES = 5
_SHOWN_CLASSES = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Facts:
    """What an alert is written from.

    Attributes:
        flag: What it is about.
        days: The class's days since the change, in order.
        wrong: The worst images of these days, the surest wrong answers first.
        reference: Accuracy the class was held to.
        reference_images: Images behind that.
        classes: How many classes share the alarm budget.
        mistaken_for: The class with the most evidence that it is mistaken for it; None where
            nobody asked, and the most frequent one is named.
    """

    flag: Flag
    days: Sequence[ClassDay]
    wrong: Sequence[WrongImage]
    reference: float
    reference_images: int
    classes: int
    mistaken_for: str | None = None


def follow(
    connection: Connection,
    decisions: Decisions,
    judged: Judged,
    *,
    version: str,
    now: datetime,
    also: Sequence[News] = (),
) -> list[NewAlert]:
    """Let alerts follow the flags, and put what is news into the outbox as one message.

    Args:
        connection: The transaction that decided.
        decisions: The flags that were opened and closed.
        judged: What was decided on.
        version: The version judged.
        now: The present moment.
        also: Other news of the day, for the same message.

    Returns:
        What the new alerts say; tell it to the log when it is committed.
    """
    day = judged.verdicts[-1].day if judged.verdicts else None
    due = diagnosis.to_tell(connection, decisions.opened, version, day)
    due = [flag for flag in due if flag.label in judged.first.levels.labels]
    told = [
        raise_for(
            connection,
            flag,
            judged.on(flag.raised_on).levels,
            now=now,
            watched=judged.on(flag.raised_on).watched,
            # One that the runtime explained until now is explained by what is known today.
            seen_on=(version, day) if day else None,
        )
        for flag in due
    ]
    over = [flag.id for flag in decisions.closed if alerts.resolve(connection, flag.id, now=now)]
    if judged.verdicts:
        states = class_state.at(connection, version, judged.verdicts[-1].day)
        evidence = {state.label: state.evidence for state in states}
        worsening.note_evidence(connection, version, judged.verdicts[-1].day, evidence)
    opened = {flag.id for flag in due}
    worse = worsening.take_worsened(connection, but=opened)
    news = [News("opened", each) for each in alerts.of_flags(connection, sorted(opened))]
    news += [News("worsened", each) for each in worse]
    news += [News("resolved", each) for each in alerts.of_flags(connection, over)]
    news += also
    # Of what opens and closes within one replay nobody has to hear.
    brief = opened.intersection(over)
    telling.tell(connection, [each for each in news if each.alert.flag not in brief], now=now)
    return told


def raise_for(
    connection: Connection,
    flag: Flag,
    held_to: Levels,
    *,
    now: datetime,
    watched: int | None = None,
    seen_on: tuple[str, date] | None = None,
) -> NewAlert:
    """Store the alert of a flag, and return what it says.

    Args:
        connection: Where it is stored.
        flag: The flag.
        held_to: What its class is held to.
        now: The present moment.
        watched: How many classes share the alarm budget; all when None.
        seen_on: The version and the day by which it is explained; those of the flag when None.
    """
    period: tuple[date, date] = (flag.since, flag.raised_on)
    index = held_to.labels.index(flag.label)
    examined, day = seen_on or (flag.version, flag.raised_on)
    found = diagnosis.of_new_flag(connection, flag, day, version=examined)
    facts = Facts(
        flag=flag,
        days=class_days.of_label(connection, flag.version, flag.label, *period),
        wrong=validations.wrong_images(
            connection, flag.label, *period, version=flag.version, limit=SHOWN_IMAGES
        ),
        reference=float(held_to.reference[index]),
        reference_images=int(held_to.images[index]),
        classes=watched or len(held_to.labels),
        mistaken_for=found.confused.label if found and found.confused else None,
    )
    alert = compose(facts, now=now)
    if found is not None:
        body = "\n".join([alert.body, *_beside(found), *found.sentences])
        alert = replace(alert, body=body, evidence=found.to_dict())
    alerts.raise_alert(connection, alert)
    return alert


def compose(facts: Facts, *, now: datetime) -> NewAlert:
    """Return the alert that tells these facts."""
    flag = facts.flag
    n, correct = sum(day.n for day in facts.days), sum(day.correct for day in facts.days)
    confused = Counter[str]()
    for day in facts.days:
        confused.update(day.confused)
    named = facts.mistaken_for
    # By number, then by name, so that the same facts are always told in the same words; but the one
    # that the rest of the alert speaks of comes first.
    mistaken = sorted(confused.items(), key=lambda item: (item[0] != named, -item[1], item[0]))
    return NewAlert(
        flag=flag.id,
        at=now,
        title=(
            f"{one_line(flag.label)} is weak since {flag.since}: {correct} of {n} right, "
            f"reference {_percent(facts.reference)}"
        ),
        body="\n".join(_lines(facts, n, correct, mistaken)),
        confused_with=named or (mistaken[0][0] if mistaken else None),
        images=[image.image for image in facts.wrong],
        peak=flag.evidence,
        told=[Told(flag.since, flag.raised_on, n, correct)],
    )


def resolve(connection: Connection, flag: Flag, *, now: datetime) -> None:
    """Resolve the alert of a flag that has just closed."""
    alerts.resolve(connection, flag.id, now=now)


def tell_opened(alert: NewAlert | Alert) -> None:
    """Write a new alert to the log; call it when the alert is committed."""
    logger.warning("%s", alert.title, extra={"alert": alert.body.replace("\n", " | ")})


def tell_closed(flag: Flag, day: date) -> None:
    """Write to the log that a class has come back; call it when that is committed."""
    logger.info("%s is no longer weak: shown on %s", flag.label, day)


def _lines(facts: Facts, n: int, correct: int, mistaken: Sequence[tuple[str, int]]) -> list[str]:
    flag = facts.flag
    low, high = (_percent(float(end)) for end in jeffreys(correct, n))
    lines = [
        f"Since {flag.since}, {flag.version} was right on {correct} of {n} labelled images of "
        f"{one_line(flag.label)}: {_percent(correct / n)}, 95 % interval {low} to {high}. "
        f"Its reference is {_percent(facts.reference)}.",
        f"Evidence {_number(flag.evidence)} on {flag.raised_on}, threshold {flag.threshold:,.0f}: "
        f"{_budget(flag.threshold, facts.classes)}. It is {sure_text(certainty(flag.evidence))} "
        "that the class has fallen, if each falls once a year.",
    ]
    if mistaken:
        shown = ", ".join(
            f"{one_line(label)} ({times})" for label, times in mistaken[:_SHOWN_CLASSES]
        )
        more = sum(times for _, times in mistaken[_SHOWN_CLASSES:])
        lines.append(f"Mistaken for {shown}" + (f" and others ({more})." if more else "."))
    if facts.reference_images < CERTAIN_REFERENCE:
        lines.append(f"Reference still uncertain (n = {facts.reference_images}).")
    if facts.wrong:
        numbers = ", ".join(str(image.image) for image in facts.wrong)
        lines.append(f"Images, the surest wrong answers first: {numbers}.")
    return lines


def _beside(found: Diagnosis) -> list[str]:
    """Name the right images that look most like the wrong ones, each once and in their order."""
    nearest = dict.fromkeys(each.nearest for each in found.worst if each.nearest is not None)
    if not nearest:
        return []
    numbers = ", ".join(map(str, nearest))
    return [f"Beside them, answered right: image{'s' * (len(nearest) > 1)} {numbers}."]


def _budget(threshold: float, classes: int) -> str:
    """Say what the threshold promises: c = 30 K / b, the other way round."""
    return (
        f"at most {30 * classes / threshold:.2g} false alarms in 30 days, over all "
        f"{classes} classes"
    )


def _number(evidence: float) -> str:
    return f"{evidence:,.0f}" if evidence < 1e6 else f"{evidence:.0e}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
