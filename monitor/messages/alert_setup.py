"""What the environment says about alerts: the first version of the rules, and how to send."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core import addresses
from core.errors import UsageError
from core.store import alert_policy, alert_rules
from core.store.alert_policy import AlertRules
from core.store.database import transaction
from monitor.messages.channels import Means
from monitor.messages.delivery import Postage

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

_URLS, _SECRET = "WEAKSPOT_ALERTS_URLS", "WEAKSPOT_ALERTS_SECRET"
_QUIET = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)(?: +(\S+))?")

logger = logging.getLogger(__name__)


def initial_rules(
    *, budget: float, floor: float, urls: str, signed: bool, quiet_hours: str
) -> AlertRules:
    """Return the rules that the settings ask for.

    A channel's address stays in the environment: the rules hold its place there.

    Args:
        budget: False class-alarms accepted per 30 days.
        floor: Accuracy below which a class is weak when its version came without a reference.
        urls: Addresses with blanks between.
        signed: Whether there is a secret to sign webhooks with.
        quiet_hours: Like `22:00-07:00 Europe/Berlin`; empty for none.

    Raises:
        UsageError: Something does not fit; the message names the variable, and no address.
    """
    channels: list[dict[str, Any]] = []
    for number, url in enumerate(urls.split(), start=1):
        try:
            alert_policy.check_url(url)
        except ValueError as error:
            raise UsageError(f"{_URLS}, word {number}: {error}") from None
        web = url.split("://")[0].lower() in alert_policy.WEB_SCHEMES
        if web and not signed:
            raise UsageError(f"{_URLS}, word {number}: a webhook is signed; set {_SECRET}")
        channels.append(
            {
                "name": f"settings-{number}",
                "url": f"env:{_URLS}#{number}",
                "secret": f"env:{_SECRET}" if web else None,
            }
        )
    data = {"budget": budget, "floor": floor, "channels": channels}
    return alert_policy.parse(data | {"quiet_hours": _quiet(quiet_hours)})


def postage(
    *, networks: str, timeout_s: float, attempts: int, poll_s: float, variables: Mapping[str, str]
) -> Postage:
    """Return how messages are sent.

    Raises:
        UsageError: A network cannot be read.
    """
    addresses.read_networks(networks)
    return Postage(Means(variables, networks, timeout_s), attempts, poll_s)


def adopt(engine: Engine, wanted: AlertRules, *, now: datetime, renew: bool = True) -> None:
    """Let the settings become the alert rules, unless a person has set them.

    Args:
        engine: The database.
        wanted: What the settings ask for.
        now: The present moment.
        renew: Whether they also count where settings said something else before: for the monitor
            itself, not for a person's shell.
    """
    with transaction(engine) as connection:
        current = alert_rules.adopt(connection, wanted, now=now, renew=renew)
    if renew and current.rules != wanted:
        logger.info(
            "the alert rules are version %d, set by %s: the environment is not asked any more",
            current.version,
            current.by,
        )


def _quiet(text: str) -> dict[str, str] | None:
    if not text.strip():
        return None
    found = _QUIET.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            "WEAKSPOT_ALERTS_QUIET_HOURS is written like 22:00-07:00 Europe/Berlin, or left empty"
        )
    return {"start": found[1], "end": found[2], "zone": found[3] or "UTC"}
