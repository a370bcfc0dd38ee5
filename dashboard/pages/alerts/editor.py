"""The alert rules: a form that changes them, their history, and what differs between two versions.

The form is made from the version that the address names, whatever is set meanwhile, so that nothing
that somebody is typing is lost; saving is refused where another version has become the latest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import dcc, html

from core.rule_setting import difference
from dashboard.pages.alerts.view import PATH, RULES_CSV
from dashboard.parts import components as parts
from dashboard.parts import exports, moment
from dashboard.parts.saying import Verdict
from dashboard.parts.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.store.alert_policy import AlertRules
    from core.store.alert_rules import RulesVersion
    from dashboard.door.caller import Caller
    from dashboard.pages.alerts.facts import Rules
    from dashboard.parts.components import Component

# Fields of the form that are no text; the rest of the rules is.
FIELDS = ("budget", "floor", "left_out")
PREVIEW_DAYS = 90

_HINT = (
    "What is judged and who hears of it. Rules hold from the day on which they are set; earlier "
    "days are judged by the rules of their time."
)
_REST_HINT = (
    'Channels, and quiet hours such as {"start": "22:00", "end": "07:00", "zone": '
    '"Europe/Berlin"}. Addresses and secrets are hidden: what is left hidden stays as it is.'
)

_COMPUTING = (
    "Computing: the stored days of every class go through the detectors once more. With thousands "
    "of classes this takes some seconds; what stands beneath is of the form as it was before."
)


def draw(facts: Rules, caller: Caller, labels: Sequence[str]) -> Component:
    """Return the page.

    Args:
        facts: What it is drawn from.
        caller: Who looks.
        labels: The classes that may be left out.
    """
    if facts.shown is None:
        text = "The monitor writes down the first when it starts; the history has all there are."
        return html.Div(
            [
                _crumbs(facts),
                parts.notice("There is no such version of the rules", text),
                _history(facts),
            ],
            className="stack",
        )
    compared = facts.view.against is not None
    body = (
        [_difference(facts), _history(facts)] if compared else [_form(facts.shown, caller, labels)]
    )
    return html.Div(
        [_crumbs(facts), parts.verdict(_said(facts.shown, facts), days=None), *body],
        className="stack",
    )


def rest_of(rules: AlertRules) -> str:
    """Return what the form has no field for, in JSON, without secrets."""
    shown = {name: value for name, value in rules.shown().items() if name not in FIELDS}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _crumbs(facts: Rules) -> Component:
    number = facts.view.rules
    return html.Div(
        [
            dcc.Link("Alerts", href=PATH, className="crumb"),
            html.Span("/", className="dim"),
            html.Span(f"Rules, version {number}", className="crumb-here"),
        ],
        className="crumbs",
    )


def _said(shown: RulesVersion, facts: Rules) -> Verdict:
    rules = shown.rules
    when = moment.named(shown.at, today=facts.now.date())
    because = f": {shown.note}" if shown.note else ""
    accepted = f"{rules.budget:g} false alarms are accepted per 30 days"
    left_out = count(len(rules.left_out), "class is", "classes are")
    return Verdict(
        "none",
        [f"{accepted}, {left_out} left out, {count(len(rules.channels), 'channel')} told"],
        [[f"Version {shown.version}, set by {shown.by} on ", when, f"{because}."]],
    )


def _form(shown: RulesVersion, caller: Caller, labels: Sequence[str]) -> Component:
    may = caller.may("admin")
    history = f"{PATH}?rules={shown.version:d}&against={max(shown.version - 1, 1):d}"
    body = [
        *_fields(shown.rules, labels),
        _why() if may else None,
        _press(may),
        html.P(_COMPUTING, id="rules-computing", className="hint", hidden=True, role="status"),
        html.Div(id="rules-said", className="rules-said", role="status"),
        dcc.Store(id="rules-follows", data=shown.version),
    ]
    side = dcc.Link("History", href=history, className="button", id="to-history")
    return parts.panel("Change the rules", body, hint=_HINT, side=side)


def _fields(rules: AlertRules, labels: Sequence[str]) -> list[Component]:
    return [
        html.Div(
            [
                dmc.NumberInput(
                    id="rules-budget",
                    label="Alarm budget",
                    description="False class alarms accepted per 30 days, over all classes",
                    value=rules.budget,
                    min=0,
                    step=0.1,
                ),
                dmc.NumberInput(
                    id="rules-floor",
                    label="Floor",
                    description="Accuracy asked for where a version came without a reference",
                    value=rules.floor,
                    min=0,
                    max=1,
                    step=0.05,
                ),
            ],
            className="rules-pair rules-field",
        ),
        dmc.MultiSelect(
            id="rules-left-out",
            label="Left out",
            description="Classes that are examined but never flagged",
            data=sorted({*labels, *rules.left_out}),
            value=list(rules.left_out),
            searchable=True,
            limit=50,
            clearable=True,
            nothingFoundMessage="No such class",
            className="rules-field rules-short",
        ),
        dmc.Textarea(
            id="rules-rest",
            label="The rest, as JSON",
            description=_REST_HINT,
            value=rest_of(rules),
            autosize=True,
            minRows=6,
            maxRows=24,
            className="rules-field rules-text",
        ),
    ]


def _why() -> Component:
    return dmc.TextInput(
        id="rules-note",
        label="Why",
        description="For the history",
        value="",
        className="rules-field rules-short",
    )


def _press(may: bool) -> Component:
    named: Any = parts.attributes({"type": "button"})
    preview = html.Button(
        f"Preview over {PREVIEW_DAYS} days", id="rules-preview", className="button", **named
    )
    if not may:
        return html.Div(
            [preview, html.Span("Saving takes a key with the scope admin.", className="hint")],
            className="buttons",
        )
    save = html.Button("Save", id="rules-save", className="button button-main", **named)
    return html.Div([preview, save], className="buttons")


def _difference(facts: Rules) -> Component:
    shown, against = facts.shown, facts.against
    title = f"What differs: version {facts.view.against} to {facts.view.rules}"
    if shown is None or against is None:
        return parts.panel(title, parts.empty("There is no such version to compare with."))
    lines = difference(against.rules, shown.rules)
    if not lines:
        return parts.panel(title, parts.empty("Nothing: both say the same."))
    marked = [html.Span(each + "\n", className=_MARKS.get(each[:1], "same")) for each in lines]
    hint = "What begins with − was taken out, what begins with + was put in; secrets stay hidden."
    return parts.panel(title, html.Pre(marked, className="difference"), hint=hint)


_MARKS = {"-": "taken", "+": "put"}


def _history(facts: Rules) -> Component:
    if not facts.history:
        return parts.panel("History", parts.empty("No rules were ever set."))
    rows = [_row(each, facts) for each in facts.history]
    table = html.Table([_HEAD, html.Tbody(rows)], className="table", id="history")
    hint = "Every version, the newest first. The latest holds."
    side = exports.link(RULES_CSV, "rules-csv")
    return parts.panel("History", parts.scrolling(table, "History"), hint=hint, side=side)


_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Version"),
            html.Th("Set by"),
            html.Th("When"),
            html.Th("Why"),
            html.Th("What differs"),
        ]
    )
)


def _row(each: RulesVersion, facts: Rules) -> Component:
    number = each.version
    chosen = facts.view.rules
    links = [
        dcc.Link("from the one before", href=f"{PATH}?rules={number:d}&against={number - 1:d}")
        if number > 1
        else html.Span("the first", className="dim")
    ]
    if chosen is not None and number not in {chosen, chosen - 1}:
        first, last = sorted((number, chosen))
        address = f"{PATH}?rules={last:d}&against={first:d}"
        links += [", ", dcc.Link(f"from or to {chosen}", href=address)]
    return html.Tr(
        [
            html.Td(dcc.Link(str(number), href=f"{PATH}?rules={number:d}", className="strong")),
            html.Td(html.Bdi(each.by)),
            html.Td(moment.shown(each.at, today=facts.now.date()), className="when"),
            html.Td(html.Bdi(each.note), className="said"),
            html.Td(links),
        ],
        className="chosen" if number == chosen else "",
    )
