"""The panels of the drift page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import dcc, html

from dashboard.address import RANGES, class_address
from dashboard.pages.drift import figures, words
from dashboard.pages.drift.facts import MOST_OF_CLASSES
from dashboard.pages.drift.view import (
    CHECKS_CSV,
    CLASSES_CSV,
    MATRIX_CSV,
    MIX_CSV,
    file_address,
    report_address,
)
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.picker import picker
from dashboard.parts.wording import count, day_text

if TYPE_CHECKING:
    from core.store.drift import DriftCheck
    from dashboard.pages.drift.facts import Day, Drift
    from dashboard.parts.components import Component

_NOT_KEPT = (
    "No pictures were kept of this day: it was checked by an older release, or more than eight "
    "weeks ago. A day whose log is still there gets them by: weakspot validate --date YYYY-MM-DD"
)


def matrix(facts: Drift, days: int) -> Component:
    """Return the panel of verdicts by column and day."""
    title = "Verdicts by day"
    ranges = parts.ranges(days, [facts.view.address(days=each) for each in RANGES])
    csv = exports.link(file_address(MATRIX_CSV, facts.view), "drift-csv", of=title)
    side = html.Div([ranges, csv], className="side")
    if not facts.matrix:
        text = "Nothing was checked in this range: no day of it had 50 predictions and a monitor."
        return parts.panel(title, parts.empty(text), side=side)
    found = sum(each.verdict == "drift" for each in facts.matrix)
    text = f"Verdict on each column and day; {found} of {len(facts.matrix)} say drift."
    dense = len(facts.range.days) > 16
    return parts.panel(
        title,
        [
            parts.chart(figures.matrix(facts), name="drift-matrix", words=text, dense=dense),
            parts.legend(
                ("drift-scale", "effect, up to its floor"),
                ("mark drift-mark", "drift"),
                ("hatch", "not enough data"),
            ),
        ],
        hint="Drift takes both: p corrected over the day's family at most 0.05, and an effect at "
        "its floor. A click looks at that day and column. More: docs/drift.md.",
        side=side,
    )


def checks(facts: Drift, day: Day) -> Component:
    """Return the panel of the day's checks, each of which can be looked at."""
    today = facts.now.date()
    report = None
    if day.has_report:
        report = html.A(
            "Evidently's report",
            href=report_address(day.day, day.version),
            target="_blank",
            rel="noopener",
            id="evidently",
            className="button",
        )
    body = [_steps(facts, day), _table(facts, day.checks, name="drift-checks")]
    if day.has_report is False:
        body.append(parts.empty("Evidently's report of this day is not kept."))
    title = f"Checks of {day_text(day.day, today=today)}, {day.version}"
    csv = exports.link(_file(CHECKS_CSV, facts, day, label=None), "checks-csv", of=title)
    return parts.panel(
        title,
        body,
        hint="Each against its floor; p corrected together over the day (Benjamini and Hochberg, "
        "weighted).",
        side=html.Div([report, csv], className="side"),
    )


def _file(path: str, facts: Drift, day: Day, **changed: Any) -> str:
    """Return where a table of the day that is looked at is had as a file."""
    return file_address(path, facts.view, day=day.day, version=day.version, **changed)


def _steps(facts: Drift, day: Day) -> Component:
    """Return links to the days before and after, and to the other versions of the day."""
    days, view, today = facts.days, facts.view, facts.now.date()
    links: list[Component] = []
    before = max((each for each in days if each < day.day), default=None)
    after = min((each for each in days if each > day.day), default=None)
    for word, other in (("Before: ", before), ("After: ", after)):
        if other is not None:
            text = word + day_text(other, today=today)
            links.append(dcc.Link(text, href=view.address(day=other, version=None)))
    links += [
        dcc.Link(name, href=view.address(day=day.day, version=name))
        for name in day.versions
        if name != day.version
    ]
    return html.Div(links, className="drift-steps") if links else None


