"""Moments: shown in UTC, and in the reader's own time when pointed at (assets/keys.js)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import html

if TYPE_CHECKING:
    from datetime import datetime


def moment(at: datetime, words: str) -> Any:
    """Return a moment.

    Args:
        at: When; aware.
        words: How it is written on the page, in UTC.
    """
    named: dict[str, Any] = {"data-utc": ""}
    return html.Time(words, dateTime=at.isoformat(timespec="seconds"), **named)
