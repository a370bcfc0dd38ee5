"""`/v1/health/classes`: how every class was on a day, as the monitor wrote it down when it judged.

Nothing is computed here, so the answer is that of `weakspot health --json` on the morning after.
"""

from datetime import date, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from core.errors import NotFoundError
from core.store import health_days
from core.store.database import transaction
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms
from service.shown.spans import Day

router = APIRouter(prefix="/v1/health", tags=["health"])


class ReferencePromise(BaseModel):
    """What the confidences promised on the bundle's own validation images."""

    n: int
    accuracy: float | None = Field(description="The share of them that was right.")
    expected_accuracy: float | None
    expected_accuracy_atc: float | None


class WithoutLabels(BaseModel):
    """What the day's predictions promise, without a label; it opens no flag."""

    predictions: int = Field(examples=[1840], description="Images that were called by this name.")
    expected_accuracy: float | None = Field(
        examples=[0.912], description="Their mean calibrated confidence (CBPE)."
    )
    expected_accuracy_atc: float | None = Field(
        examples=[0.904], description="The share of them that was sure enough (ATC)."
    )
    reference: ReferencePromise | None = Field(
        description="Null for a bundle that does not say; train a new one to have it."
    )


class ClassHealth(BaseModel):
    """One class on one day."""

    label: str = Field(examples=["Spider"])
    state: str = Field(examples=["weak"], description="In one word; docs/detection.md.")
    n: int = Field(ge=0, examples=[20], description="Labelled images judged; 0 without any.")
    correct: int = Field(ge=0, examples=[6])
    accuracy: float | None = Field(examples=[0.3], description="Null where n is 0.")
    low: float = Field(examples=[0.14], description="Lower end of the 95 % Jeffreys interval.")
    high: float = Field(examples=[0.52], description="Its upper end.")
    reference: float = Field(examples=[0.91], description="Accuracy the class is held to.")
    evidence: float = Field(
        examples=[5400.0], description="The e-value against `as good as its reference`."
    )
    threshold: float = Field(examples=[1875.0], description="Evidence that raises an alarm.")
    days_without_labels: int = Field(ge=0, examples=[0])
    note: str = Field(examples=["flagged since 2026-03-07"])
    labels_a_day: float = Field(examples=[10.0], description="Over the last four weeks.")
    days_to_notice: dict[str, float | None] = Field(
        examples=[{"5 points": 12.0, "15 points": 3.0, "35 points": 2.0}],
        description="Median days until such a drop raises an alarm, at today's labels; null for "
        "never.",
    )
    without_labels: WithoutLabels


class NeedsLabels(BaseModel):
    """A class that the next draw lacks images of, or that had none of late."""

    label: str = Field(examples=["Cat"])
    days_without_labels: int = Field(ge=0, examples=[2])
    fresh: int = Field(ge=0, examples=[3], description="Images that may still be drawn.")
    wanted: int = Field(ge=0, examples=[10], description="Images that the draw would take.")
    missing: int = Field(ge=0, examples=[7])


class Correlation(BaseModel):
    """How alike the answers of one session, or to pictures nearly alike, are."""

    estimate: float = Field(
        examples=[0.01],
        description="Intra-class correlation over the thirty days before; 0 where nothing can be "
        "compared.",
    )
    one_bet_a_group: bool = Field(
        examples=[False], description="Whether such images are one bet for it: above 0.02."
    )


class PooledHealth(BaseModel):
    """All classes together, in one detector."""

    n: int = Field(ge=0, examples=[150], description="Labelled images of the day.")
    correct: int = Field(ge=0, examples=[139])
    reference: float = Field(examples=[0.93], description="Accuracy their mix is held to.")
    evidence: float = Field(examples=[0.8])
    threshold: float = Field(examples=[500.0], description="A fifth of the alarm budget's.")
    since_alarm: bool = Field(description="An alarm was raised, and no recovery shown since.")
    correlation: float
    one_bet_a_group: bool


class HealthOfDay(BaseModel):
    """How every class of the version examined on a day was."""

    day: date = Field(examples=["2026-03-08"])
    version: str = Field(examples=["v3"])
    judged_at: datetime = Field(description="When it was judged, or last judged anew.")
    draw: Literal["adaptive", "plain"] = Field(
        description="`adaptive`: half of the labels follow the evidence."
    )
    classes: list[ClassHealth]
    weak_list: list[str] = Field(
        examples=[["Spider"]], description="Classes below the owner's floor, the weakest first."
    )
    correlation: Correlation | None = Field(
        default=None, description="Null for a day that was judged before it was written down."
    )
    pooled: PooledHealth | None = Field(
        description="Null with one watched class, or a version without a reference."
    )
    needs_labels: list[NeedsLabels] = Field(description="The most urgent first.")


@router.get("/classes", responses=responses(404, 422, 503))
@needs("read")
def get_health_of_classes(rooms: InRooms, day: Day = None) -> HealthOfDay:
    """Show how every class was on a day: counts, interval, evidence, days to notice a drop."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        found = health_days.get(connection, day)
    if found is None:
        raise NotFoundError(
            f"no class was examined on {day}" if day else "no class has been examined yet"
        )
    return HealthOfDay.model_validate(
        found.document
        | {
            "judged_at": found.judged_at,
            "draw": "adaptive" if found.document["adaptive"] else "plain",
        }
    )
