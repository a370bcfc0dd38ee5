"""The trials of a search as a table: on the page the first of them, as CSV all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.pages.training.words import state_word
from dashboard.parts.exports import Sheet

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


def sheet(search: Search) -> Sheet:
    """Return every trial as a table, in order.

    `accuracy` is that of complete trials, `last_pass` what a trial had come to.
    """
    done = {each.number for each in search.complete}
    options = sorted({name for each in search.trials for name in each.options})
    rows = [
        [
            each.number,
            state_word(each.state, silent=each.silent),
            each.accuracy if each.number in done else None,
            each.passes,
            each.last,
            each.seconds,
            each.error,
            *(each.options.get(name) for name in options),
        ]
        for each in search.trials
    ]
    return Sheet("trials.csv", [*_HEAD, *options], rows)
