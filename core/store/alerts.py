"""The alerts: what people are told about a cause, in words, and what they have done about it.

A cause has one alert, however many days it lasts: a flag, or for what no class is to blame for, a
kind and a name such as (`monitor`, `day 2026-03-08`). Every change of state is in the audit trail.
Which messages follow from it is decided elsewhere; what is remembered here is what people were
told. Whether a class has become worse since is asked in core.store.worsening; alerts about no class
are raised and resolved in core.store.notices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from datetime import date, datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError, UsageError
from core.stats.evidence import certainty
from core.store import alert_states, audit
from core.store.alert_states import Deed, State
from core.store.flags import CHANGE, FlagRow
from core.store.told import Told

# `change`: a class has sunk; `monitor`: the monitor speaks of itself; `runtime`: the frozen images
# get other answers than before; `model`: another bundle lies where the registered one should;
# `pooled`: all classes together answer worse than they did; `rolled back`: a version that the loop
# promoted answers worse than the one before it, which serves again; `load`: a service cannot load
# the champion.
Kind = Literal["change", "monitor", "runtime", "model", "pooled", "rolled back", "load"]

MONITOR: Final = "monitor"

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB
MOST_EVIDENCE: Final = 1e300  # certainty is a number, too


class AlertRow(SQLModel, table=True):
    """One alert."""

    __tablename__ = "alerts"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.UniqueConstraint("flag", name="alerts_one_per_flag"),
        sa.Index(
            "alerts_one_per_cause",
            "kind",
            "cause",
            unique=True,
            postgresql_where=sa.text("state <> 'resolved'"),
        ),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    flag: int | None = Field(default=None, foreign_key="flags.id", sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=_TIMESTAMP)
    state: str
    title: str
    body: str
    confused_with: str | None = None
    images: list[int] = Field(sa_type=_JSON)
    resolved_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    kind: str
    cause: str | None = None
    snoozed_until: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    peak: float
    level: int
    evidence: dict[str, Any] = Field(sa_type=_JSON)
    told: list[dict[str, Any]] = Field(sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert of a flag about to be stored; its fields are those of `Alert`."""

    flag: int
    at: datetime
    title: str
    body: str
    confused_with: str | None
    images: list[int]
    peak: float = 0.0
    evidence: Mapping[str, Any] = dataclass_field(default_factory=dict[str, Any])
    told: Sequence[Told] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """What people are told about a cause.

    Attributes:
        id: Its number.
        flag: The flag it tells of; None when it is about no class.
        label: The flag's class.
        version: The version the flag was raised against.
        since: The day on which it most likely began.
        at: When it was raised.
        state: `open`, `acknowledged`, `snoozed` or `resolved`.
        title: One line.
        body: Plain text of a few lines.
        confused_with: The class with the most evidence that it is mistaken for it; without a
            diagnosis the most frequent one; None when it never was.
        images: Numbers of up to five images that show it, the worst first.
        resolved_at: When the flag closed, or somebody resolved it.
        kind: `change` when a class has sunk, `monitor` when the monitor speaks of itself.
        cause: What it is about when there is no flag.
        snoozed_until: When it wakes; None unless snoozed.
        peak: The largest evidence of its flag's version since it was raised; to show, not to judge.
        level: How often people were told that it is worse. Alerts from before migration 0008
            count on from the power of ten that stood here.
        evidence: Why it happened, as `monitor.diagnosis` says it; empty where nothing is known.
        told: What people were told, as `Told` keeps it, the latest last.
    """

    id: int
    flag: int | None
    label: str | None
    version: str | None
    since: date | None
    at: datetime
    state: State
    title: str
    body: str
    confused_with: str | None
    images: list[int]
    resolved_at: datetime | None
    kind: Kind = "change"
    cause: str | None = None
    snoozed_until: datetime | None = None
    peak: float = 0.0
    level: int = 0
    evidence: Mapping[str, Any] = dataclass_field(default_factory=dict[str, Any])
    told: Sequence[Mapping[str, Any]] = ()

    @property
    def certainty(self) -> float | None:
        """How probable it is that the class has fallen; None of what is about no class."""
        return certainty(self.peak) if self.flag is not None else None

    def was_told(self) -> list[Told]:
        """Return what people were told, the latest last."""
        return [Told.from_json(each) for each in self.told]


_RAISE = sa.text("""
    INSERT INTO alerts (flag, at, state, title, body, confused_with, images, kind, peak, level,
                        evidence, told)
    VALUES (:flag, :at, 'open', :title, :body, :confused_with, :images, :kind, :peak, 0,
            :evidence, :told)
        ON CONFLICT ON CONSTRAINT alerts_one_per_flag DO NOTHING
 RETURNING id
""").bindparams(*(sa.bindparam(name, type_=JSONB) for name in ("images", "evidence", "told")))


def raise_alert(connection: Connection, alert: NewAlert) -> bool:
    """Store a flag's alert, and say whether it is new: a flag is told of once."""
    values = asdict(alert) | {
        "kind": CHANGE,
        "peak": min(alert.peak, MOST_EVIDENCE),
        "evidence": dict(alert.evidence),
        "told": [each.to_json() for each in alert.told],
    }
    raised = connection.execute(_RAISE, values).scalar_one_or_none()
    if raised is not None:
        _audit(connection, raised, "raise alert", by="monitor", now=alert.at, detail={})
    return raised is not None


def resolve(connection: Connection, flag: int, *, now: datetime) -> bool:
    """Resolve a flag's alert, and say whether there was one to resolve."""
    statement = sa.select(col(AlertRow.id)).where(
        col(AlertRow.flag) == flag, col(AlertRow.state) != "resolved"
    )
    found = connection.execute(statement).scalar_one_or_none()
    if found is None:
        return False
    move(connection, found, "resolve", by="monitor", now=now)
    return True


