"""The weekly report as one HTML file: no script, no request, and every name shown as text.

Colours are those of the dashboard's light page, because it is mailed and printed; cells of the
heatmap are a table's, which mail programs show that leave SVG out.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dashboard.parts.saying import plain
from dashboard.parts.sparkline import sparkline
from dashboard.parts.wording import count, day_text, moment_text, percent, points, shortened
from dashboard.report import words
from dashboard.report.style import STYLE

if TYPE_CHECKING:
    from datetime import date

    from core.store.class_days import ClassDay
    from dashboard.report.facts import ClassWeek, Week

MOST_CLASSES = 40

_MOST_EVENTS = 20
_MOST_LABELLED = 10
_LONGEST = 80
_SVG = "data:image/svg+xml,"
_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'
# Text on each ground has a contrast of 4.5 to 1 at least.
_GROUNDS = (
    (0.4, "#a63603", "#ffffff"),
    (0.7, "#e6741c", "#1d2329"),
    (0.82, "#fdbb78", "#1d2329"),
    (0.9, "#e9e4da", "#1d2329"),
    (0.97, "#a9cbe6", "#1d2329"),
    (1.01, "#6ba3d6", "#10161c"),
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def to_html(week: Week) -> str:
    """Return the report."""
    tone, sentence = words.verdict(week)
    examined = f" with {week.version}" if week.version else ""
    made = moment_text(week.made_at, today=week.made_at.date())
    shown = week.classes[:MOST_CLASSES]
    parts = [
        f'<header><span class="brand">Weakspot</span><span>{_text(words.title(week))}</span>'
        "</header>",
        f'<h1 class="{tone}">{_text(sentence, longest=600)}</h1>',
        _numbers(week),
        _weak(week),
        _heatmap(week, shown),
        '<div class="two">',
        _events(week),
        _labelled(week),
        "</div>",
        f"<footer>Examined{_text(examined)}; made {made}. Days are UTC. {_HOW}</footer>",
    ]
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>Weakspot, {_text(words.title(week))}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(text: str, longest: int = _LONGEST) -> str:
    return escape(shortened(text, longest))


def _name(label: str) -> str:
    # A name that is written from right to left must not turn the line around it.
    return f"<bdi>{_text(label)}</bdi>"


def _numbers(week: Week) -> str:
    cells = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd>"
        f'<dd class="change">{_text(change) or "&nbsp;"}</dd></div>'
        for name, value, change in words.numbers(week)
    )
    return f"<dl>{cells}</dl><p class='hint'>Changes are against the seven days before.</p>"


def _weak(week: Week) -> str:
    some = [each for each in week.classes if each.stands.standing in {"weak", "recovering"}]
    if not some:
        return "<h2>Weak classes</h2><p class='empty'>None at the end of the week.</p>"
    rows = "".join(_weak_row(each, week) for each in some[:MOST_CLASSES])
    more = len(some) - MOST_CLASSES
    rest = (
        f"<p class='hint'>and {count(more, 'more class', 'more classes')}</p>" if more > 0 else ""
    )
    return (
        "<h2>Weak classes</h2><table class='weak'><thead><tr><th>Class</th><th>State</th>"
        "<th class='n'>This week</th><th class='n'>Change</th><th>14 days</th>"
        f"<th class='n'>Reference</th></tr></thead><tbody>{rows}</tbody></table>{rest}"
    )


def _weak_row(each: ClassWeek, week: Week) -> str:
    state, accuracy = each.stands.state, each.accuracy
    this = "no labels"
    if accuracy is not None:
        this = f"{percent(accuracy)} <small>{each.correct}/{each.n}</small>"
    change = ""
    if accuracy is not None and each.before is not None:
        change = points(accuracy - each.before)
    reference = percent(state.reference) if state else ""
    return (
        f"<tr><td class='name'>{_name(each.label)}</td><td>{_text(each.stands.standing)}</td>"
        f"<td class='n'>{this}</td><td class='n'>{change}</td>"
        f"<td>{_spark(each, week)}</td><td class='n'>{reference}</td></tr>"
    )


def _spark(each: ClassWeek, week: Week) -> str:
    """Return the dashboard's sparkline within the page: a mail program fetches nothing for it."""
    reference = each.stands.state.reference if each.stands.state else None
    drawn = unquote(sparkline(each.days, week.days, reference).removeprefix(_SVG))
    return drawn.replace(_NAMESPACE, ' role="img" aria-label="accuracy by day"')


