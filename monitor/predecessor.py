"""After a promotion, the version before it answers the day's images, too.

Only images that came into the pool since the promotion: those before it were the gate's, or are
what the predecessor was found weak by, and would speak for the new version by having been chosen.
It costs a second look at these images, for as many days as a probation lasts. A predecessor that
cannot be loaded leaves the comparison out; the day is examined all the same.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from core.bundle import files
from core.bundle.runner import Runner
from core.errors import BundleError
from core.evaluation import evaluate
from core.store import probations, registry

if TYPE_CHECKING:
    from datetime import date

    from core.store.probations import Probation
    from core.store.registry import Version
    from core.store.validations import Validation
    from monitor.page import Page

logger = logging.getLogger(__name__)


def answer(page: Page, validation: Validation) -> int:
    """Let the predecessor answer what the day's version was examined on; return how many images.

    Images that it has answered are not shown to it again.

    Raises:
        StaleRunError: Somebody else has taken the day over.
    """
    with page.writing() as connection:
        probation = watched(probations.of_champion(connection), page.version.version, page.day)
        if probation is None or page.day > last_day(probation, page.options.probation_days):
            return 0
        samples = probations.unanswered(connection, probation, validation.id)
        before = registry.get(connection, probation.against)
    if not samples:
        return 0
    try:
        said = evaluate(_open(before), samples, on_progress=page.on_progress)
    except BundleError as error:
        logger.warning(
            "%s is not compared with %s: %s", probation.version, probation.against, error
        )
        return 0
    answers = [
        (sample.id, before.labels[index])
        for sample, index in zip(said.samples, said.predicted.tolist(), strict=True)
    ]
    with page.writing() as connection:
        probations.write_answers(connection, probation, answers)
    return len(answers)


def watched(probation: Probation | None, version: str, day: date) -> Probation | None:
    """Return the probation if it is of this version, open, and has begun by the day."""
    if probation is None or probation.version != version or probation.status != "open":
        return None
    return probation if day >= probation.began_at.date() else None


def last_day(probation: Probation, days: int) -> date:
    """Return the last day on which a version is on probation; with 0 days it never is."""
    return probation.began_at.date() + timedelta(days=days - 1)


def _open(version: Version) -> Runner:
    """Return a version loaded, after its files were found to be those that are registered."""
    folder = Path(version.uri)
    files.verify(folder)
    if files.digest(folder) != version.digest:
        raise BundleError(f"{folder} holds another bundle than the registered {version.version}")
    return Runner.open(folder)
