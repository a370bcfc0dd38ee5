"""Every error that leaves the service: one shape, RFC 9457, whoever raised it.

`core.errors` says what went wrong; this says what that is in HTTP. Nothing of a request is
repeated in an answer, and of Postgres and the disk no more is said than that they are away.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from core.errors import (
    AuthenticationError,
    BundleError,
    ConflictError,
    ForbiddenError,
    InvalidImageError,
    KeyReusedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RefusedRowError,
    StoreError,
    UnsupportedImageError,
    UsageError,
    WeakspotError,
)
from service import tracing

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)

# The first class that fits counts, so the more precise stand above their parents.
_OF_ERROR: tuple[tuple[type[WeakspotError], int, str], ...] = (
    (KeyReusedError, 422, "idempotency_key_reused"),
    (UsageError, 422, "unusable_request"),
    (NotFoundError, 404, "not_found"),
    (ConflictError, 409, "conflict"),
    (UnsupportedImageError, 415, "unsupported_image"),
    (InvalidImageError, 422, "invalid_image"),
    (AuthenticationError, 401, "no_valid_key"),
    (ForbiddenError, 403, "forbidden"),
    (RateLimitedError, 429, "too_many_requests"),
    (OverloadedError, 503, "overloaded"),
    (BundleError, 503, "no_model"),
    (RefusedRowError, 500, "internal_error"),
    (StoreError, 503, "log_away"),
    (WeakspotError, 500, "internal_error"),
)

_OF_STATUS = {
    400: "malformed_request",
    401: "no_valid_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_image",
    422: "unusable_request",
    429: "too_many_requests",
    431: "head_too_large",
    500: "internal_error",
    503: "overloaded",
}

# What is said instead of an error's own words, which may name hosts, users or paths.
_IN_OTHER_WORDS = {
    "log_away": "the prediction log cannot be reached, so nothing can be answered; try again",
    "internal_error": "the service made a mistake; its log has the details under this request id",
}

# What the framework says with the status' own name alone.
_IN_A_SENTENCE = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not take this method; the Allow header names those it takes",
    413: "the request is larger than this route accepts; send less",
}

# One of each, for OpenAPI: status, code, detail.
_EXAMPLES: dict[int, dict[str, str]] = {
    400: {"malformed_request": "the form is malformed: Missing boundary in multipart."},
    401: {"no_valid_key": "send an API key: Authorization: Bearer KEY"},
    403: {"forbidden": "the key lacks the scope label"},
    404: {"not_found": "there is no such prediction"},
    405: {"method_not_allowed": _IN_A_SENTENCE[405]},
    408: {"too_slow": "the body came too slowly; send it faster or smaller"},
    409: {"conflict": "somebody else was faster; look again and retry"},
    413: {"too_large": _IN_A_SENTENCE[413]},
    415: {
        "unsupported_image": "6 bytes that are no JPEG, PNG or WebP; convert the image to one "
        "of these"
    },
    422: {
        "invalid_image": "the image/jpeg is truncated after 1000 bytes; send the whole file",
        "unusable_request": "query.top_k: Input should be greater than or equal to 1",
    },
    429: {"too_many_requests": "the key has used its 600 requests of this minute; wait"},
    431: {"head_too_large": "address and headers have more than the 32768 bytes accepted"},
    500: {"internal_error": _IN_OTHER_WORDS["internal_error"]},
    503: {
        "overloaded": "256 images are waiting already; try again",
        "no_model": "no version has been promoted yet",
        "log_away": _IN_OTHER_WORDS["log_away"],
    },
}

RETRY_AFTER_S = 1


class InvalidField(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(examples=["query.top_k"])
    reason: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(examples=["urn:weakspot:problem:invalid_image"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the image/jpeg is truncated after 1000 bytes"])
    code: str = Field(examples=["invalid_image"])
    request_id: str = Field(examples=["5f0c8e1d2b7a4c3f9e6d1a2b3c4d5e6f"])
    errors: list[InvalidField] | None = None
    error: str | None = Field(
        default=None,
        description="Under /v2 the detail again, where that protocol's clients look for it.",
    )


def describe(error: Exception, request_id: str) -> Problem:
    """Return the problem that an error is to the outside, and log what the outside is not told."""
    if isinstance(error, HTTPException):
        bare = str(error.detail).lower() in {_title(error.status_code).lower(), "content too large"}
        detail = _IN_A_SENTENCE.get(error.status_code) if bare else None
        return build(error.status_code, detail or str(error.detail), request_id)
    status, code = _classify(error)
    if code in _IN_OTHER_WORDS:
        _log.error(
            "%s",
            error,
            extra={"request_id": request_id, **tracing.log_fields()},
            exc_info=_trace(error),
        )
    return build(status, _IN_OTHER_WORDS.get(code, str(error)), request_id, code=code)


def build(status: int, detail: str, request_id: str, *, code: str | None = None) -> Problem:
    """Return a problem in the one shape."""
    code = code or _OF_STATUS.get(status, "http_error")
    return Problem(
        type=f"urn:weakspot:problem:{code}",
        title=_title(status),
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
    )


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP answer for a problem; a 503 says when to try again."""
    known = dict(headers or {})
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        known.setdefault("Retry-After", str(RETRY_AFTER_S))
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, known, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the problems a route may answer with, each with an example."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _title(status),
            "content": {MEDIA_TYPE: {"schema": schema, "examples": _examples(status)}},
        }
        for status in statuses
    }