def _heatmap(week: Week, shown: list[ClassWeek]) -> str:
    head = "<h2>Accuracy by class and day, in percent</h2>"
    if not shown:
        return f"{head}<p class='empty'>Nothing was examined.</p>"
    today = week.made_at.date()
    days = "".join(f"<th class='d'>{day_text(day, today=today)}</th>" for day in week.range.days)
    rows = "".join(_heat_row(each, week.range.days) for each in shown)
    more = len(week.classes) - len(shown)
    rest = f" The {len(shown)} worst of {len(week.classes):,} are shown." if more > 0 else ""
    return (
        f"{head}<table class='heat'><thead><tr><th>Class</th>{days}</tr></thead>"
        f"<tbody>{rows}</tbody></table><p class='hint'>Share of the labelled images of a day that "
        f"were answered right; a dash where there were none.{rest}</p>"
    )


def _heat_row(each: ClassWeek, days: list[date]) -> str:
    by_day = {row.day: row for row in each.days}
    cells = "".join(_cell(by_day.get(day)) for day in days)
    return f"<tr><td class='name'>{_name(each.label)}</td>{cells}</tr>"


def _cell(row: ClassDay | None) -> str:
    if row is None:
        return "<td class='d'></td>"
    if row.n == 0:
        return "<td class='d none'>–</td>"
    share = row.correct / row.n
    ground, ink = next((ground, ink) for top, ground, ink in _GROUNDS if share < top)
    return f"<td class='d' style='background:{ground};color:{ink}'>{100 * share:.0f}</td>"


def _events(week: Week) -> str:
    if not week.events:
        body = "<p class='empty'>Nothing happened.</p>"
    else:
        today = week.made_at.date()
        items = "".join(
            f"<li><span class='when'>{day_text(event.day, today=today)}</span> "
            f"<span class='kind'>{_text(event.kind)}</span> "
            f"{_text(plain(event.title), longest=160)}</li>"
            for event in week.events[:_MOST_EVENTS]
        )
        more = len(week.events) - _MOST_EVENTS
        rest = f"<p class='hint'>and {count(more, 'earlier event')}</p>" if more > 0 else ""
        body = f"<ul>{items}</ul>{rest}"
    return f"<section><h2>Events</h2>{body}</section>"


def _labelled(week: Week) -> str:
    if not week.labelled:
        body = "<p class='empty'>No labelled image came into the pool.</p>"
    else:
        rows = "".join(
            f"<tr><td class='name'>{_name(each.label)}</td><td class='n'>{each.n:,}</td>"
            f"<td class='n'>{each.test:,}</td></tr>"
            for each in week.labelled[:_MOST_LABELLED]
        )
        more = week.labelled[_MOST_LABELLED:]
        rest = (
            f"<p class='hint'>and {sum(each.n for each in more):,} of "
            f"{count(len(more), 'other class', 'other classes')}</p>"
            if more
            else ""
        )
        body = (
            "<table><thead><tr><th>Class</th><th class='n'>Images</th>"
            f"<th class='n'>for exams</th></tr></thead><tbody>{rows}</tbody></table>{rest}"
        )
    return f"<section><h2>What was labelled</h2>{body}</section>"


_HOW = (
    "A class is weak while its flag is open: an e-process raised it, at the false-alarm rate that "
    "is set, and the recovery test has not closed it. docs/detection.md says how."
)
