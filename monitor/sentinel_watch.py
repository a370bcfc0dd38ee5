"""The frozen set, asked before every exam: is this still the model that was promoted?

The bundle's digest says whether it is the registered one. If it is, and yet gives other answers
for its frozen images than on this machine before, then something under it has changed: a driver,
onnxruntime, a decoder. Neither is a weak class. Both raise an alert of their own kind and keep
retraining away; answers that are far off, or another model's, are not even counted as an exam.

A machine or an engine that the version was never asked on has its own first answers; those only
have to agree with the bundle's as closely as a bundle must to be loaded.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.bundle import files, marks
from core.bundle.runner import Runner
from core.errors import BundleError, InvalidImageError
from core.store import alerts, sentinel_checks
from core.store.sentinel_checks import Baseline, Check, baseline_of
from monitor import telling
from monitor.telling import News

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.bundle.marks import Marks
    from core.store.registry import Version
    from monitor.page import Page

UNKNOWN_PLACE = "never loaded"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a version gave for its frozen images.

    Attributes:
        check: The verdict before it is held against earlier days: `same`, or what is wrong.
        marks: The bits; None when the version could not be asked.
        runner: The version, loaded; None when it could not be.
        repeats: Whether the engine promises the same bits every day.
    """

    check: Check
    marks: Marks | None = None
    runner: Runner | None = None
    repeats: bool = True


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
        tell(connection, check, now=page.clock.now())
    if not check.is_sound:
        logger.error("%s: %s", check.version, check.detail)
    far_off = asked.marks is not None and asked.marks.is_far_off
    if asked.runner is None or far_off:
        raise BundleError(check.detail)
    return asked.runner


def ask(version: Version, day: date, *, now: datetime) -> Asked:
    """Load a version and ask it about its frozen images; nothing is compared with other days."""
    folder = Path(version.uri)
    nothing = Check(
        version.version, day, now, "model", UNKNOWN_PLACE, None, None, None, None, None,
        marks.libraries(), "",
    )  # fmt: skip
    try:
        files.verify(folder)
        found = files.digest(folder)
    except BundleError as error:
        return Asked(replace(nothing, detail=str(error)))
    if found != version.digest:
        detail = (
            f"{folder} holds another bundle than the one registered as {version.version}: its "
            f"digest is {found[:12]}, and {version.digest[:12]} is registered; restore it"
        )
        return Asked(replace(nothing, detail=detail))
    try:
        runner = Runner.open(folder)
        given = marks.take(runner)
    except (BundleError, InvalidImageError) as error:
        return Asked(replace(nothing, verdict="runtime", detail=str(error)))
    check = replace(
        nothing,
        verdict="same",
        place=marks.place(runner),
        engine=runner.engine,
        preprocessing=given.preprocessing,
        answers=given.answers,
        largest=given.largest,
        pixels_off=given.pixels_off,
    )
    return Asked(check, given, runner, marks.repeats_bits(runner))


def settle(connection: Connection, asked: Asked) -> Check:
    """Hold what a version gave against what it gave here first, and write the day's check down."""
    check = asked.check
    if check.engine is not None:
        before = sentinel_checks.baseline(connection, check.version, check.place, check.engine)
        check = _compared(check, asked, before)
        if check.verdict == "first here":
            sentinel_checks.keep_baseline(
                connection, baseline_of(check), by="monitor", now=check.at
            )
    sentinel_checks.write(connection, check)
    return check


def tell(connection: Connection, check: Check, *, now: datetime) -> None:
    """Raise the alert of a check that is not sound; resolve those that are over."""
    news: list[News] = []
    for kind in ("runtime", "model"):
        if check.verdict == kind:
            title = _TITLES[kind].format(version=check.version)
            body = f"{check.detail}\n{_ADVICE[kind].format(version=check.version)}"
            raised = alerts.raise_notice(
                connection, kind, check.version, title=title, body=body, now=now
            )
            news += [News("opened", raised)] if raised else []
        else:
            over = alerts.resolve_notice(connection, kind, check.version, now=now)
            news += [News("resolved", over)] if over else []
    telling.tell(connection, news, now=now)


_TITLES = {
    "runtime": "{version} gives other answers than before: the runtime has changed",
    "model": "the model that lies where {version} should is not the registered one",
}
_ADVICE = {
    "runtime": (
        "No class is to blame, and no retraining is asked for. Put the runtime back; or, when the "
        "difference is harmless: weakspot model accept {version}"
    ),
    "model": "Nothing it answers is counted, and no retraining is asked for.",
}


def _compared(check: Check, asked: Asked, before: Baseline | None) -> Check:
    """Return the check with its verdict, seen beside the first answers on this machine."""
    if asked.marks is not None and asked.marks.is_far_off:
        return replace(check, verdict="runtime", detail=f"{_how_far(check)}: too far off to count")
    if before is None:
        return replace(check, verdict="first here")
    changed: list[str] = []
    if check.preprocessing != before.preprocessing:
        changed.append("known files decode to other pixels")
    if check.answers != before.answers and asked.repeats:
        changed.append("the frozen images get other answers")
    if not changed:
        return check
    detail = (
        f"On this machine, {' and '.join(changed)} than before; {_how_far(check)}. "
        f"{_what_changed(before.libraries, check.libraries)}"
    )
    return replace(check, verdict="runtime", detail=detail)


def _how_far(check: Check) -> str:
    said = f"a logit is off by {check.largest:.1e} from the bundle's"
    if check.pixels_off is None:
        return said
    return f"{said}, and pixels by {check.pixels_off:.2f} of 255 on average"


def _what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    moved = [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if not moved:
        return "No library's version has changed: look at drivers, processor and memory."
    return f"Changed since: {', '.join(moved)}."
