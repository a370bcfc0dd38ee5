"""`GET /v1/alerts`, over a real port."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.store import alerts, keys, outbox
from core.store.database import transaction
from core.store.keys import Grant
from core.store.outbox import NewDelivery
from tests.integration.test_alerts import NOW, open_alert
from tests.serving import serving


@pytest.fixture
def client(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service without a model, which alerts do not need."""
    with serving(engine, tmp_path) as client:
        yield client


class TestList:
    """The list."""

    def test_is_paged_newest_first(self, engine: Engine, client: httpx.Client):
        """Each alert on exactly one page."""
        with transaction(engine) as connection:
            raised = [open_alert(connection, f"Class {i}").id for i in range(5)]
        seen, cursor = [], None
        while True:
            page = client.get(
                "/v1/alerts", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
            )
            seen += [each["id"] for each in page.json()["alerts"]]
            cursor = page.json()["next"]
            if cursor is None:
                break

        assert seen == raised[::-1]

    def test_is_narrowed_by_state_and_class(self, engine: Engine, client: httpx.Client):
        """Hostile names are names."""
        hostile = "x'; DROP TABLE alerts; --"
        with transaction(engine) as connection:
            open_alert(connection, "Cat")
            alert = open_alert(connection, hostile)
            alerts.move(connection, alert.id, "acknowledge", by="ann", now=NOW)
        found = client.get("/v1/alerts", params={"state": "acknowledged", "label": hostile})
        nothing = client.get("/v1/alerts", params={"state": "snoozed"})

        assert [each["label"] for each in found.json()["alerts"]] == [hostile]
        assert nothing.json()["alerts"] == []

    def test_counts_messages_that_have_not_arrived(self, engine: Engine, client: httpx.Client):
        """Dead letters are seen by those who look here, too."""
        with transaction(engine) as connection:
            for key in ("a", "b"):
                outbox.put(connection, NewDelivery("ops", key, {"title": key}, NOW, NOW))
            (taken,) = outbox.claim(connection, now=NOW, lease_s=60, most=8)
            outbox.mark_failed(connection, taken, error="HTTP 500", again_at=None)

        assert client.get("/v1/alerts").json()["undelivered"] == {"waiting": 1, "dead": 1}

    @pytest.mark.parametrize(
        "question",
        [
            "state=asleep",
            "limit=0",
            "limit=501",
            "cursor=x",
            "cursor=AAAA",
            "cursor=//////////8=",
            "label=%00",
            "cursor=AAAAAAAAAAA=",
        ],
    )
    def test_refuses_what_it_does_not_know(self, client: httpx.Client, question: str):
        """I16: 422, and never a 500."""
        answer = client.get(f"/v1/alerts?{question}")

        assert (answer.status_code, answer.json()["status"]) == (422, 422)


class TestOne:
    """One alert."""

    def test_is_shown_with_its_state(self, engine: Engine, client: httpx.Client):
        """As it stands now."""
        with transaction(engine) as connection:
            alert = open_alert(connection)
            until = NOW + timedelta(hours=8)
            alerts.move(connection, alert.id, "snooze", by="ann", now=NOW, until=until)
        shown = client.get(f"/v1/alerts/{alert.id}").json()

        assert (shown["state"], shown["label"], shown["evidence"]) == ("snoozed", "Cat", 400.0)
        assert datetime.fromisoformat(shown["snoozed_until"]) == until

    def test_about_no_class_is_shown_too(self, engine: Engine, client: httpx.Client):
        """The monitor may speak of itself."""
        with transaction(engine) as connection:
            now = datetime(2026, 3, 10, tzinfo=UTC)
            raised = alerts.raise_notice(connection, "monitor", "x", title="t", body="b", now=now)
        assert raised is not None
        shown = client.get(f"/v1/alerts/{raised.id}").json()

        assert (shown["kind"], shown["label"], shown["title"]) == ("monitor", None, "t")

    @pytest.mark.parametrize(("id_", "status"), [(99, 404), (0, 422), (2**63, 422), ("x", 422)])
    def test_that_is_not_there_is_a_problem(self, client: httpx.Client, id_: object, status: int):
        """I16."""
        assert client.get(f"/v1/alerts/{id_}").status_code == status


class TestKeys:
    """S01: who may read."""

    def test_needs_the_scope_read(self, engine: Engine, tmp_path: Path):
        """A camera that predicts does not read what people were told."""
        now = datetime.now(UTC)
        with transaction(engine) as connection:
            texts = [
                keys.create(connection, name, Grant([name]), by="test", now=now)[1]
                for name in ("predict", "read")
            ]
        with serving(engine, tmp_path, require_keys=True) as client:
            codes = [
                client.get("/v1/alerts", headers={"Authorization": f"Bearer {text}"}).status_code
                for text in (*texts, "none")
            ]

        assert codes == [403, 200, 401]
