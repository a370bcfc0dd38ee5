"""What people are told of the model as a whole: one alert while all classes together are worse.

It opens on an alarm of the pooled detector and closes by the recovery test, or when late labels
explain the alarm away. No class need be to blame, so nothing is retrained for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from core.escaping import one_line
from core.judging.rules import change_day
from core.stats.pooled import POOLED_RATIOS
from core.store import class_days, model_days, notices, validations
from core.telling import News
from monitor.judgement.changes import Changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.judging.rules import Verdict
    from core.store.alerts import Alert
    from core.store.model_days import ModelDay
    from core.store.registry import Version

CAUSE = "all classes"
_SHOWN_CLASSES = 5


@dataclass(frozen=True, slots=True)
class _Loss:
    """How far a class lies under what the reference images said, in images of the stretch."""

    label: str
    missing: float
    correct: int
    n: int


def follow(
    connection: Connection, version: Version, verdicts: Sequence[Verdict], *, now: datetime
) -> list[News]:
    """Open and close the alert as the verdicts ask, the earliest day first, and return the news.

    Verdicts on a version that has been replaced since are history, as for classes.

    Args:
        connection: The transaction that judges.
        version: The version judged.
        verdicts: Of consecutive examined days, as `core.judging.rules.replay` gives them.
        now: The present moment.
    """
    others = validations.last_day_of_others(connection, version.version)
    current = [each for each in verdicts if others is None or each.day >= others]
    if not current:
        return []
    news: list[News] = []
    for verdict in current:
        if verdict.whole.recovered:
            over = notices.resolve(connection, "pooled", CAUSE, now=now)
            news += [News("resolved", over)] if over else []
        if verdict.whole.alarm:
            raised = _raise(connection, version, verdict.whole, now=now)
            news += [News("opened", raised)] if raised else []
    if not current[-1].whole.recovery_log_m:
        # Nothing is left to recover from: late labels have explained the alarm away.
        over = notices.resolve(connection, "pooled", CAUSE, now=now)
        news += [News("resolved", over)] if over else []
    opened, closed = ({each.alert.id for each in news if each.change == change}
                      for change in ("opened", "resolved"))  # fmt: skip
    # Of what opens and closes within one replay nobody has to hear.
    return [each for each in news if each.alert.id not in opened & closed]


def changed(before: Sequence[ModelDay], after: Sequence[ModelDay]) -> list[Changed]:
    """Return which decisions on days judged before would have been others."""
    old = {each.day: each for each in before}
    changes: list[Changed] = []
    for now in after:
        was = old.get(now.day)
        if was is not None and was.alarm != now.alarm:
            words = (_said(was), _said(now))
            changes.append(Changed(now.day, now.version, CAUSE, "alarm", *words))
        if was is not None and was.recovered != now.recovered:
            shown = ("shown", "not shown") if was.recovered else ("not shown", "shown")
            changes.append(Changed(now.day, now.version, CAUSE, "recovery", *shown))
    return changes


def _said(day: ModelDay) -> str:
    return f"{'raised' if day.alarm else 'not raised'} (evidence {day.evidence:.4g})"


def _raise(
    connection: Connection, version: Version, whole: ModelDay, *, now: datetime
) -> Alert | None:
    days = _since_last_alarm(connection, whole)
    since = change_day(days, [each.reference or 0.5 for each in days], POOLED_RATIOS)
    stretch = [each for each in days if each.day >= since]
    n, correct = sum(each.n for each in stretch), sum(each.correct for each in stretch)
    lines = [
        f"Since {since}, {version.version} was right on {correct} of {n} labelled images of all "
        f"classes: {_percent(correct / n)}. Together they are held to "
        f"{_percent(whole.reference or 0.0)}.",
        f"Evidence {whole.evidence:,.0f} on {whole.day}, threshold {whole.threshold:,.0f}: at most "
        f"{30 / (whole.threshold or 1.0):.2g} false alarms in 30 days.",
    ]
    losses = _losses(connection, version, (since, whole.day))
    if losses:
        named = ", ".join(
            f"{one_line(each.label)} ({each.correct} of {each.n})"
            for each in losses[:_SHOWN_CLASSES]
        )
        lines.append(f"Furthest below their reference images: {named}.")
    lines.append("No single class need be to blame, and no retraining is asked for.")
    title = (
        f"{version.version} as a whole is worse since {since}: {correct} of {n} right, "
        f"reference {_percent(whole.reference or 0.0)}"
    )
    return notices.raise_once(
        connection, "pooled", CAUSE, title=title, body="\n".join(lines), now=now
    )


def _since_last_alarm(connection: Connection, whole: ModelDay) -> list[ModelDay]:
    """Return the whole's days since its detector last began, up to the alarm's."""
    days = model_days.from_day(connection, whole.version, date.min)
    days = [each for each in days if each.day <= whole.day and each.reference is not None]
    begun = [i for i, each in enumerate(days[:-1]) if each.alarm]
    return days[begun[-1] + 1 :] if begun else days


def _losses(connection: Connection, version: Version, stretch: tuple[date, date]) -> list[_Loss]:
    """Return the classes that answered fewer right than their reference images promise."""
    first, last = stretch
    seen = class_days.tally(connection, version.version, dict.fromkeys(version.labels, first), last)
    losses: list[_Loss] = []
    for label, tally in seen.items():
        reference = version.reference.get(label, {})
        if tally.n and reference.get("n"):
            expected = tally.n * reference["correct"] / reference["n"]
            losses.append(_Loss(label, expected - tally.correct, tally.correct, tally.n))
    below = [each for each in losses if each.missing > 0]
    return sorted(below, key=lambda each: (-each.missing, each.label))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