def _table(facts: Drift, found: list[DriftCheck], *, name: str) -> Component:
    head = [
        html.Th("Check"),
        html.Th("Verdict"),
        html.Th("Effect", className="number"),
        html.Th("p corrected", className="number medium"),
        html.Th("Rows", className="number wide"),
        html.Th("Test", className="wide"),
    ]
    rows = [_row(facts, each) for each in found]
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="table", id=name)
    return parts.scrolling(table, "Checks")


def _row(facts: Drift, check: DriftCheck) -> Component:
    day = facts.chosen.day if facts.chosen else None
    here = check.column == facts.column
    link = dcc.Link(check.column, href=facts.view.address(day=day, check=check.column))
    return html.Tr(
        [
            html.Td(link, className="name"),
            html.Td(parts.badge(check.verdict)),
            _effect(check),
            html.Td(_p(check.adjusted_p), className="number medium"),
            html.Td(f"{check.n:,} / {check.reference_n:,}", className="number wide"),
            html.Td(_test(check), className="dim wide drift-test"),
        ],
        className="chosen" if here else None,
    )


def _test(check: DriftCheck) -> str:
    return check.method + (f"; {check.detail}" if check.detail else "")


def _effect(check: DriftCheck) -> Component:
    if check.effect is None:
        return html.Td("", className="number")
    return html.Td(
        [
            html.Span(f"{check.effect:.3f}", className="strong"),
            html.Span(f"floor {check.effect_floor:g}", className="interval"),
        ],
        className="number",
    )


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def distribution(facts: Drift, day: Day) -> Component:
    """Return the panel of both sides of the column looked at."""
    column, label = facts.column, facts.view.label
    title = (
        "Distribution" if column is None else f"{words.named(column)}: the day and the reference"
    )
    shown = facts.shown
    hint = words.how(shown) if shown else ""
    body: list[Component]
    if day.histograms is None:
        body = [parts.empty(_NOT_KEPT)]
    elif column == words.PREDICTED:
        text = "How often each label was predicted stands in the mix of labels."
        body = [parts.empty(text)]
    elif column == words.EMBEDDING:
        text = "256 numbers have no one distribution: the map below shows them."
        body = [parts.empty(text)]
    else:
        found = day.histograms.of(column or "", label)
        body = (
            [parts.empty(_too_few(label))]
            if found is None
            else [
                parts.chart(
                    figures.distribution(found),
                    name="distribution",
                    words=f"Distribution of {column} on the day, and of the reference.",
                ),
                parts.legend(("line", "the day"), ("drift-reference", "reference")),
            ]
        )
        hint = f"Share of the rows in each of 24 bins. {hint}"
    return parts.panel(title, [_of_class_note(facts), *body], hint=hint)


def _too_few(label: str | None) -> str:
    if label is None:
        return "This column was not counted."
    return (
        "Fewer than 30 rows of this class in the sample or in the reference: it is compared by "
        "its means alone."
    )


def _of_class_note(facts: Drift) -> Component:
    label = facts.view.label
    if label is None:
        return None
    return html.P(
        [
            "Among predictions of ",
            html.Bdi(label, className="strong"),
            ". ",
            dcc.Link("All classes", href=facts.view.address(label=None)),
        ],
        className="told",
    )


def mix(facts: Drift, day: Day) -> Component:
    """Return the panel of the mix of labels."""
    title, hint = "Mix of predicted labels", "Share of all predictions; what moved most is on top."
    if day.histograms is None:
        return parts.panel(title, parts.empty(_NOT_KEPT), hint=hint)
    more = len(day.histograms.labels) - figures.MOST_LABELS
    rest = f" {count(more, 'class', 'classes')} moved less." if more > 0 else ""
    return parts.panel(
        title,
        [
            parts.chart(
                figures.mix(day.histograms),
                name="mix",
                words="Share of each predicted label on the day, and in the reference.",
            ),
            parts.legend(("mark drift-day", "the day"), ("mark drift-before", "reference")),
        ],
        hint=hint + rest,
        side=exports.link(_file(MIX_CSV, facts, day, label=None), "labels-csv", of=title),
    )


