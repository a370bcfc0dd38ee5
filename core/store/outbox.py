"""The outbox: messages written with what they tell, and sent afterwards, each at least once.

A message is put in by the transaction that changes the alert, so it exists exactly if the change
does. Whoever sends takes it under a lease, sends it outside of any transaction, and marks it. Who
dies in between loses the lease, and the message goes out again with the same dedup key. What fails
waits longer each time, and after the last attempt it is dead: kept, counted and shown.

What is told of one alert on one channel goes out in order: "resolved" waits for "weak". Otherwise
a message that waits for its next attempt is passed by those behind, the urgent ones first. In quiet
hours only the urgent ones are taken, whatever was known of quiet hours when they were put in.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import ConflictError, NotFoundError
from core.store import audit

DeliveryState = Literal["waiting", "sending", "sent", "dead"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class DeliveryRow(SQLModel, table=True):
    """One message on its way to one channel."""

    __tablename__ = "deliveries"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.UniqueConstraint("dedup_key"),
        sa.Index(
            "deliveries_unfinished",
            "channel",
            "id",
            postgresql_where=sa.text("state IN ('waiting', 'sending')"),
        ),
        sa.Index("deliveries_by_alert", "alerts", postgresql_using="gin"),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    channel: str
    dedup_key: str
    message: dict[str, Any] = Field(sa_type=_JSON)
    created_at: datetime = Field(sa_type=_TIMESTAMP)
    due_at: datetime = Field(sa_type=_TIMESTAMP)
    state: str
    attempts: int
    lease_until: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    sent_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    last_error: str | None = None
    alerts: list[int] = Field(sa_type=sa.ARRAY(sa.BigInteger))  # pyright: ignore[reportArgumentType]
    urgent: bool
    refusals: int


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message about to be put in; its fields are those of `Delivery`."""

    channel: str
    dedup_key: str
    message: Mapping[str, Any]
    created_at: datetime
    due_at: datetime
    alerts: Sequence[int] = ()
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one channel.

    Attributes:
        id: Its number, in the order in which they were put in.
        channel: The channel's name in the alert rules.
        dedup_key: The same for every attempt at the same news, so that a receiver can tell.
        message: What is sent.
        created_at: When it was put in.
        due_at: When it is sent at the earliest.
        state: `waiting`, `sending`, `sent`, or `dead` after the last attempt.
        attempts: How often it was taken to be sent; also its fence.
        lease_until: When whoever sends it has lost it.
        sent_at: When it was accepted.
        last_error: Why the last attempt failed, without secrets.
        alerts: The alerts it tells of.
        urgent: Whether it goes out in quiet hours.
        refusals: How often it was understood and refused since it was put in, or brought back.
    """

    id: int
    channel: str
    dedup_key: str
    message: dict[str, Any]
    created_at: datetime
    due_at: datetime
    state: DeliveryState
    attempts: int
    lease_until: datetime | None
    sent_at: datetime | None
    last_error: str | None
    alerts: list[int]
    urgent: bool
    refusals: int


_PUT = sa.text("""
    INSERT INTO deliveries (channel, dedup_key, message, created_at, due_at, state, attempts,
                            alerts, urgent, refusals)
    VALUES (:channel, :dedup_key, :message, :created_at, :due_at, 'waiting', 0,
            CAST(:alerts AS bigint[]), :urgent, 0)
        ON CONFLICT (dedup_key) DO NOTHING
""").bindparams(sa.bindparam("message", type_=JSONB))


def put(connection: Connection, delivery: NewDelivery) -> bool:
    """Put a message in, and say whether it is news: the same is never put in twice."""
    values = asdict(delivery) | {"alerts": list(delivery.alerts)}
    return connection.execute(_PUT, values).rowcount > 0


# What may go: it is due, or was taken by somebody who fell silent. A lease that ends later than one
# taken now could is from before the clock was set back.
_FREE = """
    ((d.state = 'waiting' AND d.due_at <= :now)
     OR (d.state = 'sending' AND (d.lease_until <= :now OR d.lease_until > :longest)))
"""

# SKIP LOCKED lets two monitors take side by side, never the same; what was taken between looking
# and locking is looked at again, so the condition stands in both places. Of each channel one goes,
# an urgent one first; what tells of an alert waits for what was to tell of it before.
_CLAIM = sa.text(f"""
    WITH next AS (
        SELECT DISTINCT ON (d.channel) d.id
          FROM deliveries AS d
         WHERE {_FREE}
           AND (d.urgent OR NOT :quiet)
           AND NOT d.channel = ANY(CAST(:but AS text[]))
           AND NOT EXISTS (
                SELECT FROM deliveries AS earlier
                 WHERE earlier.channel = d.channel
                   AND earlier.id < d.id
                   AND earlier.state IN ('waiting', 'sending')
                   AND earlier.alerts && d.alerts)
         ORDER BY d.channel, d.urgent DESC, d.id)
    UPDATE deliveries
       SET state = 'sending', attempts = attempts + 1, lease_until = :lease_until
     WHERE id IN (
            SELECT d.id
              FROM deliveries AS d
              JOIN next ON next.id = d.id
             WHERE {_FREE}
             ORDER BY d.id
             LIMIT :most
               FOR UPDATE OF d SKIP LOCKED)
 RETURNING id, channel, dedup_key, message, created_at, due_at, state, attempts, lease_until,
           sent_at, last_error, alerts, urgent, refusals
