"""What the versions' pages are drawn from, and the few questions to the store that give it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bundle import files
from core.errors import BundleError, NotFoundError
from core.shown import comparing
from core.store import job_rows, jobs, lineage, registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.shown.comparing import Comparison
    from core.store.jobs import Job
    from core.store.lineage import Line, Service
    from core.store.registry import Load, Version
    from dashboard.pages.models.view import ModelsView

PAGE_LENGTH = 50
MOST_SERVICES = 500
MOST_NAMES = 500
_LONGEST_VALUE = 300


@dataclass(frozen=True, slots=True)
class Registered:
    """A page of the registered versions.

    Attributes:
        now: The present moment.
        view: What of them is looked at.
        lines: The page, the newest first.
        more: Whether there are older ones.
        services: When which version served, the latest first.
    """

    now: datetime
    view: ModelsView
    lines: list[Line]
    more: bool
    services: list[Service]

    @property
    def champion(self) -> str | None:
        """The version that serves; None before the first promotion."""
        return self.services[0].version if self.services else None


@dataclass(frozen=True, slots=True)
class OneVersion:
    """One version.

    Attributes:
        now: The present moment.
        version: The version.
        champion: Which one serves; None before the first promotion.
        services: When it served, the latest first.
        job: What made or examined it last; None where it was trained by hand.
        loads: The attempts of services to load it, the last of each service.
        children: Versions that were fine-tuned from it.
        card: Its model card, in Markdown; None where its bundle cannot be read.
    """

    now: datetime
    version: Version
    champion: str | None
    services: list[Service]
    job: Job | None
    loads: list[Load]
    children: list[str]
    card: str | None


@dataclass(frozen=True, slots=True)
class Moving:
    """The champion, about to be moved.

    Attributes:
        version: The version that would serve; None where there is none to go back to.
        champion: The one that serves; None before the first promotion.
        passed: Whether the gate has passed the version against that champion.
        job: The version's exam; None without one.
    """

    version: Version | None
    champion: str | None
    passed: bool
    job: Job | None


def page_of(connection: Connection, view: ModelsView, *, now: datetime) -> Registered:
    """Return a page of the registered versions."""
    # One more than is shown says whether there are others.
    found = lineage.page(connection, PAGE_LENGTH + 1, before=view.before)
    shown = found[:PAGE_LENGTH]
    services = lineage.services(connection, MOST_SERVICES)
    return Registered(now, view, shown, len(found) > len(shown), services)


def one(connection: Connection, version: str, *, now: datetime) -> OneVersion | None:
    """Return one version; None where there is none of that name."""
    found = get(connection, version)
    if found is None:
        return None
    services = lineage.services(connection, MOST_SERVICES)
    return OneVersion(
        now=now,
        version=found,
        champion=services[0].version if services else None,
        services=[each for each in services if each.version == version],
        job=job_rows.of_challenger(connection, version),
        loads=registry.latest_loads(connection, version),
        children=lineage.children(connection, version, MOST_NAMES),
        card=_card(found),
    )


def two(connection: Connection, a: str, b: str) -> Comparison | None:
    """Return two versions on the same images; None where one of them is not registered."""
    first, second = get(connection, a), get(connection, b)
    if first is None or second is None:
        return None
    return comparing.compare(connection, first, second)


def other_than_champion(connection: Connection, a: str, b: str) -> str | None:
    """Return the one of two versions that does not serve while the other does, if that is so."""
    serving = registry.champion(connection)
    return {a: b, b: a}.get(serving.version) if serving is not None and a != b else None


def promotion(connection: Connection, version: str) -> Moving:
    """Return what is to be known before a version is promoted."""
    serving = registry.champion(connection)
    name = serving.version if serving else None
    passed = name is None or jobs.passed_gate(connection, version, name)
    job = job_rows.of_challenger(connection, version)
    return Moving(get(connection, version), name, passed, job)


def withdrawal(connection: Connection) -> Moving:
    """Return what is to be known before the champion is rolled back."""
    line = registry.succession(connection)
    champion = line[-1] if line else None
    earlier = [each for each in line if each != champion]
    before = get(connection, earlier[-1]) if earlier else None
    return Moving(before, champion, passed=True, job=None)


def get(connection: Connection, version: str) -> Version | None:
    """Return one version; None where there is none of that name."""
    try:
        return registry.get(connection, version)
    except NotFoundError:
        return None


def flat(config: dict[str, Any]) -> Sequence[tuple[str, str]]:
    """Return a run's configuration as names and values, by name."""
    return [
        (name, text[:_LONGEST_VALUE] + ("…" if len(text) > _LONGEST_VALUE else ""))
        for name, value in sorted(config.items())
        if (text := value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    ]


def _card(version: Version) -> str | None:
    folder = Path(version.uri)
    try:
        return files.read_member(folder, files.read_manifest(folder), files.CARD).decode()
    except (BundleError, KeyError, UnicodeDecodeError):
        return None
