"""The system page in words: does everything run, and if not, what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.parts.moment import named
from dashboard.parts.saying import Phrase, Verdict
from dashboard.parts.wording import count, day_text

if TYPE_CHECKING:
    from core.shown.system import System
    from dashboard.parts.saying import Tone

_MOST_NAMED = 3
_UNITS = ("B", "kB", "MB", "GB", "TB")


def verdict(facts: System) -> Verdict:
    """Return the verdict on the whole installation."""
    faults = _faults(facts)
    if not faults:
        if facts.champion is None:
            return Verdict("none", ["No version serves yet"], ["Run: weakspot train"])
        return Verdict("good", ["Everything runs; ", *_last_exam(facts)], _notes(facts))
    tone: Tone = "bad"
    sentence = "; ".join(faults[:_MOST_NAMED])
    more = len(faults) - _MOST_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return Verdict(
        tone,
        [sentence[:1].upper() + sentence[1:] + rest],
        [[*_last_exam(facts, "Last exam"), "."], *_notes(facts)],
    )


def _faults(facts: System) -> list[str]:
    """Return what is wrong, the gravest first, each as a clause."""
    faults: list[str] = []
    at, needed = facts.revisions
    if facts.lacks_migration:
        faults.append(
            f"the database is at migration {at or 'none'} and this program needs {needed}"
        )
    if facts.late:
        first = day_text(facts.late[0], today=facts.now.date())
        late = count(len(facts.late), "day")
        faults.append(f"the monitor is silent: {late} not examined, the first {first}")
    elif facts.told is not None:
        faults.append(facts.told.title[:1].lower() + facts.told.title[1:])
    if facts.refused:
        names = count(len(facts.refused), "service")
        faults.append(f"{names} could not load {facts.refused[0].version}")
    if facts.failed:
        steps = ", ".join(dict.fromkeys(each.step for each in facts.failed))
        faults.append(f"the last {steps} failed")
    if facts.silent:
        jobs = count(len(facts.silent), "job")
        faults.append(f"{jobs} under way, and the worker has not been heard of")
    return faults


def _last_exam(facts: System, begin: str = "last exam") -> Phrase:
    if facts.exam is None:
        return [f"{'No' if begin[:1].isupper() else 'no'} day has been examined yet"]
    when = facts.exam.finished_at or facts.exam.drawn_at
    return [f"{begin} ", named(when, today=facts.now.date())]


def _notes(facts: System) -> list[str]:
    notes: list[str] = []
    if facts.late:
        notes.append("What is due is examined by: weakspot monitor --once")
    if facts.lacks_migration:
        notes.append("Run: weakspot db upgrade")
    if facts.champion is not None and not facts.loads:
        notes.append(
            f"No service has loaded {facts.champion.version} yet: none has run since it was "
            "promoted, or none runs."
        )
    if facts.at_work:
        days = ", ".join(run.slot for run in facts.at_work)
        notes.append(f"The monitor is at work on {days}.")
    return notes


def bytes_text(n: int) -> str:
    """Return a size as `12.3 MB`."""
    size, unit = float(n), _UNITS[0]
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def seconds_text(seconds: float | None) -> str:
    """Return how long something took; empty while it runs."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"
