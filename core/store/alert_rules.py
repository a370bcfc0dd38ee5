"""The alert rules in their versions: who set what, when, and what was in force on a day.

A day is judged by the rules that were the last ones when it ended, whenever it is judged: a replay
of last month reads last month's. The first version holds for everything before it.

The settings of the monitor's environment write versions as long as no person has; from then on
they are ignored.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.clock import day_bounds
from core.errors import ConflictError, NotFoundError
from core.store import audit
from core.store.alert_policy import AlertRules, parse

SETTINGS: Final = "settings"  # who writes what the environment says

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class AlertRulesRow(SQLModel, table=True):
    """One version of the rules."""

    __tablename__ = "alert_rules"  # pyright: ignore[reportAssignmentType]

    version: int = Field(sa_column=sa.Column(sa.Integer, primary_key=True, autoincrement=False))
    at: datetime = Field(sa_type=_TIMESTAMP)
    by: str
    note: str
    rules: dict[str, Any] = Field(sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """One version of the rules.

    Attributes:
        version: Its number, from 1.
        at: When it was set.
        by: Who set it; `settings` for what the environment says.
        note: Why, in the words of who did.
        rules: The rules themselves.
    """

    version: int
    at: datetime
    by: str
    note: str
    rules: AlertRules


_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('alert_rules', 0))")


def write(
    connection: Connection,
    rules: AlertRules,
    *,
    by: str,
    now: datetime,
    note: str = "",
    follows: int | None = None,
) -> RulesVersion:
    """Set the rules; they hold from the day of `now` on.

    Args:
        connection: Where they are kept.
        rules: The new rules.
        by: Who sets them.
        now: The present moment.
        note: Why.
        follows: The version they were made from; None for whichever is the latest.

    Raises:
        ConflictError: Somebody has set others since `follows`.
    """
    connection.execute(_LOCK)
    last = latest(connection)
    number = last.version if last else 0
    if follows is not None and follows != number:
        who = f", by {last.by}" if last else ""
        raise ConflictError(
            f"the alert rules are at version {number}{who}, and yours were made from {follows}; "
            "look at them again: weakspot alerts rules show"
        )
    values = {
        "version": number + 1,
        "at": now,
        "by": by,
        "note": note,
        "rules": rules.model_dump(mode="json"),
    }
    connection.execute(sa.insert(AlertRulesRow), values)
    audit.record(
        connection,
        now=now,
        by=by,
        action="set alert rules",
        subject=f"version {number + 1}",
        detail={"note": note, "changed": _changed(last.rules if last else None, rules)},
    )
    return RulesVersion(number + 1, now, by, note, rules)


def adopt(
    connection: Connection, rules: AlertRules, *, now: datetime, renew: bool = True
) -> RulesVersion:
    """Write down what the environment says, unless a person has spoken; return what counts.

    Args:
        connection: Where they are kept.
        rules: What the environment says.
        now: The present moment.
        renew: Whether it also counts where it said something else before. A person's shell is not
            the monitor's environment, and must not undo it.
    """
    connection.execute(_LOCK)
    last = latest(connection)
    if last is not None and (not renew or last.by != SETTINGS or last.rules == rules):
        return last
    return write(connection, rules, by=SETTINGS, now=now, note="from the environment")


def latest(connection: Connection) -> RulesVersion | None:
    """Return the rules set last; None when none were ever set."""
    statement = _RULES.order_by(col(AlertRulesRow.version).desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _of(row)


def get(connection: Connection, version: int) -> RulesVersion:
    """Return one version.

    Raises:
        NotFoundError: There is no such version.
    """
    row = connection.execute(_RULES.where(col(AlertRulesRow.version) == version)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no version {version} of the alert rules")
    return _of(row)


def history(connection: Connection, limit: int = 100) -> list[RulesVersion]:
    """Return the versions, the newest first."""
    statement = _RULES.order_by(col(AlertRulesRow.version).desc()).limit(limit)
    return [_of(row) for row in connection.execute(statement)]


def in_force(connection: Connection, day: date) -> RulesVersion | None:
    """Return the rules a day is judged by; None when none were ever set."""
    over = day_bounds(day)[1]
    statement = _RULES.where(col(AlertRulesRow.at) < over)
    row = connection.execute(
        statement.order_by(col(AlertRulesRow.version).desc()).limit(1)
    ).one_or_none()
    if row is None:
        first = _RULES.order_by(col(AlertRulesRow.version)).limit(1)
        row = connection.execute(first).one_or_none()
    return None if row is None else _of(row)


def set_after(connection: Connection, day: date) -> list[date]:
    """Return the days after `day` on which rules were set, in order."""
    on = sa.cast(sa.func.timezone("UTC", AlertRulesRow.at), sa.Date)
    statement = sa.select(on).where(col(AlertRulesRow.at) >= day_bounds(day)[1])
    return sorted(set(connection.execute(statement).scalars()))


def _changed(before: AlertRules | None, after: AlertRules) -> dict[str, Any]:
    """Return what is new, as it may be shown; a new address or secret is named, not told."""
    old = before.shown() if before else {}
    changed = {key: value for key, value in after.shown().items() if old.get(key) != value}
    if before and before.channels != after.channels:
        changed.setdefault("channels", "an address or secret")
    return changed


def _of(row: Any) -> RulesVersion:
    return RulesVersion(row.version, row.at, row.by, row.note, parse(row.rules))


_RULES = sa.select(*[getattr(AlertRulesRow, name) for name in RulesVersion.__dataclass_fields__])
