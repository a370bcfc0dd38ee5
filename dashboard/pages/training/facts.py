"""What the training page is drawn from, and the few questions to the store that give it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import exc

from core.store import job_lines, trial_lines, version_lines

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.job_lines import JobCourse, JobLine
    from core.store.trial_lines import Search
    from core.store.version_lines import VersionLine
    from dashboard.pages.training.view import TrainingView

_log = logging.getLogger(__name__)

MOST_JOBS = 25
MOST_VERSIONS = 15
MOST_TRIALS = 2_500


@dataclass(frozen=True, slots=True)
class Searches:
    """The searches, and the one that is looked at.

    Attributes:
        names: Of the latest, the newest first.
        shown: The one looked at; None where there is none, or none of the name asked for.
    """

    names: list[str]
    shown: Search | None


@dataclass(frozen=True, slots=True)
class Training:
    """What the training page is drawn from.

    Attributes:
        now: The present moment.
        view: What of it is looked at.
        counts: How many jobs there are of each status.
        jobs: What runs, what waits, and what ended last.
        course: The job looked at; None where there is none, or none of the number asked for.
        versions: The latest, and those that the jobs made or began from.
        searches: The searches; None where Optuna's tables cannot be read.
    """

    now: datetime
    view: TrainingView
    counts: dict[str, int]
    jobs: list[JobLine]
    course: JobCourse | None
    versions: list[VersionLine]
    searches: Searches | None

    @property
    def running(self) -> list[JobLine]:
        """The jobs under way."""
        return [each for each in self.jobs if each.status == "running"]


def gather(connection: Connection, view: TrainingView, *, now: datetime) -> Training:
    """Return what the training page is drawn from."""
    lines = job_lines.latest(connection, MOST_JOBS)
    chosen = _chosen(lines) if view.job is None else view.job
    course = None if chosen is None else job_lines.course(connection, chosen)
    about = [*lines, *([course.line] if course else [])]
    named = {name for each in about for name in (each.challenger, each.parent) if name}
    return Training(
        now=now,
        view=view,
        counts=job_lines.count(connection),
        jobs=lines,
        course=course,
        versions=version_lines.latest(connection, MOST_VERSIONS, named=sorted(named)),
        searches=_searches(connection, view.search),
    )


def _chosen(lines: list[JobLine]) -> int | None:
    """Return the job that matters most now: one under way, else the last one that made passes."""
    running = [each for each in lines if each.status == "running"]
    passed = [each for each in lines if each.last_pass]
    return next((each.id for each in [*running, *passed, *lines]), None)


def _searches(connection: Connection, wanted: str | None) -> Searches | None:
    try:
        # What another release of Optuna keeps elsewhere must not take the jobs off the page.
        with connection.begin_nested():
            names = trial_lines.names(connection)
            chosen = wanted or next(iter(names), None)
            shown = (
                trial_lines.search(connection, chosen, MOST_TRIALS) if names and chosen else None
            )
    except (exc.ProgrammingError, ValueError, TypeError, AttributeError):
        _log.exception("the searches cannot be read")
        return None
    return Searches(names, shown)
