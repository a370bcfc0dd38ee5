"""The frozen set: does what answers still give what it gave when the version was promoted?

Whoever computes a version asks it about its frozen images and holds the answers against the first
ones on this machine, by this engine: the monitor before every exam, a service when it has loaded a
version and then once a day. Other bits mean that something under the model has changed: a driver,
onnxruntime, a decoder. Here is what both have in common: the comparison, what is written down, and
the alert, one for each version whoever found it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, Literal

from sqlalchemy import Connection

from core.bundle import marks
from core.bundle.marks import Marks
from core.bundle.runner import Runner
from core.errors import BundleError, InvalidImageError
from core.store import notices, registry, sentinel_checks
from core.store.alerts import Alert
from core.store.sentinel_checks import Baseline, Check, Verdict, baseline_of

UNKNOWN_PLACE: Final = "never loaded"
Kind = Literal["runtime", "model"]
KINDS: Final[tuple[Kind, ...]] = ("runtime", "model")


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and when.

    Attributes:
        name: `monitor`, or which service.
        day: The day that the answers count for.
        now: The present moment.
    """

    name: str
    day: date
    now: datetime


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


@dataclass(frozen=True, slots=True)
class Notices:
    """What became of alerts."""

    opened: list[Alert] = field(default_factory=list[Alert])
    resolved: list[Alert] = field(default_factory=list[Alert])


def unanswered(version: str, who: Who, verdict: Verdict, detail: str) -> Asked:
    """Return that a version could not be asked, and why."""
    return Asked(
        Check(
            version, who.day, who.now, verdict, UNKNOWN_PLACE, None, None, None, None, None,
            marks.libraries(), detail, who.name,
        )
    )  # fmt: skip


def ask(
    runner: Runner,
    who: Who,
    *,
    one_by_one: bool = False,
    before_each: Callable[[], None] | None = None,
) -> Asked:
    """Ask a loaded version about its frozen images; nothing is compared with other days.

    Args:
        runner: The version.
        who: Who asks, and when.
        one_by_one: Whether each image is a call of its own.
        before_each: Called before each call.
    """
    try:
        frozen = marks.read(runner)
    except BundleError as error:
        return unanswered(runner.version, who, "model", str(error))
    try:
        batch = 1 if one_by_one else marks.BATCH
        given = marks.take(runner, frozen, batch=batch, before_each=before_each)
    except (BundleError, InvalidImageError) as error:
        return unanswered(runner.version, who, "runtime", str(error))
    check = Check(
        version=runner.version,
        day=who.day,
        at=who.now,
        verdict="same",
        place=marks.place(runner, one_by_one=one_by_one),
        engine=runner.engine,
        preprocessing=given.preprocessing,
        answers=given.answers,
        largest=given.largest,
        pixels_off=given.pixels_off,
        libraries=marks.libraries(),
        detail="",
        asked_by=who.name,
        by_pixels=given.by_pixels,
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
                connection, baseline_of(check), by=check.asked_by, now=check.at
            )
    sentinel_checks.write(connection, check)
    return check


def raise_alerts(connection: Connection, version: str, *, now: datetime) -> list[Alert]:
    """Raise an alert of each kind that a version's checks ask for; return those that are new."""
    raised: list[Alert] = []
    for kind, unsound in _in_force(connection, version, now).items():
        if not unsound:
            continue
        found = notices.raise_once(
            connection,
            kind,
            version,
            title=_TITLES[kind].format(version=version),
            body="\n".join([*map(_told, unsound), _ADVICE[kind].format(version=version)]),
            now=now,
        )
        raised += [found] if found else []
    return raised


def follow(connection: Connection, version: str, *, now: datetime) -> Notices:
    """Raise the alerts that a version's checks ask for, and resolve those that are over.

    Those of versions that do not serve any more are over, once the version that does is asked.
    """
    champion = registry.champion(connection)
    found = _in_force(connection, version, now)
    serves = champion is not None and champion.version == version
    resolved: list[Alert | None] = []
    for kind in KINDS:
        over = [] if found[kind] else [version]
        if serves:
            causes = notices.causes(connection, kind)
            over += [cause for cause in causes if cause != version]
        resolved += [notices.resolve(connection, kind, cause, now=now) for cause in over]
    return Notices(
        raise_alerts(connection, version, now=now), [alert for alert in resolved if alert]
    )


_TITLES: dict[Kind, str] = {
    "runtime": "{version} gives other answers than before: the runtime has changed",
    "model": "The model that lies where {version} should is not the registered one",
}
_ADVICE: dict[Kind, str] = {
    "runtime": (
        "No class is to blame, and no retraining is asked for. Put the runtime back; or, when the "
        "difference is harmless: weakspot model accept {version}"
    ),
    "model": "Nothing it answers is counted, and no retraining is asked for.",
}


def _in_force(connection: Connection, version: str, now: datetime) -> dict[Kind, list[Check]]:
    """Return by kind which of those that ask a version find it unsound."""
    since = now - sentinel_checks.REMEMBERED
    found = sentinel_checks.in_force(connection, version, since)
    return {kind: [check for check in found if check.verdict == kind] for kind in KINDS}


def _told(check: Check) -> str:
    if check.asked_by == sentinel_checks.MONITOR:
        return check.detail
    return f"In the {check.asked_by}, by {check.engine}: {check.detail}"


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
