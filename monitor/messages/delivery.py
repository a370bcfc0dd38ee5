"""The postman: sends what waits in the outbox, and wakes alerts whose sleep is over.

Each look takes at most one message of each channel, so that they go out side by side. What fails is
tried again after a wait that doubles, up to an hour, with jitter, so that many installations do not
knock at once; a receiver that names a time itself (`Retry-After`) is believed for all of its
channel. What fails is passed by later messages about other alerts. What a receiver understood and
refused is given up after three tries, for the fourth would be refused as well. Whether it is quiet
is asked when messages leave, by the rules of that moment. Nothing is sent inside a transaction.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Collection, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from core import telling
from core.errors import DeliveryError, WeakspotError
from core.store import alert_rules, alerts, last_runs, outbox, worsening
from core.store.database import transaction
from core.store.last_runs import Errand
from core.telling import News
from monitor.messages import channels
from monitor.messages.channels import Means
from monitor.messages.webhook import WebhookError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.clock import Clock
    from core.store.alert_policy import Channel
    from core.store.outbox import Delivery

AT_ONCE = 8
KEPT_DAYS = 90  # how long what was sent is remembered

_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 3600.0
# A receiver that is being put up may answer 404 for some minutes.
_REFUSED_WAITS_S = (300.0, 1800.0)

_HOLDER = f"{socket.gethostname()}/{os.getpid()}"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Postage:
    """How messages are sent.

    Attributes:
        means: What one attempt takes.
        attempts: After so many a message is given up.
        poll_s: How often the outbox is looked at.
    """

    means: Means = field(default_factory=Means)
    attempts: int = 20
    poll_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the outbox did: how many messages were sent, put off and given up."""

    sent: int = 0
    put_off: int = 0
    given_up: int = 0

    def __add__(self, other: Round) -> Round:
        return Round(
            self.sent + other.sent,
            self.put_off + other.put_off,
            self.given_up + other.given_up,
        )


def deliver(
    engine: Engine, postage: Postage, clock: Clock, stop: threading.Event | None = None
) -> Round:
    """Wake what is due, and send everything that is due now; return what came of it.

    This is also what a program that does not run for long calls before it ends.

    Args:
        engine: The database.
        postage: How messages are sent.
        clock: What time it is.
        stop: When it is set, what has not been taken is left to the next time.

    Raises:
        StoreError: Postgres is away; what was not marked is sent again, with the same key.
    """
    began = clock.now()
    wake(engine, now=began)
    total = Round()
    down: set[str] = set()
    while not (stop and stop.is_set()):
        done, failed = _look(engine, postage, clock, down)
        if done == Round():
            break
        total += done
        # One attempt at a receiver that is down is enough for now, or a hundred messages to one
        # that hangs would hold up all others.
        down |= failed
    with transaction(engine) as connection:
        errand = Errand(last_runs.DELIVERY, _HOLDER, began, clock.now(), "done", asdict(total))
        last_runs.leave(connection, errand, quiet=total == Round())
    return total


def wake(engine: Engine, *, now: datetime) -> None:
    """Wake the alerts whose sleep is over; what became worse meanwhile is told now."""
    with transaction(engine) as connection:
        if alerts.wake_due(connection, now=now):
            worse = worsening.take_worsened(connection)
            telling.tell(connection, [News("worsened", each) for each in worse], now=now)


def run_forever(engine: Engine, postage: Postage, clock: Clock, stop: threading.Event) -> None:
    """Deliver what is due, every few seconds until `stop` is set; a failure is logged."""
    while not stop.is_set():
        try:
            deliver(engine, postage, clock, stop)
            with transaction(engine) as connection:
                outbox.drop_sent(connection, before=clock.now() - timedelta(days=KEPT_DAYS))
        except WeakspotError as error:
            logger.warning("messages wait: %s", error)
        stop.wait(postage.poll_s)


@contextmanager
def in_background(
    engine: Engine, postage: Postage, clock: Clock, stop: threading.Event
) -> Generator[None]:
    """Deliver beside whatever the block does; when it ends, the last messages are waited for."""
    postman = threading.Thread(
        target=run_forever, args=(engine, postage, clock, stop), name="postman"
    )
    postman.start()
    try:
        yield
    finally:
        stop.set()
        postman.join()


