"""What the inbox's browser side is told: images, progress, what was labelled lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.catalog import answering
from core.clock import day_bounds
from core.store import images, inbox, inbox_queue, registry
from dashboard.pages.inbox import words
from dashboard.pages.inbox.view import picture_address
from dashboard.parts.exports import Sheet

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.inbox import Item
    from core.store.inbox_queue import Desk, Taken

_LATELY = 24
_MOST = 10_000


def labels(connection: Connection) -> list[str]:
    """Return every class that an image may be given, in alphabetical order."""
    champion = registry.champion(connection)
    return sorted({*images.labels(connection), *(champion.labels if champion else ())})


def asked(connection: Connection, taken: list[Taken]) -> list[dict[str, Any]]:
    """Return images as the browser shows them."""
    if not taken:
        return []
    known, wanted = labels(connection), inbox_queue.wanted(connection)
    return [
        {
            "id": each.item.id,
            "picture": picture_address(each.item.id),
            "why": words.why(each, wanted),
            "choices": words.choices(each, known),
            "answer": each.item.answer,
        }
        for each in taken
    ]


def progress(connection: Connection, desk: Desk, *, now: datetime, a_day: int) -> dict[str, Any]:
    """Return how many images were answered today, of how many, and how many wait."""
    found = inbox.progress(connection, by=desk.by, since=day_bounds(now.date())[0])
    return {
        "today": found.all,
        "own": found.own,
        "a_day": a_day,
        "waiting": sum(found.waiting.values()),
        "streams": found.waiting,
    }


def lately(connection: Connection, by: str) -> list[dict[str, Any]]:
    """Return what was said last, the latest first, and what of it by one person."""
    return [as_said(connection, each, by) for each in inbox.lately(connection, limit=_LATELY)]


def lately_sheet(connection: Connection) -> Sheet:
    """Return everything that was said and stands, the latest first."""
    columns = (
        "item", "stream", "version", "label", "answer", "answered_by", "answered_at", "image",
        "prediction", "sha256",
    )  # fmt: skip
    rows = [
        [
            each.id,
            each.stream,
            each.version,
            each.label,
            each.answer,
            each.answered_by,
            each.answered_at,
            each.image,
            str(each.prediction) if each.prediction else None,
            each.sha256,
        ]
        for each in inbox.lately(connection, limit=_MOST)
    ]
    return Sheet("labelled.csv", columns, rows)


def as_said(connection: Connection, item: Item, by: str) -> dict[str, Any]:
    """Return one answer as the browser lists it, with the days that are to be counted anew."""
    days = answering.days_to_replay(connection, item)
    return {
        "id": item.id,
        "picture": picture_address(item.id),
        "answer": item.answer,
        "own": item.answered_by == by,
        "by": (item.answered_by or "").removeprefix("key:"),
        "at": item.answered_at.isoformat() if item.answered_at else None,
        "replay": [days[0].isoformat(), days[-1].isoformat()] if days else None,
    }
