"""Moments: shown in UTC, and in the reader's own time when pointed at (assets/keys.js)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dash import html

from core.shown.phrases import Moment
from dashboard.parts.wording import moment_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime


def moment(at: datetime, words: str) -> Any:
    """Return a moment.

    Args:
        at: When; aware.
        words: How it is written on the page, in UTC.
    """
    named: dict[str, Any] = {"data-utc": ""}
    return html.Time(words, dateTime=at.isoformat(timespec="seconds"), **named)


def shown(at: datetime, *, today: date) -> Any:
    """Return a moment as pages show it: `14 Nov 02:03 UTC`."""
    return moment(at, moment_text(at, today=today))


def named(at: datetime, *, today: date) -> Moment:
    """Return a moment as it stands in a sentence."""
    return Moment(at, moment_text(at, today=today))


def hovered(begins: Sequence[datetime], lasting: timedelta = timedelta()) -> dict[str, Any]:
    """Return what makes the points of a chart tell the reader's own time, too.

    The browser writes it as the second line of each point's `hovertext`; the first says the UTC.

    Args:
        begins: When each point begins, in the order of `hovertext`; aware.
        lasting: For how long; nothing for moments.
    """
    seconds = [round(at.timestamp()) for at in begins]
    return {"meta": {"begins_s": seconds, "lasts_s": round(lasting.total_seconds())}}
