"""The trials of a search as a table: on the page the first of them, as CSV all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from core.catalog.spreadsheet import neutralise, write_rows
from dashboard.pages.training.words import state_word

if TYPE_CHECKING:
    from core.store.trial_lines import Search, TrialLine

MOST_ROWS = 50

_HEAD = ("trial", "state", "accuracy", "passes", "last_pass", "seconds", "error")


def ordered(search: Search, order: str) -> list[TrialLine]:
    """Return the trials: the `best` first, those without accuracy last; or the `newest` first."""
    if order == "newest":
        return search.trials[::-1]
    done = {each.number for each in search.complete}
    return sorted(
        search.trials,
        key=lambda each: (
            each.number not in done,
            -(each.accuracy or 0.0) if each.number in done else -(each.last or 0.0),
            each.number,
        ),
    )


def as_csv(search: Search) -> str:
    """Return every trial as CSV, in order; no cell is a formula to a spreadsheet program.

    `accuracy` is that of complete trials, `last_pass` what a trial had come to.
    """
    done = {each.number for each in search.complete}
    options = sorted({name for each in search.trials for name in each.options})
    rows = [
        [
            str(each.number),
            state_word(each.state, silent=each.silent),
            _cell(each.accuracy if each.number in done else None),
            str(each.passes),
            _cell(each.last),
            _cell(each.seconds),
            each.error,
            *(_cell(each.options.get(name)) for name in options),
        ]
        for each in search.trials
    ]
    return write_rows([neutralise(name) for name in (*_HEAD, *options)], rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
