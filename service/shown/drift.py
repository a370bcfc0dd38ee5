"""`/v1/drift`: what the monitor compared with the reference on each day, and how it came out."""

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from core.errors import UsageError
from core.store import drift
from core.store.database import transaction
from core.store.drift import Asked, DriftCheck, Verdict
from service import cursors
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms, Name
from service.shown.class_days import LONGEST_CURSOR
from service.shown.spans import From, To, examined_span

router = APIRouter(prefix="/v1/drift", tags=["drift"])


class ShownCheck(BaseModel):
    """One column of one day, held against the reference."""

    model_config = ConfigDict(from_attributes=True)

    day: date = Field(examples=["2026-03-08"])
    version: str = Field(examples=["v3"])
    label: str | None = Field(
        examples=["Spider"], description="The predicted class; null for all predictions."
    )
    column: str = Field(examples=["sharpness"])
    verdict: Verdict = Field(examples=["drift"])
    effect: float | None = Field(examples=[0.31], description="Null without enough data.")
    effect_floor: float = Field(examples=[0.1], description="A smaller effect does not matter.")
    adjusted_p: float | None = Field(
        examples=[0.0002], description="Corrected over the day's columns; null as the effect is."
    )
    p_value: float | None = Field(examples=[0.00004])
    level: float = Field(examples=[0.05], description="Drift takes `adjusted_p` of at most this.")
    statistic: float | None = Field(examples=[0.22])
    method: str = Field(examples=["Kolmogorov-Smirnov"])
    n: int = Field(ge=0, examples=[1840], description="Predictions compared.")
    reference_n: int = Field(ge=0, examples=[2000], description="Rows they were compared with.")
    reference: str = Field(examples=["profile"], description="`profile`, or the days meant.")
    window_start: datetime | None
    window_end: datetime | None
    detail: str = Field(description="What else should be known; empty for nothing.")

    @classmethod
    def of(cls, check: DriftCheck) -> "ShownCheck":
        """Return a stored check as it is shown."""
        return cls.model_validate(check)


class CheckList(BaseModel):
    """A page of checks, in the order of days, versions, classes and columns."""

    first: date = Field(examples=["2026-02-07"], description="The first day looked at.")
    last: date = Field(examples=["2026-03-08"], description="The last.")
    checks: list[ShownCheck]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


Within = Annotated[
    Literal["everything", "classes"],
    Query(
        description="`everything`: checks over all predictions of a day; `classes`: those among "
        "the predictions of each class."
    ),
]


@router.get("", responses=responses(422, 503))
@needs("read")
def list_drift_checks(  # noqa: PLR0913 - the fields of a query
    rooms: InRooms,
    *,
    start: From = None,
    end: To = None,
    within: Within = "everything",
    version: Name = None,
    label: Name = None,
    column: Name = None,
    verdict: Verdict | None = None,
    cursor: Annotated[str | None, Query(max_length=LONGEST_CURSOR)] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> CheckList:
    """List the checks of some days; follow `next` until it is null.

    `label` narrows those within classes to one class. With `cursor`, name the same things as
    before.
    """
    if label is not None and within != "classes":
        raise UsageError("label narrows within=classes; checks over everything have no class")
    after = None
    if cursor is not None:
        day, *place = cursors.read_words(cursor, 4)
        after = (cursors.read_day(day), place[0], place[1], place[2])
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        first, last = examined_span(connection, start, end, now=rooms.clock.now())
        asked = Asked(first, last, within == "classes", version, label, column, verdict)
        # One more than asked for says whether there is another page.
        found = drift.page(connection, asked, after=after, most=limit + 1)
    page = found[:limit]
    return CheckList(
        first=first,
        last=last,
        checks=[ShownCheck.of(each) for each in page],
        next=_cursor(page[-1]) if len(found) > limit else None,
    )


def _cursor(check: DriftCheck) -> str:
    return cursors.write_words(
        check.day.isoformat(), check.version, check.label or "", check.column
    )