def classes(facts: Drift, day: Day) -> Component:
    """Return the panel of the classes that were checked by themselves."""
    title = "Within predicted classes"
    hint = (
        "Classes with 30 rows on both sides are compared column by column, others with 100 "
        "predictions a day by their means."
    )
    if facts.view.label is not None:
        side = _class_side(facts, day, _file(CHECKS_CSV, facts, day), title)
        return parts.panel(title, _of_one(facts, day), hint=hint, side=side)
    if not day.worst:
        text = "No class had predictions enough on both sides to be checked by itself."
        return parts.panel(title, parts.empty(text), hint=hint, side=_picker(facts, day))
    head = [html.Th("Class"), html.Th("Check"), html.Th("Verdict")]
    head += [html.Th("Effect", className="number"), html.Th("p", className="number medium")]
    rows = [_class_row(facts, each) for each in day.worst]
    table = html.Table(
        [html.Thead(html.Tr(head)), html.Tbody(rows)], className="table", id="drift-classes"
    )
    shown = f" The {MOST_OF_CLASSES} checks that came nearest to drift are shown."
    text = f"{day.drifted:,} of {count(day.checked, 'class', 'classes')} drifted."
    return parts.panel(
        title,
        [html.P(text, className="told"), parts.scrolling(table, "Classes")],
        hint=hint + (shown if len(day.worst) == MOST_OF_CLASSES else ""),
        side=_class_side(facts, day, _file(CLASSES_CSV, facts, day), title),
    )


def _class_side(facts: Drift, day: Day, address: str, title: str) -> Component:
    csv = exports.link(address, "drift-classes-csv", of=title)
    return html.Div([_picker(facts, day), csv], className="side")


def _of_one(facts: Drift, day: Day) -> list[Component]:
    label = facts.view.label or ""
    note = html.P(
        [
            dcc.Link(html.Bdi(label), href=class_address(label, facts.view.days)),
            ". ",
            dcc.Link("All classes", href=facts.view.address(label=None)),
        ],
        className="told",
    )
    if not day.of_class:
        return [note, parts.empty("It had too few predictions on that day to be checked.")]
    return [note, _table(facts, day.of_class, name="drift-of-class")]


def _class_row(facts: Drift, check: DriftCheck) -> Component:
    label = check.label or ""
    day = facts.chosen.day if facts.chosen else None
    link = dcc.Link(
        html.Bdi(label), href=facts.view.address(day=day, label=label, check=check.column)
    )
    return html.Tr(
        [
            html.Td(link, className="name"),
            html.Td(check.column),
            html.Td(parts.badge(check.verdict)),
            _effect(check),
            html.Td(_p(check.adjusted_p), className="number medium"),
        ]
    )


def _picker(facts: Drift, day: Day) -> Component:
    """Return the field in which a class is chosen; None where no classes are known."""
    if not day.labels:
        return None
    here = facts.view.label
    labels = sorted({*day.labels, here} if here else day.labels)
    return picker(
        "drift-class",
        list(zip(labels, facts.view.addresses_of(labels, day=day.day), strict=True)),
        shown=None if here is None else facts.view.address(day=day.day, label=here),
        words="Class that is looked at",
        nothing="No such class",
    )


def embedding_map(facts: Drift, day: Day) -> Component:
    """Return the panel of the map."""
    title = "Map of the embeddings"
    label = facts.view.label
    if day.points is None or not len(day.points.label):
        return parts.panel(title, parts.empty(_NOT_KEPT))
    return parts.panel(
        title,
        [
            _of_class_note(facts),
            parts.chart(
                figures.embedding_map(day.points, label),
                name="drift-map",
                words="Embeddings of the day and of the reference as points of a plane.",
            ),
            parts.legend(("drift-point", "the day"), ("ring", "reference")),
        ],
        hint=figures.points_text(day.points, label)
        + " Both sides on the two directions in which they vary most together (principal "
        "components): a cloud of one colour is traffic that the reference did not have. A click "
        "opens the picture, where the pool has it.",
    )
