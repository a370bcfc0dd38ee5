"""`GET /v1/alerts`, over a real port."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.store import alert_rules, alerts, audit, keys, notices, outbox
from core.store.alert_policy import parse
from core.store.database import transaction
from core.store.keys import Grant
from core.store.outbox import NewDelivery
from tests.faults import eventually
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
        assert shown["certainty"] == pytest.approx(400 / (365.25 + 400))
        assert datetime.fromisoformat(shown["snoozed_until"]) == until

    def test_about_no_class_is_shown_too(self, engine: Engine, client: httpx.Client):
        """The monitor may speak of itself."""
        with transaction(engine) as connection:
            now = datetime(2026, 3, 10, tzinfo=UTC)
            raised = notices.raise_once(connection, "monitor", "x", title="t", body="b", now=now)
        assert raised is not None
        shown = client.get(f"/v1/alerts/{raised.id}").json()

        assert (shown["kind"], shown["label"], shown["title"]) == ("monitor", None, "t")
        assert shown["certainty"] is None

    @pytest.mark.parametrize(("id_", "status"), [(99, 404), (0, 422), (2**63, 422), ("x", 422)])
    def test_that_is_not_there_is_a_problem(self, client: httpx.Client, id_: object, status: int):
        """I16."""
        assert client.get(f"/v1/alerts/{id_}").status_code == status


class TestDeeds:
    """What is done about an alert."""

    def _post(self, client: httpx.Client, alert: int, deed: str, **sent: object) -> httpx.Response:
        return client.post(f"/v1/alerts/{alert}/{deed}", **({"json": sent} if sent else {}))

    def test_are_done_and_in_the_audit_trail(self, engine: Engine, client: httpx.Client):
        """With who did it; where no key is needed, that it came this way."""
        with transaction(engine) as connection:
            number = open_alert(connection).id
        answers = [
            self._post(client, number, "ack"),
            self._post(client, number, "snooze", hours=8),
            self._post(client, number, "resolve"),
        ]
        with transaction(engine) as connection:
            deeds = [(deed.by, deed.action) for deed in audit.latest(connection, 3)[::-1]]

        assert [each.json()["state"] for each in answers] == ["acknowledged", "snoozed", "resolved"]
        assert answers[1].json()["snoozed_until"] is not None
        assert deeds == [("http", f"{deed} alert") for deed in ("acknowledge", "snooze", "resolve")]

    def test_that_is_resolved_is_told_to_those_who_were_told(
        self, engine: Engine, client: httpx.Client
    ):
        """As by `weakspot alerts resolve`: through the outbox, in the same transaction."""
        with transaction(engine) as connection:
            hook = {"name": "ops", "url": "https://h.example/", "secret": "0123456789abcdef"}
            alert_rules.write(connection, parse({"channels": [hook]}), by="test", now=NOW)
            number = open_alert(connection).id
        self._post(client, number, "resolve")

        with transaction(engine) as connection:
            (told,) = outbox.latest(connection)
        assert (told.message["title"], told.alerts) == ("Resolved: Cat", [number])

    @pytest.mark.parametrize("deed", ["ack", "snooze", "resolve"])
    def test_that_lead_nowhere_are_a_conflict(
        self, engine: Engine, client: httpx.Client, deed: str
    ):
        """In words, with what is possible."""
        with transaction(engine) as connection:
            alert = open_alert(connection)
            alerts.move(connection, alert.id, "resolve", by="ann", now=NOW)
        answer = self._post(client, alert.id, deed, **({"hours": 1} if deed == "snooze" else {}))

        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "is resolved and cannot be" in answer.json()["detail"]

    @pytest.mark.parametrize("sent", [{"hours": 0}, {"hours": 10**9}, {"hours": 1, "x": 1}, {}])
    def test_sleep_has_an_end(self, client: httpx.Client, sent: dict[str, int]):
        """Within a year."""
        assert client.post("/v1/alerts/7/snooze", json=sent).status_code == 422

    def test_about_nothing_are_not_found(self, client: httpx.Client):
        """I16."""
        assert self._post(client, 99, "ack").status_code == 404


class TestMetrics:
    """What Prometheus sees of the outbox."""

    def test_dead_letters_and_waiting_ones_are_gauges(self, engine: Engine, tmp_path: Path):
        """A message that reached nobody is an alarm of its own."""
        with transaction(engine) as connection:
            for key in ("a", "b"):
                outbox.put(connection, NewDelivery("ops", key, {"title": key}, NOW, NOW))
            (taken,) = outbox.claim(connection, now=NOW, lease_s=60, most=8)
            outbox.mark_failed(connection, taken, error="HTTP 500", again_at=None)
        with serving(engine, tmp_path) as client:
            eventually(lambda: "weakspot_deliveries_dead 1.0" in client.get("/metrics").text)

            assert "weakspot_deliveries_waiting 1.0" in client.get("/metrics").text


class TestKeys:
    """S01: who may read, and who may do something."""

    def test_a_deed_needs_the_scope_label_and_is_the_keys(self, engine: Engine, tmp_path: Path):
        """Whoever may say what is true; a dashboard that reads may silence nothing."""
        now = datetime.now(UTC)
        with transaction(engine) as connection:
            number = open_alert(connection).id
            texts = [
                keys.create(connection, name, Grant([name]), by="test", now=now)[1]
                for name in ("predict", "read", "label")
            ]
        with serving(engine, tmp_path, require_keys=True) as client:
            codes = [
                client.post(f"/v1/alerts/{number}/ack", headers={"X-API-Key": text}).status_code
                for text in texts
            ]
        with transaction(engine) as connection:
            (deed,) = audit.latest(connection, 1)

        assert (codes, deed.by) == ([403, 403, 200], "key:label")

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
