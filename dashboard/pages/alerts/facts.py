"""What the alerts' pages are drawn from, and the few questions to the store that give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import NotFoundError
from core.store import alert_lines, alert_rules, alerts, flags

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.alert_lines import FollowUp
    from core.store.alert_rules import RulesVersion
    from core.store.alert_states import State
    from core.store.alerts import Alert
    from core.store.audit import Deed
    from core.store.flags import Flag
    from core.store.outbox import Delivery
    from dashboard.pages.alerts.view import AlertsView

PAGE_LENGTH = 25
MOST_LABELS = 5_000
MOST_DEEDS = 50
MOST_DELIVERIES = 50
MOST_VERSIONS = 50


@dataclass(frozen=True, slots=True)
class AlertList:
    """A page of alerts.

    Attributes:
        now: The present moment.
        view: What of them is looked at.
        counts: How many there are in each state, of the class looked at.
        labels: The classes that there was ever an alert about.
        alerts: The page, the newest first.
        more: Whether there are older ones.
        sent: How many messages of each state tell of each.
        rules: The latest rules; None where none were ever set.
    """

    now: datetime
    view: AlertsView
    counts: dict[State, int]
    labels: list[str]
    alerts: list[Alert]
    more: bool
    sent: dict[int, dict[str, int]]
    rules: RulesVersion | None


@dataclass(frozen=True, slots=True)
class OneAlert:
    """One alert, and everything done about it.

    Attributes:
        now: The present moment.
        alert: The alert.
        flag: What it tells of; None where it is about no class.
        deeds: What the audit trail has of it, the newest first.
        jobs: The retrainings that its flag asked for, the newest first.
        deliveries: The messages that tell of it, the newest first.
        channels: Where each channel leads, as far as may be shown, by name.
    """

    now: datetime
    alert: Alert
    flag: Flag | None
    deeds: list[Deed]
    jobs: list[FollowUp]
    deliveries: list[Delivery]
    channels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """The alert rules in their versions.

    Attributes:
        now: The present moment.
        view: What of them is looked at.
        shown: The version looked at; None where there is none of that number.
        against: The version that it is compared with; None for none.
        history: The latest versions, the newest first.
    """

    now: datetime
    view: AlertsView
    shown: RulesVersion | None
    against: RulesVersion | None
    history: list[RulesVersion]


def page_of(connection: Connection, view: AlertsView, *, now: datetime) -> AlertList:
    """Return a page of the alerts."""
    # One more than is shown says whether there are others.
    found = alerts.latest(
        connection, PAGE_LENGTH + 1, label=view.label, state=view.state, before=view.before
    )
    shown = found[:PAGE_LENGTH]
    return AlertList(
        now=now,
        view=view,
        counts=alert_lines.counts(connection, view.label),
        labels=alert_lines.labels(connection, MOST_LABELS),
        alerts=shown,
        more=len(found) > len(shown),
        sent=alert_lines.sent(connection, [each.id for each in shown]),
        rules=alert_rules.latest(connection),
    )


def one(connection: Connection, alert: int, *, now: datetime) -> OneAlert | None:
    """Return one alert with everything done about it; None where there is none."""
    found = alerts.get(connection, alert)
    if found is None:
        return None
    return OneAlert(
        now=now,
        alert=found,
        flag=flags.get(connection, found.flag) if found.flag is not None else None,
        deeds=alert_lines.deeds(connection, alert, MOST_DEEDS),
        jobs=[]
        if found.flag is None
        else alert_lines.follow_ups(connection, found.flag, MOST_DEEDS),
        deliveries=alert_lines.deliveries(connection, alert, MOST_DELIVERIES),
        channels=channels(alert_rules.latest(connection)),
    )


def channels(current: RulesVersion | None) -> dict[str, str]:
    """Return the address of each channel as it is shown, without secrets."""
    known = current.rules.channels if current else ()
    return {each.name: str(each.shown["url"]) for each in known}


def rules(connection: Connection, view: AlertsView, *, now: datetime) -> Rules:
    """Return the rules in their versions."""
    return Rules(
        now=now,
        view=view,
        shown=_version(connection, view.rules),
        against=_version(connection, view.against),
        history=alert_rules.history(connection, MOST_VERSIONS),
    )


def _version(connection: Connection, number: int | None) -> RulesVersion | None:
    if number is None:
        return None
    try:
        return alert_rules.get(connection, number)
    except NotFoundError:
        return None
