"""What the routes under /v2 take and answer, as OpenAPI shows it.

The names are the Open Inference Protocol's. Requests are read by `service.oip.oip_tensors`, which
is stricter than a schema can say.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGklEQVR42mOUW2DD"
    "QApgYiARjGoY1TB0NAAAL8sBGh5gIrAAAAAASUVORK5CYII="
)


class ServerLive(BaseModel):
    """The process answers."""

    live: Literal[True] = True


class ServerReady(BaseModel):
    """Whether predictions can be answered; /readyz says what stands in the way."""

    ready: bool


class ServerMetadata(BaseModel):
    """Who answers, and what it can do beyond the protocol's core."""

    name: str = Field(examples=["weakspot"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data", "classification"]])


class TensorMetadata(BaseModel):
    """Name, type and shape of a tensor; -1 stands for any number of pictures."""

    name: str = Field(examples=["image"])
    datatype: str = Field(examples=["UINT8"])
    shape: list[int] = Field(examples=[[-1, 224, 224, 3]])
    parameters: dict[str, Any] | None = None


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str = Field(examples=["classifier"])
    versions: list[str] = Field(examples=[["v3"]], description="The one that serves.")
    platform: str = Field(examples=["onnx"])
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """The model serves; otherwise the answer is a problem."""

    name: str = Field(examples=["classifier"])
    ready: Literal[True] = True


class OutputTensor(BaseModel):
    """One output: its values in `data`, or after the JSON in `binary_data_size` bytes."""

    name: str = Field(examples=["label"])
    datatype: Literal["FP32", "BYTES"] = Field(examples=["BYTES"])
    shape: list[int] = Field(examples=[[1]])
    data: list[float | str] | None = Field(None, examples=[["Dog"]])
    parameters: dict[str, int] | None = None


class InferenceAnswer(BaseModel):
    """What the model says of every picture of a request; each is a row of the prediction log."""

    id: str | None = Field(None, examples=["order-42"], description="The request's own.")
    model_name: str = Field(examples=["classifier"])
    model_version: str = Field(examples=["v3"])
    parameters: dict[str, str] = Field(
        examples=[{"logged": "stored"}],
        description="`logged` is `spooled` when Postgres is away and a row is on this disk only.",
    )
    outputs: list[OutputTensor]


_PARAMETERS = {"type": "object"}
_INPUT = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"const": "image"},
        "datatype": {"enum": ["UINT8", "BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
        "data": {
            "type": "array",
            "description": "Row by row, flat or nested: numbers from 0 to 255 of pictures as large "
            "as the model's input, or whole JPEG, PNG or WebP files in base64.",
        },
        "parameters": _PARAMETERS,
    },
}
_OUTPUT = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"enum": ["probabilities", "logits", "embedding", "label", "id"]},
        "parameters": _PARAMETERS,
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "maxLength": 256},
        "parameters": _PARAMETERS,
        "inputs": {"type": "array", "items": _INPUT, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": _OUTPUT, "maxItems": 5},
    },
}
_EXAMPLE = {
    "id": "order-42",
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [_PICTURE]}],
    "outputs": [{"name": "label"}, {"name": "probabilities"}, {"name": "id"}],
}

# The body of an inference request. That bytes may follow the JSON no schema can say; the routes'
# own words do.
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}},
}
