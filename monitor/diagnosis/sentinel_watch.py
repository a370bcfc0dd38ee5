"""The frozen set, asked before every exam: is this still the model that was promoted?

The bundle's digest says whether it is the registered one. If it is, and yet gives other answers
for its frozen images than on this machine before, then something under it has changed: a driver,
onnxruntime, a decoder. Neither is a weak class. Both raise an alert of their own kind and keep
retraining away; answers that are far off, or another model's, are not even counted as an exam.

A machine or an engine that the version was never asked on has its own first answers; those only
have to agree with the bundle's as closely as a bundle must to be loaded. What services find of
what they serve by is looked at every few minutes, and told here, too.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from core import frozen_set, telling
from core.bundle import files
from core.bundle.runner import Runner
from core.errors import BundleError
from core.frozen_set import Asked, Who
from core.store import notices, registry, sentinel_checks
from core.store.database import transaction
from core.telling import News

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection, Engine

    from core.clock import Clock
    from core.store.registry import Version
    from core.store.sentinel_checks import Check
    from monitor.page import Page

# Well below the time for which the outbox remembers what it has sent.
_STILL_NEWS = timedelta(days=2)

logger = logging.getLogger(__name__)


def watch(page: Page) -> Runner:
    """Ask the version about its frozen images, write down what it gave, and return it loaded.

    Raises:
        BundleError: It is not the registered bundle, cannot be loaded, or its answers are too
            far off to be counted. The alert is out by then.
        StaleRunError: Somebody else has taken the day over.
    """
    asked = ask(page.version, page.day, now=page.clock.now())
    with page.writing() as connection:
        check = settle(connection, asked)
        tell(connection, check.version, now=page.clock.now())
    if not check.is_sound:
        logger.error("%s: %s", check.version, check.detail)
    far_off = asked.marks is not None and asked.marks.is_far_off
    if asked.runner is None or far_off:
        raise BundleError(check.detail)
    return asked.runner


def ask(version: Version, day: date, *, now: datetime) -> Asked:
    """Load a version and ask it about its frozen images; nothing is compared with other days."""
    folder, who = Path(version.uri), Who(sentinel_checks.MONITOR, day, now)
    try:
        files.verify(folder)
        found = files.digest(folder)
    except BundleError as error:
        return frozen_set.unanswered(version.version, who, "model", str(error))
    if found != version.digest:
        detail = (
            f"{folder} holds another bundle than the one registered as {version.version}: its "
            f"digest is {found[:12]}, and {version.digest[:12]} is registered; restore it"
        )
        return frozen_set.unanswered(version.version, who, "model", detail)
    try:
        runner = Runner.open(folder)
    except BundleError as error:
        return frozen_set.unanswered(version.version, who, "runtime", str(error))
    return frozen_set.ask(runner, who)


def settle(connection: Connection, asked: Asked) -> Check:
    """Hold what a version gave against what it gave here first, and write the day's check down."""
    return frozen_set.settle(connection, asked)


def tell(connection: Connection, version: str, *, now: datetime) -> None:
    """Raise the alerts that the checks of a version ask for, resolve those that are over, and tell.

    An alert may have been raised by a service. The outbox takes each message once, so it is put
    there again rather than forgotten.
    """
    found = frozen_set.follow(connection, version, now=now)
    known = [notices.unresolved(connection, kind, version) for kind in frozen_set.KINDS]
    news = [News("opened", each) for each in known if each and now - each.at < _STILL_NEWS]
    news += [News("resolved", each) for each in found.resolved]
    # One by one, so that what is put there again is the message of before.
    for each in news:
        telling.tell(connection, [each], now=now)


def look(engine: Engine, *, clock: Clock) -> None:
    """Tell what services have found of the version that serves, and what of it is over."""
    with transaction(engine) as connection:
        champion = registry.champion(connection)
        if champion is not None and sentinel_checks.last(connection, champion.version):
            tell(connection, champion.version, now=clock.now())
