"""What retrainings wait for: images of which class, on which side of the split, and how many.

A retraining that had too few new images says how many more it would learn from; one whose
challenger could not be shown to be well, how many gate images another look at it takes. Both are
counted down here by what has been labelled since.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from core.store import challengers, flags, images, job_rows, jobs, registry
from core.store.job_rows import Job

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def gate_images(connection: Connection, job: Job, now: datetime) -> dict[str, int] | None:
    """Return the gate images that a job's challenger still lacks, by class; None where none waits.

    None waits when the exam ended otherwise, or another version serves than it was held against.
    """
    result, champion = job.result or {}, registry.champion(connection)
    lacking: dict[str, int] = (result.get("gate") or {}).get("missing") or {}
    if job.status != "more images" or job.challenger is None or not lacking:
        return None
    if champion is None or result.get("champion") != champion.version:
        return None
    known = {label: n for label, n in lacking.items() if label in champion.labels}
    return _left(connection, job, known, "test", now)


def training_images(connection: Connection, job: Job, now: datetime) -> dict[str, int]:
    """Return the new training images that a job found missing and that still are, by class."""
    missing: dict[str, int] = (job.result or {}).get("missing") or {}
    return _left(connection, job, missing, "train", now)


def by_hand(connection: Connection) -> list[Job]:
    """Return the retrainings that wait for images and that a person asked for, the oldest first.

    Where a flag is open on one of its classes, a retraining is the flag's.
    """
    flagged = {flag.label for flag in flags.open_flags(connection)}
    waiting = job_rows.waiting_by_hand(connection)
    return [job for job in waiting if not flagged.intersection(job.labels)]


def wanted(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Return what retrainings wait for: of open flags, the oldest first, then of people.

    Returns:
        `{"label", "split", "missing", "job"}` of each class and side that lacks images.
    """
    labels = [flag.label for flag in flags.open_flags(connection)]
    found = [jobs.last_for_label(connection, label) for label in labels]
    last = {job.id: (job, labels) for job in found if job is not None}
    last |= {job.id: (job, job.labels) for job in by_hand(connection)}
    rows: list[dict[str, Any]] = []
    for job, aimed in last.values():
        to_learn = training_images(connection, job, now)
        rows += [_row(label, "train", to_learn[label], job) for label in aimed if label in to_learn]
        rows += [_row(*each, job) for each in _gate_rows(connection, job, now)]
    return [row for row in rows if row["missing"]]


def challenger(connection: Connection) -> dict[str, Any] | None:
    """Return on how many sampled predictions the challenger that waits differs from the champion.

    Returns:
        `{"version", "champion", "scored", "differing", "labelled"}`; None where none waits, or
        none was answered by both.
    """
    champion = registry.champion(connection)
    found = challengers.waiting(connection, champion.version) if champion else None
    if champion is None or found is None:
        return None
    counts = [
        each
        for each in challengers.beside(connection, found.version)
        if each.champion == champion.version
    ]
    names = ("champion", "scored", "differing", "labelled")
    shown = {name: getattr(counts[0], name) for name in names} if counts else None
    return {"version": found.version, **shown} if shown else None


def _gate_rows(connection: Connection, job: Job, now: datetime) -> list[tuple[str, str, int]]:
    found = gate_images(connection, job, now) or {}
    return [(label, "test", n) for label, n in sorted(found.items())]


def _row(label: str, split: str, missing: int, job: Job) -> dict[str, Any]:
    return {"label": label, "split": split, "missing": missing, "job": job.id}


def _left(
    connection: Connection, job: Job, wanted: dict[str, int], split: str, now: datetime
) -> dict[str, int]:
    """Return how many of the wanted images have not come since the job ended; 0 where all have."""
    if not wanted or job.finished_at is None:
        return dict(wanted)
    come = images.samples(
        connection,
        split=split,
        labels=list(wanted),
        added_after=job.finished_at,
        added_by=now,
        trusted=True,
    )
    counts = Counter(sample.label for sample in come)
    return {label: max(0, n - counts[label]) for label, n in wanted.items()}