def _examples(status: int) -> dict[str, Any]:
    request_id = "5f0c8e1d2b7a4c3f9e6d1a2b3c4d5e6f"
    return {
        code: {"value": build(status, detail, request_id, code=code).model_dump(exclude_none=True)}
        for code, detail in _EXAMPLES[status].items()
    }


def too_large(request_id: str, path: str) -> Response:
    """Return the answer to a body beyond its route's limit."""
    return respond(_fit(build(413, _IN_A_SENTENCE[413], request_id), path))


def refuse(
    error: Exception, request_id: str, path: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer to a request that was refused outside the application."""
    return respond(_fit(describe(error, request_id), path), headers)


def install(app: FastAPI) -> None:
    """Make every error of an application leave as a problem."""
    app.add_exception_handler(WeakspotError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_error)


def request_id_of(request: Request) -> str:
    """Return the id that `service.telemetry` gave the request."""
    return str(getattr(request.state, "request_id", ""))


def _on_error(request: Request, error: Exception) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError | RateLimitedError):
        headers["Retry-After"] = str(error.retry_after_s)
    return respond(_fit(describe(error, request_id_of(request)), request.url.path), headers)


def _on_http_exception(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    return respond(_fit(describe(error, request_id_of(request)), request.url.path), headers)


def _on_disconnect(request: Request, _: Exception) -> Response:
    """Answer nobody: whoever was sending hung up. The answer is only counted."""
    return respond(build(400, "the request ended early", request_id_of(request)))


def _on_invalid_request(request: Request, error: Exception) -> Response:
    """Say which fields are wrong and why; FastAPI's own answer would repeat their content."""
    found: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    malformed = any(each["type"] == "json_invalid" for each in found)
    fields = [InvalidField(where=_where(each), reason=str(each["msg"])) for each in found]
    detail = "; ".join(f"{field.where}: {field.reason}" for field in fields)
    problem = build(400 if malformed else 422, detail, request_id_of(request))
    return respond(_fit(problem.model_copy(update={"errors": fields}), request.url.path))


def _where(found: Mapping[str, Any]) -> str:
    # A field that should not be there has a name that only the caller knows.
    parts = found["loc"][:-1] if found["type"] == "extra_forbidden" else found["loc"]
    return ".".join(str(part) for part in parts)


def _fit(problem: Problem, path: str) -> Problem:
    """Return a problem as the clients of an address read it."""
    if path != "/v2" and not path.startswith("/v2/"):
        return problem
    return problem.model_copy(update={"error": problem.detail})


def _classify(error: Exception) -> tuple[int, str]:
    for kind, status, code in _OF_ERROR:
        if isinstance(error, kind):
            return status, code
    return 500, "internal_error"


def _trace(error: Exception) -> Exception | None:
    # A database that is away is no mistake of ours: the sentence is enough.
    return None if isinstance(error, StoreError) else error


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
