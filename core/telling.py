"""From news about alerts to messages in the outbox: one for each channel, whatever the number.

Four things are told: that an alert was opened, that it is worse than was told, that a retraining
for it left the champion as it was, and that it is resolved. Everything of one moment goes into one
message, so ten classes that sink on one day are one message. The message is put in by the
transaction that makes the news, and is sent later.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.escaping import one_line
from core.store import alert_rules, alerts, outbox
from core.store.outbox import NewDelivery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.alert_policy import AlertRules, Channel
    from core.store.alert_states import Deed
    from core.store.alerts import Alert

Change = Literal["opened", "worsened", "retrained", "resolved"]

_NAMED_IN_TITLE = 3
_TOLD_IN_FULL = 20
_LISTED = 500


@dataclass(frozen=True, slots=True)
class News:
    """What has become of one alert; of a retraining, what is to be said."""

    change: Change
    alert: Alert
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the news as programs read it."""
        alert = self.alert
        return {
            "change": self.change,
            "alert": alert.id,
            "kind": alert.kind,
            "label": alert.label,
            "version": alert.version,
            "since": alert.since.isoformat() if alert.since else None,
            "state": alert.state,
            "title": alert.title,
            "line": _sentence(self),
            "body": alert.body,
            "confused_with": alert.confused_with,
            "images": alert.images,
            "evidence": alert.peak,
            "why": dict(alert.evidence),
        }

    def identity(self) -> tuple[str, int, str, int]:
        """Return what makes it the same news; an alert may worsen several times."""
        level = self.alert.level if self.change == "worsened" else 0
        # A retraining names its job: each is news once.
        return self.change, self.alert.id, self.said or self.alert.at.isoformat(), level


def tell(connection: Connection, news: Sequence[News], *, now: datetime) -> int:
    """Put news into the outbox, for whoever hears of it; return for how many channels.

    Args:
        connection: The transaction that makes the news.
        news: What has become of which alerts.
        now: The present moment.
    """
    current = alert_rules.latest(connection)
    if current is None:
        return 0
    told = 0
    for channel in current.rules.channels:
        heard = [each for each in news if _is_heard(each, channel, current.rules)]
        if heard:
            told += outbox.put(
                connection,
                NewDelivery(
                    channel=channel.name,
                    dedup_key=dedup_key(channel.name, heard),
                    message=compose(heard, now=now),
                    created_at=now,
                    due_at=_due_at(heard, current.rules, now),
                    alerts=sorted({each.alert.id for each in heard}),
                    urgent=_is_urgent(heard, current.rules),
                ),
            )
    return told


