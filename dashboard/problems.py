"""Every refusal that is no page: one shape, RFC 9457, as the service has it.

Of Postgres and the disk no more is said than that they are away.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import jsonify, request

from core.errors import (
    AuthenticationError,
    BundleError,
    ConflictError,
    ForbiddenError,
    InvalidImageError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    StoreError,
    UnsupportedImageError,
    UsageError,
    WeakspotError,
)

if TYPE_CHECKING:
    from flask import Flask, Response

_log = logging.getLogger(__name__)

# The first class that fits counts, so the more precise stand above their parents.
_STATUS: tuple[tuple[type[WeakspotError], int], ...] = (
    (UsageError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnsupportedImageError, 415),
    (InvalidImageError, 422),
    (AuthenticationError, 401),
    (ForbiddenError, 403),
    (RateLimitedError, 429),
    (OverloadedError, 503),
    (BundleError, 503),
    (StoreError, 503),
)
_IN_OTHER_WORDS = {
    500: "this is a fault of the dashboard; its log says more",
    503: "the database does not answer; try again",
}


def answer(status: int, detail: str) -> Response:
    """Return a refusal that says why."""
    phrase = HTTPStatus(status).phrase
    said = {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
    response = jsonify(said)
    response.status_code = status
    response.mimetype = "application/problem+json"
    return response


def install(server: Flask) -> None:
    """Let every error of ours that a route of `server` raises become such an answer."""

    @server.errorhandler(WeakspotError)
    def refuse(error: WeakspotError) -> Response:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        _log.info("%s %s was refused: %s", request.method, request.path, error)
        words = str(error)
        if status == 500 or isinstance(error, StoreError):
            words = _IN_OTHER_WORDS[status]
        response = answer(status, words)
        if isinstance(error, (RateLimitedError, OverloadedError)):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    @server.errorhandler(413)
    def too_large(_error: Exception) -> Response:
        return answer(413, "this is larger than what is taken here; send less")
