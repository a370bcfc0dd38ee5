"""The drift reports on the disk, some four megabytes a day: dropped once they are old."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import date
from pathlib import Path

logger = logging.getLogger(__name__)


def drop(reports: Path, before: date) -> list[date]:
    """Delete the reports of days before `before`, and return those days, the oldest first.

    Only `<day>/*.html`, and what an interrupted run left of one, is touched. A report that cannot
    be deleted is logged and left for the next day's run.
    """
    dropped: list[date] = []
    for folder in sorted(reports.glob("????-??-??")):
        day = _day_of(folder)
        if day is None or day >= before or not folder.is_dir():
            continue
        try:
            for path in [*folder.glob("*.html"), *folder.glob("*.tmp")]:
                path.unlink(missing_ok=True)
            with suppress(OSError):  # somebody keeps something else there
                folder.rmdir()
        except OSError as error:
            logger.warning("old reports could not be deleted from %s: %s", folder, error)
            continue
        dropped.append(day)
    return dropped


def _day_of(folder: Path) -> date | None:
    try:
        return date.fromisoformat(folder.name)
    except ValueError:
        return None
