"""`/v1/health/classes/{label}`: one class over some days, as its page on the dashboard shows it."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from core.errors import NotFoundError
from core.shown import confusions, weeks
from core.shown.confusions import Confusions, Stretch
from core.store import class_days, class_state, registry, standing, traces, validations
from core.store.class_days import ClassDay
from core.store.class_state import ClassState
from core.store.database import transaction
from core.store.registry import Version
from core.store.standing import ClassStanding, Standing
from core.store.traces import Neighbour
from core.store.validations import WrongImage
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms
from service.shown.class_days import DayOfClass
from service.shown.spans import From, To, examined_span

router = APIRouter(prefix="/v1/health", tags=["health"])

# Postgres cannot hold NUL in text, and no label has control characters or slashes.
LabelInPath = Annotated[
    str, Path(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$", examples=["Spider"])
]


class DayWithEvidence(DayOfClass):
    """One examined day of the class, and what the detector knew at its end."""

    reference: float | None = Field(examples=[0.91], description="Accuracy it is held to.")
    evidence: float | None = Field(
        examples=[5400.0], description="The e-value against `as good as its reference`."
    )
    threshold: float | None = Field(examples=[1875.0], description="Evidence that raises an alarm.")
    alarm: bool | None = Field(examples=[False], description="Whether the day raised one.")
    days_without_labels: int | None = Field(ge=0, examples=[0])


class ShownWeek(BaseModel):
    """Seven days of the class, or those that a shorter stretch left over."""

    model_config = ConfigDict(from_attributes=True)

    first: date
    last: date
    n: int = Field(ge=0, examples=[70], description="Labelled images of the class.")
    recalled: int = Field(ge=0, examples=[63], description="How many of them were called so.")
    recall: float | None = Field(examples=[0.9], description="Null where n is 0.")
    called: int = Field(ge=0, examples=[75], description="Labelled images that were called so.")
    right: int = Field(ge=0, examples=[63], description="How many of those are of the class.")
    precision: float | None = Field(examples=[0.84], description="Null where none was called so.")
    confidence: float | None = Field(examples=[0.93], description="Mean of what was called so.")
    calibration_error: float | None = Field(
        validation_alias="error",
        examples=[0.06],
        description=f"Null with fewer than {weeks.FEWEST_CALLED} answers.",
    )
    by_chance: float | None = Field(
        examples=[0.11],
        description="What a calibrated model would exceed in one week of twenty.",
    )


class MistakenFor(BaseModel):
    """What one version took the images of the class for."""

    model_config = ConfigDict(from_attributes=True)

    version: str = Field(examples=["v3"])
    stretch: Stretch = Field(
        examples=["since the fall"],
        description="Which of its days are counted; `reference`: the validation images of its "
        "bundle.",
    )
    first: date | None
    last: date | None
    n: int = Field(ge=0, examples=[20], description="Images of the class.")
    times: dict[str, int] = Field(examples=[{"Cat": 14}])
    shares: dict[str, float] = Field(examples=[{"Cat": 0.7}])

    @classmethod
    def of(cls, counted: Confusions) -> "MistakenFor":
        """Return counted confusions as they are shown."""
        return cls.model_validate(counted)


class NearestRight(BaseModel):
    """The image of the class answered right that looks most like a wrong one."""

    model_config = ConfigDict(from_attributes=True)

    image: int = Field(examples=[12])
    confidence: float = Field(examples=[0.97])
    distance: float = Field(examples=[0.41], description="Of the embeddings, from 0 to 2.")

    @classmethod
    def of(cls, neighbour: Neighbour) -> "NearestRight":
        """Return a neighbour as it is shown."""
        return cls.model_validate(neighbour)


class ShownWrongImage(BaseModel):
    """A labelled image that was mistaken."""

    image: int = Field(examples=[31], description="Its number in the pool.")
    day: date
    version: str
    predicted: str = Field(examples=["Cat"])
    confidence: float = Field(examples=[0.99])
    nearest_right: NearestRight | None = Field(
        description="Null where no traces were kept, or none was answered right."
    )


class OneClass(BaseModel):
    """One class of the version examined last, over some days."""

    label: str = Field(examples=["Spider"])
    state: Standing = Field(examples=["weak"], description="In one word; docs/detection.md.")
    version: str = Field(examples=["v3"], description="The version examined last.")
    first: date = Field(description="The first day looked at.")
    last: date = Field(description="The last.")
    days: list[DayWithEvidence] = Field(description="The examined ones, in order.")
    weeks: list[ShownWeek] = Field(
        description=f"The oldest first; of the last {weeks.LONGEST_DAYS} days at most."
    )
    mistaken_for: list[MistakenFor] = Field(
        description="The version examined last first, the reference last."
    )
    wrong_images: list[ShownWrongImage] = Field(description="The surest wrong answers first.")


@router.get("/classes/{label}", responses=responses(404, 422, 503))
@needs("read")
def get_health_of_class(
    label: LabelInPath,
    rooms: InRooms,
    *,
    start: From = None,
    end: To = None,
    images: Annotated[int, Query(ge=0, le=500, description="Wrong images shown, at most.")] = 24,
) -> OneClass:
    """Show one class: evidence day by day, weeks, what it is mistaken for, and on which images.

    Its drift is under /v1/drift?within=classes&label=..., its alerts under /v1/alerts?label=...
    """
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        exam = validations.last_done(connection)
        newest = registry.get(connection, exam.version) if exam else None
        if exam is None or newest is None or label not in newest.labels:
            raise NotFoundError("the version examined last knows no such class")
        first, last = examined_span(connection, start, end, now=rooms.clock.now())
        rows = class_days.matrix(connection, first, last, [label])
        (stands,) = standing.standings(connection, exam.version, [label], exam.day)
        wrong = validations.wrong_images(connection, label, first, last, limit=images)
        seen = [(each.version, each.image) for each in wrong]
        return OneClass(
            label=label,
            state=stands.standing,
            version=exam.version,
            first=first,
            last=last,
            days=_days(rows, class_state.series(connection, label, first, last)),
            weeks=[
                ShownWeek.model_validate(each)
                for each in weeks.of_class(connection, label, rows, first, last)
            ],
            mistaken_for=_mistaken_for(connection, newest, rows, (first, last), stands),
            wrong_images=_wrong(wrong, traces.nearest_right(connection, label, seen)),
        )


def _mistaken_for(
    connection: Connection,
    newest: Version,
    rows: Sequence[ClassDay],
    span: tuple[date, date],
    stands: ClassStanding,
) -> list[MistakenFor]:
    label = stands.label
    versions = dict.fromkeys([newest.version, *(row.version for row in reversed(rows))])
    epochs = {name: class_days.of_label(connection, name, label, *span) for name in versions}
    counted = confusions.of_class(epochs, *span, flag=stands.flag, newest=newest, label=label)
    return [MistakenFor.of(each) for each in counted]


def _days(rows: Sequence[ClassDay], states: Sequence[ClassState]) -> list[DayWithEvidence]:
    known = {(each.day, each.version): each for each in states}
    return [_day(row, known.get((row.day, row.version))) for row in rows]


def _day(row: ClassDay, state: ClassState | None) -> DayWithEvidence:
    return DayWithEvidence(
        **DayOfClass.of(row).model_dump(),
        reference=state.reference if state else None,
        evidence=state.evidence if state else None,
        threshold=state.threshold if state else None,
        alarm=state.alarm if state else None,
        days_without_labels=state.days_without_labels if state else None,
    )


def _wrong(images: Sequence[WrongImage], near: dict[int, Neighbour]) -> list[ShownWrongImage]:
    return [
        ShownWrongImage(
            image=each.image,
            day=each.day,
            version=each.version,
            predicted=each.predicted,
            confidence=each.confidence,
            nearest_right=NearestRight.of(near[each.image]) if each.image in near else None,
        )
        for each in images
    ]