def move(
    connection: Connection,
    alert: int,
    deed: Deed,
    *,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> Alert:
    """Do something with an alert as a person wants it, and return it as it is then.

    That it is resolved is news to those who were told of it. What is refused, and how, is that of
    core.store.alerts.move.

    Args:
        connection: Where it is.
        alert: Its number.
        deed: What is done.
        by: Who does it.
        now: The present moment.
        until: When a snoozed alert wakes; only to snooze.
    """
    moved = alerts.move(connection, alert, deed, by=by, now=now, until=until)
    if moved.state == "resolved":
        tell(connection, [News("resolved", moved)], now=now)
    return moved


def compose(news: Sequence[News], *, now: datetime) -> dict[str, Any]:
    """Return the one message that tells some news.

    Returns:
        `{"at", "mood", "title", "body", "count", "news": [...]}`; `title` and `body` are plain
        text, `count` is how much news there is, of which the first 500 are listed.
    """
    shown = news[:_TOLD_IN_FULL]
    paragraphs = [_paragraph(each, alone=len(news) == 1) for each in shown]
    if len(news) > len(shown):
        paragraphs.append(f"And {len(news) - len(shown)} more: weakspot alerts list")
    numbers = ", ".join(str(each.alert.id) for each in shown)
    paragraphs.append(f"Alert{'s' if len(shown) > 1 else ''} {numbers}: weakspot alerts show, ack")
    bad = any(each.change != "resolved" for each in news)
    return {
        "at": now.isoformat(),
        "mood": "bad" if bad else "good",
        "title": _title(news),
        "body": "\n\n".join(paragraphs),
        "count": len(news),
        "news": [each.to_dict() for each in news[:_LISTED]],
    }


def dedup_key(channel: str, news: Sequence[News]) -> str:
    """Return a key that is the same exactly for the same news on the same channel."""
    told = json.dumps([channel, sorted(each.identity() for each in news)])
    return f"ws-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def trial_message(by: str, now: datetime) -> dict[str, Any]:
    """Return a message that tells nothing but that messages arrive."""
    return {
        "at": now.isoformat(),
        "mood": "none",
        "title": "Weakspot: a test message",
        "body": f"Sent by {one_line(by)}, to see that messages arrive. Nothing is wrong.",
        "count": 0,
        "news": [],
    }


def trial_key(channel: str, now: datetime) -> str:
    """Return a test message's key: another one each time."""
    told = json.dumps([channel, "test", now.isoformat()])
    return f"ws-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def _is_heard(news: News, channel: Channel, rules: AlertRules) -> bool:
    alert = news.alert
    # A class that was left out meanwhile is not told of again, except that it is over.
    muted = alert.label in rules.left_out and news.change != "resolved"
    return not muted and channel.hears(alert.kind, alert.label)


def _is_urgent(news: Sequence[News], rules: AlertRules) -> bool:
    quiet = rules.quiet_hours
    return quiet is not None and any(
        each.alert.label in quiet.urgent_classes or each.alert.kind in quiet.urgent_kinds
        for each in news
    )


def _due_at(news: Sequence[News], rules: AlertRules, now: datetime) -> datetime:
    """Return when a message may go out: after the quiet hours, unless some of it is urgent.

    Whether it is quiet is asked once more when it goes; see monitor.messages.delivery.
    """
    quiet = rules.quiet_hours
    if quiet is None or _is_urgent(news, rules):
        return now
    return quiet.ends(now) or now


def _title(news: Sequence[News]) -> str:
    if len(news) == 1:
        return _sentence(news[0])
    words: dict[Change, str] = {"opened": "weak", "worsened": "worse"}
    words |= {"retrained": "retrained, not repaired", "resolved": "resolved"}
    parts: list[str] = []
    for change, word in words.items():
        names = [_name(each.alert) for each in news if each.change == change]
        if names:
            more = f" and {len(names) - _NAMED_IN_TITLE} more" * (len(names) > _NAMED_IN_TITLE)
            parts.append(f"{len(names)} {word}: {', '.join(names[:_NAMED_IN_TITLE])}{more}")
    return "; ".join(parts)


def _sentence(news: News) -> str:
    if news.change == "opened":
        return news.alert.title
    if news.change == "worsened":
        return f"{_name(news.alert)} is worse: {_than_told(news.alert)}"
    if news.change == "retrained":
        return f"{_name(news.alert)}: {news.said}"
    return f"Resolved: {_name(news.alert)}"


def _paragraph(news: News, *, alone: bool) -> str:
    alert = news.alert
    if news.change == "opened":
        # Alone, its title is the message's.
        return alert.body if alone else f"{alert.title}\n{alert.body}"
    if news.change in ("worsened", "retrained"):
        return f"{_sentence(news)}. It was: {alert.title}"
    when = f" on {alert.resolved_at:%Y-%m-%d}" if alert.resolved_at else ""
    return f"Alert {alert.id} is resolved{when}. It was: {alert.title}"


def _than_told(alert: Alert) -> str:
    """Say what the last two tellings counted: the one that is made now, and the one before."""
    *_, before, now = alert.was_told()
    return (
        f"{now.correct} of {now.n} right from {now.since} to {now.until}, told before: "
        f"{before.correct} of {before.n}"
    )


def _name(alert: Alert) -> str:
    return one_line(alert.label) if alert.label is not None else alert.title
