"""Errors as they leave the service."""

import json

import pytest
from starlette.exceptions import HTTPException

from core.errors import (
    BundleError,
    ConflictError,
    InvalidImageError,
    NotFoundError,
    OverloadedError,
    ParityError,
    SchemaError,
    StatisticsError,
    StoreError,
    UnsupportedImageError,
    UsageError,
)
from service import problems


class TestDescribe:
    """From an error to its problem."""

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (UsageError("so"), 422, "unusable_request"),
            (NotFoundError("so"), 404, "not_found"),
            (ConflictError("so"), 409, "conflict"),
            (InvalidImageError("so"), 422, "invalid_image"),
            (UnsupportedImageError("so"), 415, "unsupported_image"),
            (OverloadedError("so"), 503, "overloaded"),
            (BundleError("so"), 503, "no_model"),
            (ParityError(1, 0), 503, "no_model"),
            (StoreError("so"), 503, "log_away"),
            (SchemaError("so"), 503, "log_away"),
            (StatisticsError("so"), 500, "internal_error"),
            (ZeroDivisionError("so"), 500, "internal_error"),
            (HTTPException(418), 418, "http_error"),
        ],
    )
    def test_knows_every_class_of_error(self, error: Exception, status: int, code: str):
        """`core.errors` draws the tree and says what each becomes outside."""
        problem = problems.describe(error, "r1")

        assert (problem.status, problem.code) == (status, code)
        assert (problem.request_id, problem.type) == ("r1", f"urn:weakspot:problem:{code}")

    @pytest.mark.parametrize("kind", [StoreError, ValueError])
    def test_keeps_hosts_and_paths_to_the_log(self, kind: type[Exception], caplog):
        """S13: what Postgres or Python say may name hosts, users and folders."""
        problem = problems.describe(kind("host db.internal, user admin"), "r1")

        assert "db.internal" not in problem.detail
        assert "db.internal" in caplog.text

    def test_says_what_to_do_at_an_unknown_address(self):
        """The framework's own "Not Found" helps nobody."""
        assert "/docs" in problems.describe(HTTPException(404), "r1").detail


class TestRespond:
    """From a problem to its answer."""

    def test_is_problem_json(self):
        """RFC 9457 names the media type and the members."""
        answer = problems.respond(problems.build(404, "so", "r1"))

        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(bytes(answer.body)) == {
            "type": "urn:weakspot:problem:not_found",
            "title": "Not Found",
            "status": 404,
            "detail": "so",
            "code": "not_found",
            "request_id": "r1",
        }

    def test_says_when_to_try_again(self):
        """A client that backs off needs to know for how long."""
        assert problems.respond(problems.build(503, "so", "r1")).headers["retry-after"] == "1"