def wait_s(failures: int, chance: float) -> float:
    """Return how long to wait after so many failures: doubling, with jitter of half of it.

    Args:
        failures: How often it has failed, from 1.
        chance: Drawn evenly from 0 to 1.

    Example:
        >>> [wait_s(failures, 1.0) for failures in (1, 2, 3, 99)]
        [30.0, 60.0, 120.0, 3600.0]
    """
    longest = min(_FIRST_WAIT_S * 2.0 ** min(failures - 1, 20), _LONGEST_WAIT_S)
    return longest * (0.5 + 0.5 * chance)


def _look(
    engine: Engine, postage: Postage, clock: Clock, down: Collection[str]
) -> tuple[Round, set[str]]:
    """Send one message of each channel that is not down; return what came of it, and who failed."""
    # Longer than an attempt can take, or two monitors would send the same message.
    lease_s = 2 * postage.means.timeout_s + 60
    now = clock.now()
    with transaction(engine) as connection:
        current = alert_rules.latest(connection)
        hours = current.rules.quiet_hours if current else None
        quiet = hours is not None and hours.ends(now) is not None
        taken = outbox.claim(
            connection, now=now, lease_s=lease_s, most=AT_ONCE, quiet=quiet, but=down
        )
    if not taken:
        return Round(), set()
    known = {channel.name: channel for channel in current.rules.channels} if current else {}
    with ThreadPoolExecutor(len(taken)) as pool:
        done = list(
            pool.map(
                lambda each: _attempt(engine, each, known.get(each.channel), postage, clock), taken
            )
        )
    # What was understood and refused says nothing about the next.
    failed = {
        each.channel
        for each, (came, refused) in zip(taken, done, strict=True)
        if came.put_off and not refused
    }
    return sum((came for came, _ in done), Round()), failed


def _attempt(
    engine: Engine, taken: Delivery, channel: Channel | None, postage: Postage, clock: Clock
) -> tuple[Round, bool]:
    """Send one message, write down what came of it, and say whether it was refused."""
    if channel is None:
        return _give_up(engine, taken, "there is no channel of this name any more"), False
    try:
        channels.send(channel, taken.dedup_key, taken.message, postage.means)
    except DeliveryError as error:
        refused = isinstance(error, WebhookError) and error.refused
        return _put_off(engine, taken, error, postage, clock.now()), refused
    with transaction(engine) as connection:
        outbox.mark_sent(connection, taken, now=clock.now())
    logger.info("%s has message %s", taken.channel, taken.dedup_key)
    return Round(sent=1), False


def _put_off(
    engine: Engine, taken: Delivery, error: DeliveryError, postage: Postage, now: datetime
) -> Round:
    # A message brought back to life has as many attempts again.
    failures = (taken.attempts - 1) % postage.attempts + 1
    refused = isinstance(error, WebhookError) and error.refused
    if failures == postage.attempts or (refused and taken.refusals == len(_REFUSED_WAITS_S)):
        return _give_up(engine, taken, str(error))
    asked = error.retry_after_s if isinstance(error, WebhookError) else None
    chance = random.random()  # noqa: S311 - jitter, no secret
    if refused:
        wait = _REFUSED_WAITS_S[taken.refusals] * (0.5 + 0.5 * chance)
    else:
        wait = max(asked or 0, wait_s(failures, chance))
    logger.warning("%s did not take %s: %s", taken.channel, taken.dedup_key, error)
    with transaction(engine) as connection:
        again_at = now + timedelta(seconds=wait)
        outbox.mark_failed(connection, taken, error=str(error), again_at=again_at, refused=refused)
        if asked:
            outbox.hold(connection, taken.channel, until=now + timedelta(seconds=asked))
    return Round(put_off=1)


def _give_up(engine: Engine, taken: Delivery, error: str) -> Round:
    logger.error(
        "%s will not have %s after %d attempts: %s; weakspot alerts outbox shows it",
        taken.channel,
        taken.dedup_key,
        taken.attempts,
        error,
    )
    with transaction(engine) as connection:
        outbox.mark_failed(connection, taken, error=error, again_at=None)
    return Round(given_up=1)
