"""The champion that a service cannot load: an alert, until it can or another version is champion.

What serves goes on serving, so nobody who asks for predictions would notice. A service writes each
attempt to load a version into `loads`, and a refusal again every few minutes for as long as it
lasts; whoever looks at them raises one alert for the version, whatever the number of services, and
resolves it. It is over when the champion is another one, or when a service has it and none was
heard to refuse it lately: one that is gone is waited for no longer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from core import telling
from core.escaping import one_line
from core.store import alerts, notices, registry
from core.telling import News

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.registry import Load

KIND: Final = "load"
AGAIN: Final = timedelta(minutes=5)  # how often a refusal that lasts is written down
REMEMBERED: Final = 3 * AGAIN

_SHOWN: Final = 5
_LONGEST_REASON: Final = 300


def follow(connection: Connection, *, now: datetime) -> list[News]:
    """Raise the alert that the champion cannot be loaded, or resolve it, and tell of either.

    Returns:
        What has become of alerts: nothing where nothing is new.
    """
    champion = registry.champion(connection)
    known = notices.causes(connection, KIND)
    over = [cause for cause in known if champion is None or cause != champion.version]
    raised: Alert | None = None
    if champion is not None:
        latest = registry.latest_loads(connection, champion.version)
        refusals = [each for each in latest if not each.ok and each.at >= now - REMEMBERED]
        if refusals:
            raised = _raise(connection, champion.version, refusals, now=now)
        elif champion.version in known and any(each.ok for each in latest):
            over.append(champion.version)
    resolved = [notices.resolve(connection, KIND, cause, now=now) for cause in over]
    news = [News("resolved", each) for each in resolved if each]
    news += [News("opened", raised)] if raised else []
    telling.tell(connection, news, now=now)
    return news


def _raise(
    connection: Connection, version: str, refusals: Sequence[Load], *, now: datetime
) -> Alert | None:
    """Raise the alert, or keep up to date which services it is about; return it if it is new."""
    serving = registry.serving(connection, [each.instance for each in refusals])
    raised = notices.raise_once(
        connection,
        KIND,
        version,
        title=f"{version} is the champion, and a service cannot load it",
        body="\n".join(_lines(version, refusals, serving)),
        now=now,
    )
    evidence = {"version": version, "refused": [_told(each, serving) for each in refusals]}
    notices.set_evidence(connection, KIND, version, evidence)
    return raised and alerts.get(connection, raised.id)


def _lines(version: str, refusals: Sequence[Load], serving: Mapping[str, str]) -> list[str]:
    shown = [
        f"{one_line(each.instance)} "
        + (f"goes on serving {was}" if (was := serving.get(each.instance)) else "serves nothing")
        + f": {one_line(each.detail)[:_LONGEST_REASON]}"
        for each in refusals[:_SHOWN]
    ]
    more = len(refusals) - len(shown)
    return [
        *shown,
        *([f"And {more} more."] if more > 0 else []),
        f"It is tried again every minute. To see why: weakspot model verify {version}. To go back: "
        "weakspot model rollback --reason WHY",
    ]


def _told(refusal: Load, serving: Mapping[str, str]) -> dict[str, Any]:
    return {
        "service": refusal.instance,
        "at": refusal.at.isoformat(),
        "reason": refusal.detail,
        "serves": serving.get(refusal.instance),
    }
