"""`/v1/studies`: the searches for better options, their trials, and what mattered."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from core.errors import NotFoundError
from core.store import study_lines, trial_lines
from core.store.database import transaction
from core.store.study_lines import StudyLine
from core.store.trial_lines import TrialLine
from core.store.trials import State
from service import cursors
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms

router = APIRouter(prefix="/v1/studies", tags=["studies"])

# Postgres cannot hold NUL in text; a search may be called anything else, also with slashes.
StudyName = Annotated[
    str, Path(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["rates"])
]


class ShownBest(BaseModel):
    """The complete trial of the highest accuracy, the first of equals."""

    model_config = ConfigDict(from_attributes=True)

    number: int = Field(ge=0, examples=[4])
    accuracy: float = Field(examples=[0.93])


class ListedStudy(BaseModel):
    """A search, in short."""

    name: str = Field(examples=["rates"])
    trials: int = Field(ge=0, examples=[12], description="How many it has.")
    states: dict[State, int] = Field(
        examples=[{"COMPLETE": 8, "PRUNED": 2, "FAIL": 1, "RUNNING": 1}],
        description="How many of them are in each state.",
    )
    best: ShownBest | None = Field(
        description="Null before one is complete. Flattered: it was chosen by the validation "
        "images that it is measured on."
    )


class StudyList(BaseModel):
    """A page of searches, the newest first."""

    studies: list[ListedStudy]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class ShownTrial(BaseModel):
    """One trial of a search."""

    number: int = Field(ge=0, examples=[4], description="Counted from 0.")
    state: State = Field(examples=["COMPLETE"])
    accuracy: float | None = Field(
        examples=[0.93], description="Of a complete trial, on the validation images."
    )
    passes: int = Field(ge=0, examples=[4], description="Passes made so far.")
    last_pass: float | None = Field(examples=[0.93], description="Accuracy after the last of them.")
    seconds: float | None = Field(examples=[48.0], description="Null while it runs.")
    silent: bool = Field(
        description="Whether it is under way, and its process has not been heard of for "
        f"{trial_lines.SILENT_AFTER_S} seconds."
    )
    error: str = Field(description="Why it failed; empty when it did not.")
    options: dict[str, Any] = Field(
        examples=[{"learning_rate": 0.01, "augment": "light"}],
        description="What it was run with, of what is searched.",
    )

    @classmethod
    def of(cls, trial: TrialLine) -> "ShownTrial":
        """Return a trial as it is shown."""
        return cls(
            number=trial.number,
            state=trial.state,
            accuracy=trial.accuracy if trial.state == "COMPLETE" else None,
            passes=trial.passes,
            last_pass=trial.last,
            seconds=trial.seconds,
            silent=trial.silent,
            error=trial.error,
            options=trial.options,
        )


class OneStudy(BaseModel):
    """A search, what mattered in it, and a page of its trials."""

    study: ListedStudy
    epochs: int | None = Field(
        examples=[10], description="Most passes of a trial; null where the search does not say."
    )
    space: dict[str, Any] = Field(
        examples=[{"augment": ["none", "light"], "learning_rate": {"low": 1e-4, "high": 0.1}}],
        description="What each option may be: a list of choices, or bounds.",
    )
    importance: dict[str, float] = Field(
        examples=[{"learning_rate": 0.8, "augment": 0.2}],
        description="Share of the differences in accuracy that each option explains (PED-ANOVA), "
        "as of when a process of the search last ended; empty where that could not be told.",
    )
    trials: list[ShownTrial] = Field(description="In order.")
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


@router.get("", responses=responses(422, 503))
@needs("read")
def list_studies(
    rooms: InRooms,
    *,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> StudyList:
    """List the searches, the newest first; follow `next` until it is null."""
    before = cursors.read_number(cursor) if cursor is not None else None
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        # One more than asked for says whether there is another page.
        found = study_lines.page(connection, limit + 1, before=before)
    page = found[:limit]
    return StudyList(
        studies=[_listed(each) for each in page],
        next=cursors.write_number(page[-1].id) if len(found) > limit else None,
    )


@router.get("/{name:path}", responses=responses(404, 422, 503))
@needs("read")
def get_study(
    name: StudyName,
    rooms: InRooms,
    *,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=2500)] = 500,
) -> OneStudy:
    """Show one search and its trials in order; follow `next` until it is null."""
    start = cursors.read_number(cursor) if cursor is not None else 0
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        line = study_lines.get(connection, name)
        found = trial_lines.page(connection, name, start=start, most=limit + 1) if line else None
    if line is None or found is None:
        raise NotFoundError("there is no search of that name")
    page = found.trials[:limit]
    return OneStudy(
        study=_listed(line),
        epochs=found.epochs,
        space=found.space,
        importance=found.importance,
        trials=[ShownTrial.of(each) for each in page],
        # The first page begins at 0, which no cursor names.
        next=cursors.write_number(page[-1].number + 1) if len(found.trials) > limit else None,
    )


def _listed(line: StudyLine) -> ListedStudy:
    return ListedStudy.model_validate(
        {
            "name": line.name,
            "trials": line.n_trials,
            "states": line.states,
            "best": ShownBest.model_validate(line.best) if line.best else None,
        }
    )
