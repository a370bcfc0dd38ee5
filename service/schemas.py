"""What goes over the wire: the bodies of requests and answers, as OpenAPI shows them."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from core.store.predictions import Prediction
from core.store.registry import Version
from service.problems import Problem

_ID = "019aa7d4-5e2b-7c31-9f2e-3b1d6c0a4e11"

LARGEST_NUMBER: Final = 2**63 - 1  # that Postgres gives to a row
# Of an alert or a job, in an address.
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, examples=[7])]

_LIKE_A_NUMBER = re.compile(r"[0-9.eE_+\s-]*")


def _as_moment(value: object) -> object:
    # A number would be taken for seconds since 1970.
    if isinstance(value, str) and _LIKE_A_NUMBER.fullmatch(value):
        raise ValueError("a moment is written as 2026-11-01T00:00:00Z")
    return value


# With its zone, as callers write it in an address.
MomentInQuery = Annotated[AwareDatetime, BeforeValidator(_as_moment)]


class ModelName(BaseModel):
    """Which model answered."""

    name: str = Field(examples=["classifier"])
    version: str = Field(examples=["v3"])


class Candidate(BaseModel):
    """A label and how probable it is."""

    label: str = Field(examples=["Dog"])
    probability: float = Field(ge=0, le=1, examples=[0.973])


class Answer(BaseModel):
    """What the model says of one image."""

    id: UUID = Field(examples=[_ID], description="The prediction, under /v1/predictions/{id}.")
    model: ModelName
    label: str = Field(examples=["Dog"])
    confidence: float = Field(ge=0, le=1, examples=[0.973])
    top: list[Candidate] = Field(description="The likeliest labels, best first.")
    logged: Literal["stored", "spooled"] = Field(
        description="`stored`: committed in Postgres before this answer left; `spooled`: Postgres "
        "is away, and the prediction is safe on this service's disk until it is back."
    )


class Refusal(BaseModel):
    """Why one image of a batch has no answer."""

    problem: Problem


class BatchAnswer(BaseModel):
    """One answer or one problem for each image, in the order they were sent."""

    results: list[Answer | Refusal]


class LoggedPrediction(BaseModel):
    """One entry of the prediction log."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    at: datetime
    version: str
    label: str
    confidence: float
    top: list[Candidate]
    margin: float = Field(description="Probability of the first label less that of the second.")
    entropy: float = Field(description="Of all probabilities, in nats.")
    descriptors: dict[str, float] = Field(description="What the picture looks like.")
    latency_ms: float
    image_sha256: str
    true_label: str | None
    labelled_at: datetime | None
    labelled_by: str | None
    request_id: str | None

    @classmethod
    def of(cls, prediction: Prediction) -> "LoggedPrediction":
        """Return a stored prediction as it is shown."""
        return cls.model_validate(prediction)


class PredictionList(BaseModel):
    """A page of the prediction log, the newest first."""

    predictions: list[LoggedPrediction]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class TrueLabel(BaseModel):
    """What the picture of a prediction really shows."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(min_length=1, max_length=200, examples=["Dog"])


class EngineFound(BaseModel):
    """What was found of one engine when the version was loaded."""

    model_config = ConfigDict(from_attributes=True)

    engine: str = Field(examples=["openvino-bf16"])
    images_per_s: float | None = Field(description="With every core at work; null: it did not run.")
    deviation: float | None = Field(
        description="Largest difference of a logit from onnxruntime in float32, on real images."
    )
    agreement: float | None = Field(description="Share of those images with the same first label.")
    passed_over: str | None = Field(
        description="Why it does not serve; null for the one that does."
    )


class ServingModel(BaseModel):
    """The version that answers."""

    name: str
    version: str
    labels: list[str]
    recipe: dict[str, Any] = Field(description="How a picture becomes the model's input.")
    architecture: str
    device: str = Field(description="Where it really runs.")
    engine: str = Field(description="What computes it: the fastest of `engines` that agrees.")
    engines: list[EngineFound]
    metrics: dict[str, Any]
    created_at: datetime
    loaded_at: datetime


class RegisteredVersion(BaseModel):
    """A version that could serve."""

    model_config = ConfigDict(from_attributes=True)

    version: str
    number: int
    name: str
    parent: str | None
    labels: list[str]
    metrics: dict[str, Any]
    created_at: datetime
    champion: bool = False

    @classmethod
    def of(cls, version: Version, champion: str | None) -> "RegisteredVersion":
        """Return a registered version as it is shown."""
        shown = cls.model_validate(version)
        return shown.model_copy(update={"champion": version.version == champion})


class VersionList(BaseModel):
    """Every registered version, the newest first."""

    models: list[RegisteredVersion]


class Check(BaseModel):
    """One thing that readiness depends on."""

    ok: bool
    detail: str | None = Field(default=None, description="Told to callers with a key alone.")


class Readiness(BaseModel):
    """Whether predictions can be answered, and if not, why."""

    ready: bool
    checks: dict[str, Check]

    def in_short(self) -> "Readiness":
        """Return the same without what only the service's own people should read."""
        short = {name: Check(ok=check.ok) for name, check in self.checks.items()}
        return Readiness(ready=self.ready, checks=short)


class Liveness(BaseModel):
    """The process answers."""

    alive: Literal[True] = True