def move(
    connection: Connection,
    alert: int,
    deed: Deed,
    *,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> Alert:
    """Do something with an alert, write down who did, and return it as it is then.

    Args:
        connection: Where it is.
        alert: Its number.
        deed: What is done.
        by: Who does it.
        now: The present moment.
        until: When a snoozed alert wakes; only to snooze.

    Raises:
        NotFoundError: There is no such alert.
        UsageError: It is to be snoozed until no moment, or until one that has passed.
        ConflictError: It cannot be done with an alert in this state.
    """
    statement = sa.select(col(AlertRow.state)).where(col(AlertRow.id) == alert).with_for_update()
    state: Any = connection.execute(statement).scalar_one_or_none()
    if state is None:
        raise NotFoundError(f"there is no alert {alert}; weakspot alerts list shows all")
    reached = alert_states.after(state, deed, alert=alert)
    if deed == "snooze" and (until is None or until <= now):
        raise UsageError(f"alert {alert} cannot sleep until {until}: name a moment after now")
    changed = {
        "state": reached,
        "snoozed_until": until if reached == "snoozed" else None,
        "resolved_at": now if reached == "resolved" else None,
    }
    connection.execute(sa.update(AlertRow).where(col(AlertRow.id) == alert).values(changed))
    detail = {"from": state, "to": reached} | ({"until": until.isoformat()} if until else {})
    _audit(connection, alert, f"{deed} alert", by=by, now=now, detail=detail)
    return _known(connection, alert)


# SKIP LOCKED: one that somebody is handling at this moment is woken by the next look.
_DUE = sa.text("""
    SELECT id
      FROM alerts
     WHERE state = 'snoozed'
       AND snoozed_until <= :now
     ORDER BY id
       FOR UPDATE SKIP LOCKED
""")


def wake_due(connection: Connection, *, now: datetime) -> list[Alert]:
    """Wake the alerts whose sleep is over, and return them."""
    due = connection.execute(_DUE, {"now": now}).scalars().all()
    return [move(connection, alert, "wake", by="monitor", now=now) for alert in due]


def set_evidence(connection: Connection, flag: int, evidence: Mapping[str, Any]) -> None:
    """Put what is known by now of why it happened in the place of what was known before.

    The class it is mistaken for is the one that the evidence names, where it names one.
    """
    statement = sa.update(AlertRow).where(col(AlertRow.flag) == flag)
    values: dict[str, Any] = {"evidence": dict(evidence)}
    if confused := evidence.get("confused"):
        values["confused_with"] = confused["label"]
    connection.execute(statement.values(values))


def causes(connection: Connection, flags: Sequence[int]) -> dict[int, str]:
    """Return whose fault each flag is, by flag, as far as its alert knows."""
    named = col(AlertRow.evidence)["cause"].astext
    statement = sa.select(col(AlertRow.flag), named)
    rows = connection.execute(statement.where(col(AlertRow.flag).in_(flags), named.is_not(None)))
    return {flag: cause for flag, cause in rows if flag is not None}


def get(connection: Connection, alert: int) -> Alert | None:
    """Return one alert by its number; None when there is none."""
    row = connection.execute(ALERTS.where(col(AlertRow.id) == alert)).one_or_none()
    return None if row is None else Alert(*row)


def of_flags(connection: Connection, flags: Sequence[int]) -> list[Alert]:
    """Return the alerts of some flags, the oldest first."""
    statement = ALERTS.where(col(AlertRow.flag).in_(flags)).order_by(col(AlertRow.id))
    return [Alert(*row) for row in connection.execute(statement)]


def latest(
    connection: Connection,
    limit: int = 100,
    *,
    label: str | None = None,
    state: State | None = None,
    before: int | None = None,
) -> list[Alert]:
    """Return the alerts raised last, the newest first.

    Args:
        connection: Where to ask.
        limit: At most so many.
        label: Only those of this class; None for all.
        state: Only those in this state; None for all.
        before: Only those with a smaller number; None for all.
    """
    statement = ALERTS.order_by(col(AlertRow.id).desc()).limit(limit)
    if label is not None:
        statement = statement.where(col(FlagRow.label) == label)
    if state is not None:
        statement = statement.where(col(AlertRow.state) == state)
    if before is not None:
        statement = statement.where(col(AlertRow.id) < before)
    return [Alert(*row) for row in connection.execute(statement)]


def _known(connection: Connection, alert: int) -> Alert:
    return Alert(*connection.execute(ALERTS.where(col(AlertRow.id) == alert)).one())


def _audit(
    connection: Connection,
    alert: int,
    action: str,
    *,
    by: str,
    now: datetime,
    detail: dict[str, Any],
) -> None:
    audit.record(connection, now=now, by=by, action=action, subject=f"alert {alert}", detail=detail)


ALERTS = sa.select(
    col(AlertRow.id),
    col(AlertRow.flag),
    col(FlagRow.label),
    col(FlagRow.version),
    col(FlagRow.since),
    col(AlertRow.at),
    col(AlertRow.state),
    col(AlertRow.title),
    col(AlertRow.body),
    col(AlertRow.confused_with),
    col(AlertRow.images),
    col(AlertRow.resolved_at),
    col(AlertRow.kind),
    col(AlertRow.cause),
    col(AlertRow.snoozed_until),
    col(AlertRow.peak),
    col(AlertRow.level),
    col(AlertRow.evidence),
    col(AlertRow.told),
).join_from(AlertRow, FlagRow, col(AlertRow.flag) == col(FlagRow.id), isouter=True)