""")  # noqa: S608 - nothing from outside is in it


def claim(
    connection: Connection,
    *,
    now: datetime,
    lease_s: float,
    most: int,
    quiet: bool = False,
    but: Collection[str] = (),
) -> list[Delivery]:
    """Take the messages that are due, at most one of each channel; commit before sending.

    Args:
        connection: Where they are.
        now: The present moment.
        lease_s: After so many seconds without a word they are free again.
        most: Take no more.
        quiet: Whether only what is urgent may go.
        but: Channels that get nothing now.
    """
    until = now + timedelta(seconds=lease_s)
    values = {"now": now, "lease_until": until, "longest": until, "most": most}
    values |= {"quiet": quiet, "but": sorted(but)}
    taken = [Delivery(*row) for row in connection.execute(_CLAIM, values)]
    return sorted(taken, key=lambda each: each.id)


def mark_sent(connection: Connection, taken: Delivery, *, now: datetime) -> bool:
    """Mark a message as accepted; False when it is not ours any more."""
    return _finish(connection, taken, {"state": "sent", "sent_at": now, "last_error": None})


def mark_failed(
    connection: Connection,
    taken: Delivery,
    *,
    error: str,
    again_at: datetime | None,
    refused: bool = False,
) -> bool:
    """Mark an attempt as failed; False when it is not ours any more.

    Args:
        connection: Where it is.
        taken: What `claim` gave.
        error: Why, without secrets.
        again_at: When to try again; None gives it up.
        refused: Whether it was understood, and refused.
    """
    changed: dict[str, Any] = {"state": "dead", "last_error": error}
    changed["refusals"] = taken.refusals + refused
    if again_at is not None:
        changed |= {"state": "waiting", "due_at": again_at}
    return _finish(connection, taken, changed)


def hold(connection: Connection, channel: str, *, until: datetime) -> None:
    """Let nothing that waits go to a channel before a moment: its receiver asked for it."""
    statement = sa.update(DeliveryRow).where(
        col(DeliveryRow.channel) == channel,
        col(DeliveryRow.state) == "waiting",
        col(DeliveryRow.due_at) < until,
    )
    connection.execute(statement.values(due_at=until))


def retry(connection: Connection, delivery: int, *, by: str, now: datetime) -> Delivery:
    """Bring a dead message back to life, to be sent now, with as many attempts again.

    Raises:
        NotFoundError: There is no such message.
        ConflictError: It is not dead.
    """
    statement = _DELIVERIES.where(col(DeliveryRow.id) == delivery).with_for_update()
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no delivery {delivery}; weakspot alerts outbox shows all")
    found = Delivery(*row)
    if found.state != "dead":
        raise ConflictError(f"delivery {delivery} is {found.state}; only a dead one is retried")
    # Its attempts go on counting: they are the fence of whoever took it last.
    changed = {"state": "waiting", "due_at": now, "refusals": 0}
    connection.execute(
        sa.update(DeliveryRow).where(col(DeliveryRow.id) == delivery).values(changed)
    )
    audit.record(
        connection,
        now=now,
        by=by,
        action="retry delivery",
        subject=f"delivery {delivery}",
        detail={"channel": found.channel},
    )
    return Delivery(*connection.execute(_DELIVERIES.where(col(DeliveryRow.id) == delivery)).one())


def latest(
    connection: Connection, limit: int = 100, *, states: tuple[DeliveryState, ...] = ()
) -> list[Delivery]:
    """Return the messages put in last, the newest first; only those in `states` when given."""
    statement = _DELIVERIES.order_by(col(DeliveryRow.id).desc()).limit(limit)
    if states:
        statement = statement.where(col(DeliveryRow.state).in_(states))
    return [Delivery(*row) for row in connection.execute(statement)]


def counts(connection: Connection) -> dict[DeliveryState, int]:
    """Return how many messages are in each state."""
    statement = sa.select(col(DeliveryRow.state), sa.func.count()).group_by(DeliveryRow.state)
    found = {state: int(n) for state, n in connection.execute(statement)}
    states: tuple[DeliveryState, ...] = ("waiting", "sending", "sent", "dead")
    return {state: found.get(state, 0) for state in states}


def drop_sent(connection: Connection, *, before: datetime) -> int:
    """Forget the messages that were accepted before a moment; return how many."""
    statement = sa.delete(DeliveryRow).where(
        col(DeliveryRow.state) == "sent", col(DeliveryRow.sent_at) < before
    )
    return connection.execute(statement).rowcount


def _finish(connection: Connection, taken: Delivery, changed: dict[str, Any]) -> bool:
    statement = (
        sa.update(DeliveryRow)
        .where(col(DeliveryRow.id) == taken.id, col(DeliveryRow.state) == "sending")
        .where(col(DeliveryRow.attempts) == taken.attempts)
        .values(changed | {"lease_until": None})
    )
    return connection.execute(statement).rowcount > 0


_DELIVERIES = sa.select(*[getattr(DeliveryRow, name) for name in Delivery.__dataclass_fields__])
