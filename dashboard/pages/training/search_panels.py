"""The panels of searches: which one, its trials in order, what mattered, all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import dcc, html

from dashboard.pages.training import figures as training_figures
from dashboard.pages.training import trial_table
from dashboard.pages.training.parallel import MOST_LINES, parallel
from dashboard.pages.training.view import ORDERS, trials_address
from dashboard.pages.training.words import duration, state_word, value_text
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.picker import picker
from dashboard.parts.wording import count, shortened

if TYPE_CHECKING:
    from core.store.trial_lines import Search, TrialLine
    from dashboard.pages.training.facts import Searches, Training
    from dashboard.parts.components import Component

_LONGEST_NAME = 80
_HOW = "weakspot tune --space space.yaml tries options of a run."


def head(facts: Training) -> Component:
    """Return the panel that says which search is looked at, and how it stands."""
    searches = facts.searches
    if searches is None:
        text = (
            "The searches cannot be read. They may have been kept by another release of Optuna; "
            "the dashboard's log says more."
        )
        return parts.panel("Searches", parts.empty(text))
    if not searches.names:
        return parts.panel("Searches", parts.empty(f"No search yet. {_HOW}"))
    side = _picker(facts, searches)
    if searches.shown is None:
        wanted = shortened(facts.view.search or "", _LONGEST_NAME)
        return parts.panel("Searches", parts.empty(f"There is no search {wanted!r}."), side=side)
    return parts.panel("Searches", _standing(searches.shown), side=side)


def _picker(facts: Training, searches: Searches) -> Component:
    names = list(searches.names)
    shown = searches.shown.name if searches.shown else None
    if shown is not None and shown not in names:
        names.append(shown)
    choices = [(shortened(name, _LONGEST_NAME), facts.view.address(search=name)) for name in names]
    return picker(
        "pick",
        choices,
        shown=None if shown is None else facts.view.address(search=shown),
        words="Search that is shown",
        nothing="No such search",
    )


def _standing(search: Search) -> Component:
    counts: dict[str, int] = {}
    for each in search.trials:
        word = state_word(each.state, silent=each.silent)
        counts[word] = counts.get(word, 0) + 1
    said = ", ".join(f"{n:,} {word}" for word, n in sorted(counts.items()))
    best = search.best
    lines = [f"{count(search.n_trials, 'trial')}: {said}." if said else "No trial yet."]
    if len(search.trials) < search.n_trials:
        lines.append(f"The latest {len(search.trials):,} are shown.")
    if best is not None and best.accuracy is not None:
        options = ", ".join(f"{name} {value_text(best.options[name])}" for name in best.options)
        lines.append(f"Best: trial {best.number}, {100 * best.accuracy:.1f} % ({options}).")
    silent = [each for each in search.trials if each.silent]
    if silent:
        lines.append(
            f"Trial {silent[0].number} has not been heard of for half a minute: its process may "
            "have died. The same weakspot tune goes on with it."
        )
    return [
        html.P(" ".join(lines), className="told"),
        html.P(
            "The best of many is flattered: it was chosen by the validation images it is "
            "measured on.",
            className="hint",
        ),
    ]


def history(search: Search) -> Component:
    """Return the panel of the trials in order."""
    title, hint = "Accuracy by trial", "On the validation images, the same for all trials."
    if not any(each.accuracy is not None or each.last is not None for each in search.trials):
        return parts.panel(title, parts.empty("No trial has made a pass yet."), hint=hint)
    words = "Accuracy of each trial, and the best so far; the table below holds the same numbers."
    drawn = [
        parts.chart(training_figures.history(search), name="history", words=words),
        parts.legend(
            ("dot", "complete"),
            ("line", "best so far"),
            ("cross", "ended early, where it was"),
            ("ring", "under way"),
        ),
    ]
    return parts.panel(title, drawn, hint=hint)


def importance(search: Search) -> Component:
    """Return the panel of what mattered."""
    title = "What mattered"
    hint = "Share of the differences in accuracy that each option explains (PED-ANOVA)."
    if not search.importance:
        text = "Told when weakspot tune ends, from two complete trials that differ on."
        return parts.panel(title, parts.empty(text), hint=hint)
    under_way = sum(each.state == "RUNNING" for each in search.trials)
    if under_way:
        hint += f" As of when a process last ended; {count(under_way, 'trial')} under way since."
    words = "How much each option mattered."
    figure = training_figures.importance(search)
    return parts.panel(title, parts.chart(figure, name="importance", words=words), hint=hint)


def together(search: Search) -> Component:
    """Return the panel of all complete trials side by side."""
    title = "Complete trials side by side"
    complete = len(search.complete)
    if not complete:
        return parts.panel(title, parts.empty("No trial is complete yet."))
    hint = "Each line is a trial: its accuracy, then its options, what mattered most first."
    if complete > MOST_LINES:
        hint += f" {MOST_LINES} of {complete:,}, taken evenly by accuracy, the best among them."
    words = "Accuracy and options of the complete trials; the table below holds the same numbers."
    drawn = [
        parts.chart(parallel(search), name="parallel", words=words),
        parts.legend(
            ("line line-thick line-orange", "the best"),
            ("line", "best quarter"),
            ("line line-grey", "the half between"),
            ("line line-dotted", "lowest quarter"),
        ),
    ]
    return parts.panel(title, drawn, hint=hint)


def table(facts: Training, search: Search) -> Component:
    """Return the panel of the trials as a table."""
    if not search.trials:
        return parts.panel("Trials", parts.empty("No trial yet."))
    ordered = trial_table.ordered(search, facts.view.order)[: trial_table.MOST_ROWS]
    names = search.options
    with_errors = any(each.error for each in ordered)
    head = [
        html.Th("Trial", className="number"),
        html.Th("State"),
        html.Th("Accuracy", className="number"),
        html.Th("Passes", className="number"),
        html.Th("Took", className="number"),
        *[html.Th(name, className="number") for name in names],
        html.Th("Error") if with_errors else None,
    ]
    drawn = html.Table(
        [
            html.Thead(html.Tr(head)),
            html.Tbody([_row(each, names, with_errors) for each in ordered]),
        ],
        className="table",
        id="trials",
    )
    hint = "All of them are in the CSV."
    if len(ordered) < len(search.trials):
        hint = f"{len(ordered)} of {len(search.trials):,}. {hint}"
    return parts.panel(
        "Trials", parts.scrolling(drawn, "Trials"), hint=hint, side=_choices(facts, search)
    )


def _choices(facts: Training, search: Search) -> Component:
    """Return the ways to order the table, and the way to the CSV."""
    links = [
        dcc.Link(
            f"{order.capitalize()} first",
            href=facts.view.address(order=order),
            className="range range-current" if order == facts.view.order else "range",
        )
        for order in ORDERS
    ]
    csv = exports.link(trials_address(search.name), "csv", of="Trials")
    return html.Div([html.Div(links, className="ranges"), csv], className="side")


def _row(trial: TrialLine, names: list[str], with_errors: bool) -> Component:
    accuracy = trial.accuracy if trial.state == "COMPLETE" else None
    reached = accuracy if accuracy is not None else trial.last
    return html.Tr(
        [
            html.Td(str(trial.number), className="number"),
            html.Td(parts.badge(state_word(trial.state, silent=trial.silent))),
            html.Td(
                "" if reached is None else f"{100 * reached:.1f} %",
                className="number" if accuracy is not None else "number dim",
            ),
            html.Td(str(trial.passes), className="number"),
            html.Td(duration(trial.seconds), className="number"),
            *[html.Td(_value(trial, name), className="number") for name in names],
            html.Td(shortened(trial.error, 200), className="said") if with_errors else None,
        ]
    )


def _value(trial: TrialLine, name: str) -> str:
    return value_text(trial.options[name], 28) if name in trial.options else ""
