"""The daily exam: fresh labelled images of each class, and what the version says of them.

The draw is written down before any image is looked at, so a day that is interrupted goes on with
the same images, and nobody can draw until the numbers please. An exam whose images mostly cannot
be read, half of them or more, is invalid: a lost folder must not look like a model that gets
everything wrong.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from core.evaluation import Evaluation, evaluate
from core.stats.proportions import jeffreys
from core.store import class_days, exam_draws, traces, validations
from core.store.class_days import ClassDay
from core.store.validations import Answers, Draw, Judgement, Validation
from monitor.diagnosis import sentinel_watch
from monitor.diagnosis.tracing import traces_of
from monitor.forecast.quotas import quotas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.page import Page

# From this share of unreadable images on, an exam is invalid.
INVALID_FROM = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exam:
    """What came of a day's exam: its row, and how many images it drew."""

    validation: Validation
    drawn: int
    complaint: str = ""


def draw(page: Page, *, fresh: bool) -> Validation | None:
    """Return the day's draw, the recorded one where there is one.

    Args:
        page: The day.
        fresh: Whether to draw when nothing is recorded; without it the answer is None then.
    """
    version, options = page.version, page.options
    with page.writing() as connection:
        recorded = validations.get(connection, page.day, version.version)
        if recorded is not None or not fresh:
            return recorded
        wanted = quotas(connection, version, page.day, options, said=page.day)
        samples = exam_draws.draw(
            connection,
            version=version.version,
            labels=version.labels,
            before=page.end,
            snapshot_at=version.snapshot_at,
            chosen=version.was_chosen,
            per_class=wanted.drawn.tolist(),
        )
        now = page.clock.now()
        late = now >= page.end + timedelta(days=1)
        intent = Draw(page.day, version.version, options.per_class, late, now)
        return validations.record_draw(connection, intent, samples)


def examine(page: Page, validation: Validation) -> Exam:
    """Show the drawn images to the version and write down each answer, and the classes' counts.

    An exam that is done stays as it is; an invalid one is tried again with the same images.

    Raises:
        BundleError: The version cannot be loaded, or is not what was registered.
        StaleRunError: Somebody else has taken the day over.
    """
    with page.writing() as connection:
        samples = validations.drawn(connection, validation)
    if validation.status == "done":
        return Exam(validation, len(samples))
    page.on_progress("loading the version", 0, 1)
    runner = sentinel_watch.watch(page)
    if not samples:
        return _settle(page, validation, None)
    evaluation = evaluate(runner, samples, on_progress=page.on_progress, describe=True)
    return _settle(page, validation, evaluation)


def count(
    validation: Validation, labels: Sequence[str], answers: Mapping[str, Answers]
) -> list[ClassDay]:
    """Return a row for every label of the version examined, also for those without images.

    Args:
        validation: The exam.
        labels: The version's labels; what was answered for others is not counted.
        answers: How each class was answered, by label.
    """
    rows = [answers.get(label, Answers(label, 0, 0, {})) for label in labels]
    correct = np.array([row.correct for row in rows])
    low, high = jeffreys(correct, np.array([row.n for row in rows]))
    day, version = validation.day, validation.version
    return [
        ClassDay(day, version, row.label, row.n, row.correct, row.confused, a, b, row.shared)
        for row, a, b in zip(rows, low.tolist(), high.tolist(), strict=True)
    ]


def _settle(page: Page, validation: Validation, evaluation: Evaluation | None) -> Exam:
    """Write the answers down, and end the exam as done or invalid, all in one transaction."""
    unreadable = evaluation.unreadable if evaluation else []
    labels, version = page.version.labels, page.version.version
    judgements = _judgements(labels, evaluation) if evaluation else []
    seen = traces_of(evaluation, labels, version=version, day=page.day) if evaluation else []
    drawn = len(unreadable) + len(judgements)
    for sample, complaint in unreadable[:10]:
        logger.warning("image %d cannot be judged: %s", sample.id, complaint)
    invalid = bool(unreadable) and len(unreadable) >= INVALID_FROM * drawn
    with page.writing() as connection:
        if not invalid:
            validations.record_judgements(connection, validation, judgements)
            traces.write(connection, seen)
            traces.forget(connection, traces.first_kept(page.day))
            answers = validations.answers(connection, validation)
            class_days.write(connection, count(validation, page.version.labels, answers))
        finished = validations.finish(
            connection,
            validation,
            status="invalid" if invalid else "done",
            unreadable=len(unreadable),
            now=page.clock.now(),
        )
    complaint = f"{len(unreadable)} of {drawn} images cannot be read" if invalid else ""
    return Exam(finished, drawn, complaint)


def _judgements(labels: list[str], evaluation: Evaluation) -> list[Judgement]:
    answered = zip(
        evaluation.samples,
        evaluation.predicted.tolist(),
        evaluation.confidence.tolist(),
        strict=True,
    )
    return [Judgement(sample.id, labels[index], sure) for sample, index, sure in answered]
