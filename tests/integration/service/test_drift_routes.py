"""`GET /v1/drift`, over a real port: what the drift page shows, row by row."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from core.store import drift
from core.store.database import transaction
from tests import two_days
from tests.board import HOSTILE
from tests.pool import day, night_after
from tests.serving import get, serving
from tests.told import Told, same

LABELS = ["Cat", "Cow", HOSTILE]
NAMES = {name: name for name in (
    "day", "version", "column", "verdict", "effect", "effect_floor", "adjusted_p", "p_value",
    "method", "reference_n",
)} | {"n": "predictions", "label": "class"}  # fmt: skip


@pytest.fixture(scope="module")
def told(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Two days of traffic, the second darker."""
    home = tmp_path_factory.mktemp("drift")
    two_days.tell(module_engine, home, LABELS)
    return Told(module_engine, home, night_after(2))


@pytest.fixture(scope="module")
def client(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service over the same rows; it needs no model for this."""
    with serving(told.engine, tmp_path_factory.mktemp("service"), clock=told.now) as client:
        yield client


def pages(client: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    """Return the checks of all pages."""
    found, cursor = [], None
    while True:
        page = get(client, "/v1/drift", **asked | ({"cursor": cursor} if cursor else {}))
        found += page["checks"]
        cursor = page["next"]
        if cursor is None:
            return found


class TestDrift:
    """The checks by day."""

    def test_over_everything_are_those_of_the_file(self, told: Told, client: httpx.Client):
        """Page by page, none twice."""
        same(pages(client, limit=4), told.rows("/drift/drift.csv"), NAMES)

    def test_within_classes_are_those_of_the_file(self, told: Told, client: httpx.Client):
        """Whatever a class is called."""
        found = pages(client, within="classes", limit=5, **{"from": day(2), "to": day(2)})
        rows = told.rows(f"/drift/classes.csv?day={day(2)}")

        same(found, rows, NAMES)
        assert {each["label"] for each in found} == set(LABELS)

    def test_are_narrowed_to_a_class_a_column_and_a_verdict(self, told: Told, client: httpx.Client):
        """Each by itself."""
        with transaction(told.engine) as connection:
            own = drift.of_class(connection, day(2), "v1", HOSTILE)
        of_class = get(client, "/v1/drift", within="classes", label=HOSTILE, **{"from": day(2)})
        of_column = get(client, "/v1/drift", column="brightness", verdict="drift")["checks"]

        assert [each["column"] for each in of_class["checks"]] == [each.column for each in own]
        assert [each["day"] for each in of_column] == [f"{day(2)}"]
        assert get(client, "/v1/drift", version="v9")["checks"] == []

    def test_a_class_needs_checks_within_classes(self, client: httpx.Client):
        """A filter that finds nothing would look like no drift."""
        assert client.get("/v1/drift", params={"label": "Cat"}).status_code == 422
