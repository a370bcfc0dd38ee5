"""The verdict in words: what somebody who has five seconds should read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from core.shown.phrases import sure_text
from core.stats.evidence import RECOVERY_THRESHOLD, certainty
from dashboard.parts.saying import Mention, Phrase, Tone, Verdict
from dashboard.parts.wording import (
    count,
    day_text,
    evidence_text,
    percent,
    rarity_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from core.store.alerts import Alert
    from core.store.flags import Flag
    from dashboard.pages.health.facts import ClassReading, OneClass, Overview

_MOST_NAMED = 3
# The day before is examined in the night: from the second morning without an exam on, it is late.
_LATE_AFTER = timedelta(days=2)


def of_overview(facts: Overview) -> Verdict:
    """Return the verdict on all classes."""
    notices = facts.events.open_notices
    if facts.exam is None:
        tone: Tone = "bad" if notices else "none"
        unseen = [*_noticed(notices), "No class has been examined yet"]
        return Verdict(tone, unseen, _what_to_run(facts))
    tone, sentence = _sentence(facts)
    # What concerns all classes comes before any of them.
    return Verdict("bad" if notices else tone, [*_noticed(notices), *sentence], _notes(facts))


def of_class(facts: OneClass) -> Verdict:
    """Return the verdict on one class, and what concerns all of them."""
    said = _of_class(facts)
    notices = facts.events.open_notices
    if not notices:
        return said
    notes = [*said.notes, *(f"Concerns all classes: {each.title}." for each in notices)]
    if said.tone != "good":
        return replace(said, notes=notes)
    return Verdict("watch", [facts.reading.label, " is well by itself"], notes)


def _of_class(facts: OneClass) -> Verdict:
    reading, flag, state = facts.reading, facts.reading.flag, facts.reading.state
    name = reading.label  # On its own page it needs no link to itself.
    today = facts.now.date()
    notes = [_recently(reading, today)] if reading.n else []
    if flag is not None and reading.standing == "weak":
        alert = facts.events.alerts.get(flag.id)
        since = f" needs attention since {day_text(flag.since, today=today)}"
        sentence = [name, f"{since}, {_sure(flag, alert)}"]
        return Verdict(
            "bad", [*sentence, *_mistaken(alert)], [*notes, *_of_state(facts), *_of_recovery(facts)]
        )
    if flag is not None:
        why = (
            f" is recovering: {facts.exam.version} has taken over from {flag.version}, "
            "and has yet to show that it does better"
        )
        return Verdict("watch", [name, why], [*notes, *_of_recovery(facts)])
    if reading.standing == "uncertain" and state is not None:
        why = (
            f" has had no fresh labels for {count(state.days_without_labels, 'day')}"
            if state.days_without_labels
            else " is not flagged, but the evidence against it is growing"
        )
        return Verdict("watch", [name, why], [*notes, *_of_state(facts)])
    if reading.standing == "no labels":
        return Verdict("none", [name, " has not been examined yet: no labelled images"], notes)
    return Verdict("good", [name, " is well"], [*notes, *_of_state(facts)])


def is_late(facts: Overview) -> bool:
    """Say whether an exam is overdue."""
    return facts.exam is not None and facts.now.date() - facts.exam.day > _LATE_AFTER


def _sentence(facts: Overview) -> tuple[Tone, Phrase]:
    total = len(facts.classes)
    weak = [each for each in facts.classes if each.standing == "weak"]
    recovering = [each for each in facts.classes if each.standing == "recovering"]
    unsure = [each for each in facts.classes if each.standing in {"uncertain", "no labels"}]
    if weak:
        verb = "needs" if len(weak) == 1 else "need"
        phrases = [_weakness(each, facts) for each in weak[:_MOST_NAMED]]
        return "bad", _listed(f"{_of(weak, total)} {verb} attention: ", phrases, weak)
    if recovering:
        verb = "is" if len(recovering) == 1 else "are"
        phrases = _mentions(recovering)
        return "watch", _listed(
            f"{_of(recovering, total)} {verb} recovering: ", phrases, recovering
        )
    if unsure:
        phrases = _mentions(unsure)
        head = f"No class is flagged, but {_of(unsure, total)} cannot be vouched for: "
        return "watch", _listed(head, phrases, unsure)
    if facts.events.open_notices:
        return "bad", ["No single class is flagged"]
    return "good", [f"All {count(total, 'class', 'classes')} are well"]


def _noticed(notices: Sequence[Alert]) -> Phrase:
    """Return what the alerts that are about no class say, before anything else is said."""
    told = [each.title.removesuffix(".") for each in notices[:_MOST_NAMED]]
    more = len(notices) - len(told)
    text = "; ".join(told) + (f"; and {more} more" if more else "")
    return [f"{text}. "] if told else []


def _mentions(readings: list[ClassReading]) -> list[Phrase]:
    return [[Mention(each.label)] for each in readings[:_MOST_NAMED]]


def _of(some: list[ClassReading], total: int) -> str:
    return f"{len(some):,} of {count(total, 'class', 'classes')}"


def _weakness(reading: ClassReading, facts: Overview) -> Phrase:
    phrase: Phrase = [Mention(reading.label)]
    if reading.flag is not None:
        alert = facts.events.alerts.get(reading.flag.id)
        since = f" since {day_text(reading.flag.since, today=facts.now.date())}"
        phrase.append(f"{since}, {_sure(reading.flag, alert)}")
        phrase += _mistaken(alert)
    return phrase


def _sure(flag: Flag, alert: Alert | None) -> str:
    by_alert = alert.certainty if alert else None
    return sure_text(certainty(flag.evidence) if by_alert is None else by_alert)


def _mistaken(alert: Alert | None) -> Phrase:
    if alert is None or alert.confused_with is None:
        return []
    return [", now mistaken for ", Mention(alert.confused_with)]


def _listed(head: str, phrases: Sequence[Phrase], all_of_them: list[ClassReading]) -> Phrase:
    sentence: Phrase = [head]
    for i, phrase in enumerate(phrases):
        sentence += ["; " if i else "", *phrase]
    more = len(all_of_them) - len(phrases)
    return [*sentence, f"; and {more:,} more"] if more else sentence


def _what_to_run(facts: Overview) -> list[str]:
    if facts.champion is None:
        return ["No version serves yet. Run: weakspot train"]
    return [f"{facts.champion.version} serves. Run: weakspot validate"]


def _notes(facts: Overview) -> list[str]:
    exam, today = facts.exam, facts.now.date()
    if exam is None:
        return []
    notes = [_exam_note(facts, exam.day, exam.version)]
    if facts.champion is not None and facts.champion.version != exam.version:
        notes.append(f"{facts.champion.version} serves now and has not been examined yet.")
    if facts.broken is not None:
        notes.append(
            f"The exam of {day_text(facts.broken.day, today=today)} could not be judged: "
            f"{count(facts.broken.unreadable, 'image')} could not be read."
        )
    if is_late(facts):
        since = count((today - exam.day).days, "day")
        notes.append(f"Nothing has been examined for {since}. Is weakspot monitor running?")
    return notes


def _exam_note(facts: Overview, day: date, version: str) -> str:
    seen = facts.answers
    when = f"Examined {day_text(day, today=facts.now.date())} with {version}: "
    if not seen.n:
        return when + "there were no fresh labels."
    missing = count(seen.unlabelled, "class", "classes")
    without = f"; {missing} without fresh labels" if seen.unlabelled else ""
    right = f"{seen.correct:,} of {count(seen.n, 'image')} right"
    return f"{when}{right} ({percent(seen.correct / seen.n)}){without}."


def _recently(reading: ClassReading, today: date) -> str:
    return (
        f"{reading.correct} of {count(reading.n, 'image')} right since "
        f"{day_text(reading.since, today=today)}: {percent(reading.correct / reading.n)}, "
        f"interval {percent(reading.low)} to {percent(reading.high)}."
    )


def _of_recovery(facts: OneClass) -> list[str]:
    state = facts.reading.state
    if state is None or not state.recovery_log_m:
        return []
    return [
        f"Evidence of recovery: {evidence_text(state.recovery_evidence)}, where "
        f"{evidence_text(RECOVERY_THRESHOLD)} closes the flag."
    ]


def _of_state(facts: OneClass) -> list[str]:
    state = facts.reading.state
    if state is None:
        return []
    reference = facts.versions[0].reference.get(facts.reading.label, {}).get("n", 0)
    notes = [
        f"Its reference is {percent(state.reference)}. Evidence of a drop: "
        f"{evidence_text(state.evidence)}, where {evidence_text(state.threshold)} raises an alarm."
    ]
    flag, classes = facts.reading.flag, len(facts.versions[0].labels)
    if flag is not None:
        notes.append(
            f"The alarm's evidence was {evidence_text(flag.evidence)}, which chance alone shows "
            f"{rarity_text(flag.evidence, classes)} among {count(classes, 'class', 'classes')}. "
            "How sure it is takes each class to fall once a year."
        )
    if 0 < reference < 200:
        notes.append(f"Its reference is still uncertain (n = {reference}).")
    if state.days_without_labels:
        notes.append(f"No fresh labels ({count(state.days_without_labels, 'day')}).")
    return notes
