"""Alert rules as a person sets them, from a terminal or a page: read, checked, written in versions.

What is checked beyond core.store.alert_policy needs more than the rules: whether somebody knows
the classes that are named, and whether a webhook could ever be sent to.
"""

from __future__ import annotations

import json
from difflib import get_close_matches, unified_diff
from typing import TYPE_CHECKING, Any, cast

from core import addresses
from core.errors import UsageError
from core.store import alert_policy, alert_rules, images, registry

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.alert_policy import AlertRules
    from core.store.alert_rules import RulesVersion


def read(text: str) -> dict[str, Any]:
    """Return rules as they were written down, in JSON.

    Raises:
        UsageError: It is no JSON object; the message names line and column, and no value.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the rules are no JSON: {error}") from error
    if not isinstance(data, dict):
        raise UsageError("the rules are a JSON object; weakspot alerts rules show --json has one")
    return cast("dict[str, Any]", data)


def written(rules: AlertRules) -> str:
    """Return rules as they may be shown to anybody, in JSON that a person can edit."""
    return json.dumps(rules.shown(), indent=2, ensure_ascii=False)


def check(
    connection: Connection, data: dict[str, Any], before: AlertRules, *, networks: str
) -> AlertRules:
    """Return the rules that somebody wants; nothing is written.

    Args:
        connection: Where the classes are.
        data: As `AlertRules.shown` gives them; what is left hidden stays as it is in `before`.
        before: The rules that they are made from.
        networks: Networks that messages may go to though not public, with blanks between.

    Raises:
        UsageError: Something does not fit; the message names each field, and repeats no secret.
    """
    rules = alert_policy.parse(data, before=before)
    _check_classes(connection, rules)
    _check_addresses(rules, networks)
    return rules


def write(  # noqa: PLR0913 - each named by its caller
    connection: Connection,
    data: dict[str, Any],
    before: RulesVersion,
    *,
    networks: str,
    by: str,
    now: datetime,
    note: str,
    follows: int | None,
) -> RulesVersion:
    """Set the rules, and return them as the latest version.

    Args:
        connection: Where they are kept.
        data: As `check` takes them.
        before: The version that they are made from.
        networks: As `check` takes them.
        by: Who sets them.
        now: The present moment.
        note: Why.
        follows: The version that has to be the latest; None for whichever is.

    Raises:
        UsageError: As `check`.
        ConflictError: Somebody has set others since `follows`.
    """
    rules = check(connection, data, before.rules, networks=networks)
    return alert_rules.write(connection, rules, by=by, now=now, note=note, follows=follows)


def difference(before: AlertRules, after: AlertRules) -> list[str]:
    """Return what differs, as lines that begin with `-`, `+` or a blank; no secrets.

    Where only something hidden differs, one line says that.
    """
    old, new = written(before).splitlines(), written(after).splitlines()
    lines = [each.rstrip("\n") for each in unified_diff(old, new, lineterm="", n=2)][2:]
    if not lines and before != after:
        return ["  an address or secret, which are hidden"]
    return [each for each in lines if not each.startswith("@@")]


def _check_classes(connection: Connection, rules: AlertRules) -> None:
    """Refuse classes that nobody knows: a misspelt one would silently stay as it was."""
    champion = registry.champion(connection)
    known = {*(champion.labels if champion else ()), *images.labels(connection)}
    for label, field in rules.classes_named().items():
        if known and label not in known:
            near = get_close_matches(label, sorted(known), n=3, cutoff=0.5)
            hint = f"; did you mean: {', '.join(near)}?" if near else ""
            raise UsageError(f"{field}: no class is called {label!r}{hint}")


def _check_addresses(rules: AlertRules, networks: str) -> None:
    """Refuse webhooks that could never be sent to, now rather than at the first alert."""
    allowed = addresses.read_networks(networks)
    for i, channel in enumerate(rules.channels):
        why = addresses.objection_to_url(channel.url, allowed)
        if why is not None:
            raise UsageError(
                f"channels[{i}].url: {why}; to allow it, set WEAKSPOT_ALERTS_NETWORKS here and "
                "where the monitor runs"
            )
