"""The weekly report in words: its verdict, and its five numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.parts.wording import count, day_text, percent, points

if TYPE_CHECKING:
    from dashboard.report.facts import ClassWeek, Week

_MOST_NAMED = 3


def title(week: Week) -> str:
    """Return the week as a heading names it."""
    today = week.made_at.date()
    first, last = week.range.first, week.range.last
    return f"{day_text(first, today=today)} to {day_text(last, today=today)}"


def verdict(week: Week) -> tuple[str, str]:
    """Return how serious it is (`bad`, `watch`, `good` or `none`), and the sentence."""
    if week.version is None:
        return "none", "No class had been examined by the end of this week."
    weak = [each for each in week.classes if each.stands.standing == "weak"]
    recovering = [each for each in week.classes if each.stands.standing == "recovering"]
    total = len(week.classes)
    if weak:
        verb = "needs" if len(weak) == 1 else "need"
        return "bad", f"{_of(weak, total)} {verb} attention: {_listed(weak, week)}."
    if recovering:
        verb = "is" if len(recovering) == 1 else "are"
        return "watch", f"{_of(recovering, total)} {verb} recovering: {_listed(recovering, week)}."
    if not week.now.n:
        return "watch", "No class is flagged, but no labelled image was examined this week."
    return "good", f"No class of {total:,} is flagged."


def numbers(week: Week) -> list[tuple[str, str, str]]:
    """Return five numbers as (name, value, change on the week before)."""
    now, before = week.now, week.before
    accuracy = now.correct / now.n if now.n else None
    earlier = before.correct / before.n if before.n else None
    change = ""
    if accuracy is not None and earlier is not None:
        change = f"{points(accuracy - earlier)} points"
    weak = "-" if now.weak is None else f"{now.weak:,}"
    weak_change = "" if now.weak is None or before.weak is None else _more(now.weak, before.weak)
    return [
        ("Right in exams", "-" if accuracy is None else percent(accuracy), change),
        ("Weak classes", weak, weak_change),
        ("Predictions", f"{now.predictions:,}", _more(now.predictions, before.predictions)),
        ("Images labelled", f"{now.labelled:,}", _more(now.labelled, before.labelled)),
        ("Alerts raised", f"{now.alerts:,}", _more(now.alerts, before.alerts)),
    ]


def _more(now: int, before: int) -> str:
    difference = now - before
    return "no change" if not difference else f"{difference:+,}".replace("-", "−")


def _of(some: list[ClassWeek], total: int) -> str:
    return f"{len(some):,} of {count(total, 'class', 'classes')}"


def _listed(some: list[ClassWeek], week: Week) -> str:
    shown = "; ".join(_told(each, week) for each in some[:_MOST_NAMED])
    more = len(some) - _MOST_NAMED
    return f"{shown}; and {more:,} more" if more > 0 else shown


def _told(each: ClassWeek, week: Week) -> str:
    said = each.label
    if each.stands.flag is not None:
        said += f" since {day_text(each.stands.flag.since, today=week.made_at.date())}"
    if each.alert is not None and each.alert.confused_with is not None:
        said += f", mistaken for {each.alert.confused_with}"
    return said
