"""Rules tried out and saved: what the form says, checked; what it would have raised; set for good.

Trying writes nothing, and anybody may who may look. Saving needs the scope admin.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dash import Input, Output, State, html, no_update

from core import rule_setting
from core.errors import UsageError, WeakspotError
from core.judging import preview
from core.store import alert_lines, alert_rules, judged
from core.store.database import transaction
from dashboard.door import caller as door
from dashboard.pages.alerts.editor import FIELDS, PREVIEW_DAYS
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.keeping import Kept
from dashboard.parts.wording import count, day_text, evidence_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import dash

    from core.judging.preview import Material, Raised
    from core.store.alert_rules import RulesVersion
    from dashboard.page import House
    from dashboard.parts.components import Component

_MOST_ROWS = 200
_FAULT = "This is a fault of the dashboard, and nothing was done. Its log says more."
_LIMITS = (
    "The stored counts of each day went through the same detectors once more. What no replay can "
    "know is what would have followed: other images drawn, a retraining, a promotion."
)

_log = logging.getLogger(__name__)

# Whoever tries rules tries several: the days, and what the rules before make of them, stay the
# same until a day is judged.
_stored: Kept[Material] = Kept(1)
_before: Kept[list[Raised]] = Kept(4)


@dataclass(frozen=True, slots=True)
class Tried:
    """What rules would have raised.

    Attributes:
        first: First day looked at.
        last: Last day.
        days: Days of these that were examined.
        with_these: What the rules on the form would have raised.
        with_those: What the rules that they are made from would have.
        version: The number of those.
        in_fact: How many alerts detectors did raise.
    """

    first: date
    last: date
    days: int
    with_these: list[Raised]
    with_those: list[Raised]
    version: int
    in_fact: int


def connect(app: dash.Dash, house: House) -> None:
    """Register what the form's buttons do."""
    fields = [
        State("rules-budget", "value"),
        State("rules-floor", "value"),
        State("rules-left-out", "value"),
        State("rules-rest", "value"),
        State("rules-follows", "data"),
    ]

    @app.callback(
        Output("rules-said", "children"),
        Input("rules-preview", "n_clicks"),
        *fields,
        prevent_initial_call=True,
        running=[
            (Output("rules-preview", "disabled"), True, False),
            (Output("rules-computing", "hidden"), False, True),
        ],
    )
    def try_out(pressed: int | None, *given: Any) -> Any:
        return _trial(house, given) if pressed else no_update

    @app.callback(
        Output("rules-said", "children", allow_duplicate=True),
        Output("address", "search", allow_duplicate=True),
        Input("rules-save", "n_clicks"),
        *fields,
        State("rules-note", "value"),
        prevent_initial_call=True,
        running=[(Output("rules-save", "disabled"), True, False)],
    )
    def save(pressed: int | None, *given: Any) -> Any:
        return _save(house, given) if pressed else (no_update, no_update)


def _trial(house: House, given: Sequence[Any]) -> Any:
    try:
        door.current().require("read")
        return told(tried(house, *given))
    except WeakspotError as error:
        return _refused(str(error))
    except Exception:
        _log.exception("rules could not be tried")
        return _refused(_FAULT)


def _save(house: House, given: Sequence[Any]) -> Any:
    try:
        number = saved(house, *given).version
    except WeakspotError as error:
        return _refused(str(error)), no_update
    except Exception:
        _log.exception("rules could not be saved")
        return _refused(_FAULT), no_update
    return no_update, f"?rules={number:d}&against={number - 1:d}"


def tried(house: House, budget: Any, floor: Any, left_out: Any, rest: Any, follows: Any) -> Tried:
    """Return what the rules on the form would have raised; nothing is written.

    Raises:
        WeakspotError: They do not fit, or the database is away.
    """
    last = house.clock.now().date() - timedelta(days=1)
    first = last - timedelta(days=PREVIEW_DAYS - 1)
    data = _data(budget, floor, left_out, rest)
    with transaction(house.engine) as connection:
        before = alert_rules.get(connection, int(follows))
        rules = rule_setting.check(connection, data, before.rules, networks=house.networks)
        state = (judged.mark(connection), first, last)
        material = _stored.get(connection, state, lambda: preview.gather(connection, first, last))
        with_those = _before.get(
            connection, (*state, before.version), lambda: preview.replay(material, before.rules)
        )
        in_fact = alert_lines.raised(connection, first, last)
    return Tried(
        first=first,
        last=last,
        days=material.n_days,
        with_these=preview.replay(material, rules),
        with_those=with_those,
        version=before.version,
        in_fact=in_fact,
    )


