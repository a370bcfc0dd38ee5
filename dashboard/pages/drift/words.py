"""The drift page in words: its verdict, and how each check is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.pages.drift.facts import EMBEDDING, PREDICTED
from dashboard.parts.saying import Mention, Phrase, Tone, Verdict
from dashboard.parts.wording import count, day_text

if TYPE_CHECKING:
    from core.store.drift import DriftCheck
    from dashboard.pages.drift.facts import Day, Drift

_MOST_NAMED = 4
_LATE_DAYS = 2
_NUMBERS = (
    "Largest distance between the two distribution functions (Kolmogorov-Smirnov); drift takes "
    "0.1 and a corrected p of 0.05."
)
_HOW = {
    PREDICTED: (
        "Chi-squared and the largest shift of one class, shuffled; the effect is Cohen's w less "
        "what chance adds. Drift takes 0.1 and a corrected p of 0.05."
    ),
    EMBEDDING: (
        "A linear classifier tries to tell the day from the reference; the effect is the area "
        "under its ROC curve, 0.5 when it cannot. Drift takes 0.6 and a corrected p of 0.05."
    ),
}
_MEANS = (
    "Means of the class compared by Welch's t; the effect is Cohen's d. Drift takes 0.25 and a "
    "corrected p of 0.05."
)


def verdict(facts: Drift) -> Verdict:
    """Return the verdict on the day that is looked at."""
    day, today = facts.chosen, facts.now.date()
    if day is None:
        if facts.view.day is not None:
            when = day_text(facts.view.day, today=today)
            return Verdict("none", [f"Nothing was checked on {when}"], _how_to_check(facts))
        return Verdict("none", ["No day has been checked for drift yet"], _how_to_check(facts))
    when = day_text(day.day, today=today)
    moved = [each.column for each in day.checks if each.verdict == "drift"]
    told = any(each.verdict != "not enough data" for each in day.checks)
    sentence: Phrase
    tone: Tone
    if moved:
        tone, sentence = "watch", [f"On {when}, {_listed(moved)} drifted from the reference"]
    elif day.drifted:
        tone = "watch"
        inside = count(day.drifted, "class", "classes")
        sentence = [f"On {when} nothing drifted as a whole, but {inside} did"]
    elif told:
        tone, sentence = "good", [f"On {when} the traffic looked like the reference"]
    else:
        tone, sentence = "none", [f"On {when} there were too few predictions to compare"]
    return Verdict(tone, sentence, _notes(facts, day))


def how(check: DriftCheck) -> str:
    """Say in a line how a check is made."""
    if "means" in check.method:
        return _MEANS
    return _HOW.get(check.column, _NUMBERS)


def named(column: str) -> str:
    """Return a column as a heading names it."""
    return column[:1].upper() + column[1:]


def worst_class(day: Day) -> Phrase:
    """Return which class moved most, where one drifted."""
    if not day.drifted or not day.worst:
        return []
    first = day.worst[0]
    return [Mention(first.label or ""), f" moved most, in {first.column}"]


def _notes(facts: Drift, day: Day) -> list[str]:
    first = day.checks[0]
    reference = "the profile in its bundle" if first.reference == "profile" else first.reference
    n = max(each.n for each in day.checks)
    notes = [
        f"{count(n, 'prediction')} of {day.version} against {reference}. Drift says why a class "
        "may become weak, and pages nobody: that one has become weak is decided from labels."
    ]
    if day.checked:
        inside = f"{day.drifted:,} drifted" if day.drifted else "none drifted"
        checked = count(day.checked, "class was", "classes were")
        notes.append(f"Besides, {checked} checked alone: {inside}.")
    late = (facts.now.date() - facts.range.last).days
    last = max(facts.days, default=None)
    silent = (facts.now.date() - last).days if last else late
    if facts.view.day is None and silent > _LATE_DAYS:
        notes.append(f"Nothing has been checked for {silent} days. Is weakspot monitor running?")
    return notes


def _how_to_check(facts: Drift) -> list[str]:
    if facts.matrix:
        return ["Choose a day of the matrix."]
    return [
        "The monitor checks each day once it is over, from 50 predictions on. "
        "By hand: weakspot drift --date YYYY-MM-DD"
    ]


def _listed(names: list[str]) -> str:
    shown = names[:_MOST_NAMED]
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
