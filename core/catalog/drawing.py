"""The labelled images of one day, drawn by hand: so many of each class, none judged before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection

from core.catalog.spreadsheet import write_rows
from core.clock import day_bounds
from core.errors import CatalogError
from core.store import exam_draws, images, registry
from core.store.images import Sample

_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DaySample:
    """One day's stratified sample.

    Attributes:
        day: The day it is for.
        version: The champion of that day, which has not been judged on these images; None
            when there was none.
        images: The images, by label.
        shortfalls: How many images each class lacks; classes that lack none are left out.
    """

    day: date
    version: str | None
    images: list[Sample]
    shortfalls: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the sample as JSON would hold it."""
        return {
            "day": self.day.isoformat(),
            "version": self.version,
            "images": [
                {"path": image.uri, "label": image.label, "sha256": image.sha256}
                for image in self.images
            ],
            "shortfalls": self.shortfalls,
        }

    def to_csv(self) -> str:
        """Return path, label and SHA-256 of each image, safe to open in a spreadsheet."""
        rows = ((image.uri, image.label, image.sha256) for image in self.images)
        return write_rows(("path", "label", "sha256"), rows)


def draw_day(connection: Connection, day: date, *, per_class: int) -> DaySample:
    """Draw the images that the monitor would draw next for that day.

    They are images on the test side, or newer than what the champion learnt from, on which it
    was not judged yet, and that the gate did not choose it by. Without a champion, they are any
    images on the test side.

    Args:
        connection: Where the pool is.
        day: Nothing captured after it is drawn.
        per_class: Images per class.

    Raises:
        CatalogError: There is no image to draw.
    """
    _, end = day_bounds(day)
    champion = registry.champion_on(connection, end)
    labels = images.labels(connection) if champion is None else champion.labels
    drawn = exam_draws.draw(
        connection,
        version="" if champion is None else champion.version,
        labels=labels,
        before=end,
        # No image comes in later than that, so the test side alone is drawn from.
        snapshot_at=_NEVER if champion is None else champion.snapshot_at,
        per_class=per_class,
        chosen=champion is not None and champion.was_chosen,
    )
    if not drawn:
        raise CatalogError(
            f"no image is left to draw for {day}; import new ones: weakspot data import"
        )
    missing = dict.fromkeys(labels, per_class)
    for image in drawn:
        missing[image.label] -= 1
    shortfalls = {label: number for label, number in missing.items() if number > 0}
    return DaySample(day, None if champion is None else champion.version, drawn, shortfalls)