def saved(  # noqa: PLR0913, PLR0917 - the fields of the form
    house: House, budget: Any, floor: Any, left_out: Any, rest: Any, follows: Any, note: Any
) -> RulesVersion:
    """Set the rules on the form, and return them.

    Raises:
        WeakspotError: The caller may not, they do not fit, somebody has set others meanwhile, or
            the database is away.
    """
    who = door.current()
    who.require("admin")
    data = _data(budget, floor, left_out, rest)
    with transaction(house.engine) as connection:
        before = alert_rules.get(connection, int(follows))
        return rule_setting.write(
            connection,
            data,
            before,
            networks=house.networks,
            by=who.name,
            now=house.clock.now(),
            note=str(note or "").strip(),
            follows=before.version,
        )


def _data(budget: Any, floor: Any, left_out: Any, rest: Any) -> dict[str, Any]:
    data = rule_setting.read(str(rest or "{}"))
    if twice := [name for name in FIELDS if name in data]:
        raise UsageError(f"{twice[0]}: it has a field of its own above; take it out of the text")
    return data | {"budget": budget, "floor": floor, "left_out": left_out or []}


def told(found: Tried) -> Component:
    """Return what is said of rules that were tried."""
    today = found.last
    stretch = f"{day_text(found.first, today=today)} to {day_text(found.last, today=today)}"
    these = count(len(found.with_these), "alert")
    said = (
        f"With these rules the last {PREVIEW_DAYS} days would have raised {these}; with version "
        f"{found.version}, {len(found.with_those):,}. In fact {found.in_fact:,} "
        f"{'was' if found.in_fact == 1 else 'were'} raised, by the rules of their days."
    )
    return html.Div(
        [
            html.P(said, className="strong", id="rules-would"),
            html.P(f"{stretch}, {count(found.days, 'examined day')}. {_LIMITS}", className="hint"),
            _table(found),
            _gone(found),
        ]
    )


def _table(found: Tried) -> Component:
    if not found.with_these:
        return None
    those = {(each.label, each.day) for each in found.with_those}
    rows = [_row(each, found.last, those) for each in found.with_these[-_MOST_ROWS:][::-1]]
    table = html.Table([_HEAD, html.Tbody(rows)], className="table", id="would-raise")
    return html.Div(
        [
            html.Div(exports.enclosed(_sheet(found, those), "would-raise-csv"), className="files"),
            parts.scrolling(table, "Alerts that these rules would have raised"),
        ]
    )


def _sheet(found: Tried, those: set[tuple[str | None, date]]) -> exports.Sheet:
    columns = ("day", "class", "evidence", "threshold", "recovered_on", "also_by_the_rules_before")
    rows = [
        [
            each.day,
            each.label or "(all classes)",
            each.evidence,
            each.threshold,
            each.closed_on,
            (each.label, each.day) in those,
        ]
        for each in found.with_these[::-1]
    ]
    return exports.Sheet("would-raise.csv", columns, rows)


_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Day"),
            html.Th("Class"),
            html.Th("Evidence", className="number"),
            html.Th("Recovered", className="medium"),
            html.Th("With the rules before"),
        ]
    )
)


def _row(each: Raised, today: date, those: set[tuple[str | None, date]]) -> Component:
    other = sorted(day for label, day in those if label == each.label)
    if (each.label, each.day) in those:
        before = "the same"
    else:
        before = f"on {day_text(other[0], today=today)}" if other else "not raised"
    closed = day_text(each.closed_on, today=today) if each.closed_on else "not yet"
    return html.Tr(
        [
            html.Td(day_text(each.day, today=today), className="when"),
            html.Td(_named(each), className="name"),
            html.Td(
                [
                    html.Span(evidence_text(each.evidence), className="strong"),
                    html.Span(f"of {evidence_text(each.threshold)}", className="interval"),
                ],
                className="number",
            ),
            html.Td(closed, className="medium"),
            html.Td(before),
        ]
    )


def _gone(found: Tried) -> Component:
    """Return what the rules before would have raised and these not at all; None where nothing."""
    still = {each.label for each in found.with_these}
    gone = [each for each in found.with_those if each.label not in still]
    if not gone:
        return None
    said: list[Component] = ["No longer raised: "]
    for place, each in enumerate(gone[:10]):
        said += [", " if place else "", _named(each), f" ({day_text(each.day, today=found.last)})"]
    more = len(gone) - 10
    return html.P([*said, f" and {more} more." if more > 0 else "."], className="told")


def _named(each: Raised) -> Component:
    return "all classes together" if each.label is None else html.Bdi(each.label)


def _refused(why: str) -> Component:
    return html.P(why, className="refused")
