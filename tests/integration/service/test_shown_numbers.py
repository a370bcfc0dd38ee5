"""The overview's numbers, the System page and the searches as JSON: what the dashboard shows."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.clock import day_bounds
from core.shown import system
from core.store import notices, trial_lines
from core.store.database import transaction
from core.store.registry import Load, record_load
from dashboard.pages.health.tiles import tiles
from service import cursors
from tests import searches, story
from tests.pool import day, night_after, register
from tests.serving import get, serving
from tests.told import Told, notice

NOW = night_after(story.LAST_DAY + 1)


@pytest.fixture(scope="module")
def told(fortnight: story.Fortnight) -> Told:
    """A fortnight at whose end one class is weak, the version after it, and two searches."""
    story.refuse_retraining(fortnight.engine)
    story.promote_repair(fortnight.engine, fortnight.home, days=1)
    with transaction(fortnight.engine) as connection:
        record_load(
            connection, Load("v2", "host-1", NOW.now(), ok=True, detail="by us", seconds=1.5)
        )
        notice(connection, "test")
    searches.search(fortnight.engine, "rates")
    searches.search(fortnight.engine, "a/b c", trials_n=1)
    return Told(fortnight.engine, fortnight.home, NOW)


@pytest.fixture(scope="module")
def client(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service over the same rows; it needs no model for this."""
    with serving(told.engine, tmp_path_factory.mktemp("service"), clock=told.now) as client:
        yield client


class TestSummary:
    """`GET /v1/health/summary`."""

    def test_has_the_numbers_of_the_tiles(self, told: Told, client: httpx.Client):
        """Each with what it was before."""
        shown, facts = get(client, "/v1/health/summary"), told.overview()

        numbers = facts.numbers
        for name in ("flagged", "predictions", "open_alerts"):
            own = getattr(numbers, name)
            assert shown[name] == {"now": own.now, "before": own.before}, name
        assert numbers.accuracy is not None
        assert shown["accuracy"] == {
            "now": numbers.accuracy.now,
            "before": numbers.accuracy.before,
        }

    def test_names_what_the_tiles_name(self, told: Told, client: httpx.Client):
        """The champion, the version before, how many classes, and the day."""
        shown = get(client, "/v1/health/summary")
        words = {name: (value, was) for name, value, was in tiles(told.overview())}

        champion, was = words["Champion"]
        assert shown["champion"]["version"] == champion == "v2"
        assert was.endswith(f"{shown['champion']['before']} before")
        assert words[f"Flagged of {shown['classes']} classes"][0] == f"{shown['flagged']['now']}"
        assert words["Open alerts"][0] == f"{shown['open_alerts']['now']}" != "0"
        assert shown["day"] == f"{day(story.LAST_DAY + 1)}"


class TestSystem:
    """`GET /v1/system`."""

    def test_has_the_steps_of_the_file(self, told: Told, client: httpx.Client):
        """In the same order, then the errands."""
        shown, rows = get(client, "/v1/system")["steps"], told.rows("/system/steps.csv")

        assert [
            (each["step"], each["outcome"], each["day"] or "", each["by"] or "") for each in shown
        ] == [(row["step"], row["outcome"], row["for"], row["by"]) for row in rows]
        assert [datetime.fromisoformat(each["started_at"]) for each in shown] == [
            datetime.fromisoformat(row["started_at"]) for row in rows
        ]
        assert {each["late"] for each in shown} == {False}

    def test_has_the_tables_of_the_file(self, told: Told, client: httpx.Client):
        """And what they hold together."""
        shown, rows = get(client, "/v1/system"), told.rows("/system/tables.csv")

        assert [(each["name"], each["bytes"], each["rows"]) for each in shown["tables"]] == [
            (row["table"], int(row["bytes"]), int(row["rows_about"])) for row in rows
        ]
        assert shown["database_bytes"] == sum(int(row["bytes"]) for row in rows)
        days = {each["name"]: each["days"] for each in shown["tables"]}
        assert days["predictions"] >= 1
        assert days["class_days"] is None

    def test_has_the_services_of_the_file(self, told: Told, client: httpx.Client):
        """What each said of loading the champion."""
        shown, rows = get(client, "/v1/system")["loads"], told.rows("/system/services.csv")

        assert [(each["instance"], each["detail"], each["ok"]) for each in shown] == [
            (row["service"], row["what_it_said"], row["outcome"] == "loaded") for row in rows
        ]
        assert "host-1" in {each["instance"] for each in shown}

    def test_has_the_traffic_of_the_charts(self, told: Told, client: httpx.Client):
        """Hour by hour, and how long the latest answers took."""
        shown = get(client, "/v1/system")
        with transaction(told.engine) as connection:
            facts = system.gather(connection, now=told.now.now())

        assert [(each["n"], each["latency_ms"]) for each in shown["hours"]] == [
            (each.n, each.latency_ms) for each in facts.hours
        ]
        assert sum(each["n"] for each in shown["hours"]) == 40
        assert facts.latencies is not None
        assert shown["latencies"]["p95_ms"] == facts.latencies.p95_ms
        assert shown["jobs"] == facts.jobs == {"refused": 1}
        assert shown["migrations"]["at"] == shown["migrations"]["needed"]

    def test_says_what_is_overdue(self, told: Told, tmp_path: Path):
        """Days later, with no monitor."""
        with serving(told.engine, tmp_path, clock=night_after(story.LAST_DAY + 9)) as client:
            shown = get(client, "/v1/system")

        assert shown["late_days"][0] == f"{day(story.LAST_DAY + 2)}"
        assert True in {each["late"] for each in shown["steps"]}

    def test_has_no_secret_and_no_path(self, told: Told, client: httpx.Client):
        """S13."""
        text = client.get("/v1/system").text

        assert str(told.engine.url.password) not in text
        assert str(told.home) not in text


class TestStudies:
    """`GET /v1/studies` and `/v1/studies/{name}`."""

    def test_are_listed_the_newest_first(self, client: httpx.Client):
        """Page by page."""
        whole = get(client, "/v1/studies")
        first = get(client, "/v1/studies", limit=1)
        second = get(client, "/v1/studies", limit=1, cursor=first["next"])

        assert [each["name"] for each in whole["studies"]] == ["a/b c", "rates"]
        assert first["studies"] + second["studies"] == whole["studies"]
        assert (whole["next"], second["next"]) == (None, None)

    def test_has_the_trials_of_the_file(self, told: Told, client: httpx.Client):
        """Row by row, with their options."""
        shown = get(client, "/v1/studies/rates")["trials"]
        rows = told.rows("/training/trials.csv?search=rates")

        assert len(shown) == len(rows) == 12
        for each, row in zip(shown, rows, strict=True):
            assert each["number"] == int(row["trial"])
            assert each["passes"] == int(row["passes"])
            assert each["error"] == row["error"]
            assert _number(each["accuracy"]) == row["accuracy"]
            assert _number(each["last_pass"]) == row["last_pass"]
            assert each["options"]["augment"] == row["augment"]

    def test_has_what_the_page_says_of_it(self, told: Told, client: httpx.Client):
        """The best, what mattered, and what was searched."""
        shown = get(client, "/v1/studies/rates")
        with transaction(told.engine) as connection:
            search = trial_lines.search(connection, "rates", 100)

        assert search is not None
        assert search.best is not None
        assert shown["study"]["best"] == {
            "number": search.best.number,
            "accuracy": search.best.accuracy,
        }
        assert shown["importance"] == search.importance != {}
        assert (shown["space"], shown["epochs"]) == (search.space, search.epochs)
        assert shown["study"]["states"] == {"COMPLETE": 8, "PRUNED": 2, "FAIL": 1, "RUNNING": 1}

    def test_has_its_trials_page_by_page(self, client: httpx.Client):
        """Each on exactly one page; the best is that of all of them."""
        seen, cursor = [], None
        while True:
            asked = {"limit": 5} | ({"cursor": cursor} if cursor else {})
            page = get(client, "/v1/studies/rates", **asked)
            assert page["study"] == get(client, "/v1/studies/rates")["study"]
            seen += page["trials"]
            cursor = page["next"]
            if cursor is None:
                break

        assert seen == get(client, "/v1/studies/rates")["trials"]

    def test_may_have_any_name(self, client: httpx.Client):
        """Slashes and blanks are quoted."""
        assert get(client, "/v1/studies/a%2Fb%20c")["study"]["name"] == "a/b c"

    def test_of_an_unknown_name_is_not_found(self, client: httpx.Client):
        """And a cursor of another list is refused."""
        assert client.get("/v1/studies/rate").status_code == 404
        words = {"cursor": cursors.write_words("x")}
        assert client.get("/v1/studies/rates", params=words).status_code == 422


def _number(value: float | None) -> str:
    return "" if value is None else f"{value}"


class TestNothing:
    """Before anything was examined, or searched."""

    def test_is_nothing_and_no_fault(self, engine: Engine, tmp_path: Path):
        """Zeros where there is something to count, null where there is not."""
        with serving(engine, tmp_path) as client:
            summary, shown = get(client, "/v1/health/summary"), get(client, "/v1/system")
            assert get(client, "/v1/studies") == {"studies": [], "next": None}
            assert client.get("/v1/studies/rates").status_code == 404

        assert (summary["day"], summary["champion"], summary["accuracy"]) == (None, None, None)
        assert summary["flagged"] == {"now": 0, "before": None}
        assert (shown["champion"], shown["exam"], shown["hours"]) == (None, None, [])


class TestManyEvents:
    """`GET /v1/health/events` where more happened than the overview looks back at."""

    def test_all_are_told(self, engine: Engine, tmp_path: Path):
        """Three hundred alerts of one moment."""
        register(engine, tmp_path / "bundles")
        with transaction(engine) as connection:
            for number in range(300):
                notices.raise_once(
                    connection, "runtime", f"{number}", title=f"about {number}", body="",
                    now=day_bounds(day(3))[0],
                )  # fmt: skip
        with serving(engine, tmp_path, clock=night_after(3)) as client:
            first = get(client, "/v1/health/events", kind="alert")
            second = get(client, "/v1/health/events", kind="alert", cursor=first["next"])

        told_of = [each["what"] for each in first["events"] + second["events"]]
        assert told_of == [f"about {number}" for number in reversed(range(300))]
        assert second["next"] is None

    def test_days_that_nobody_examined_stand_between_the_others(
        self, engine: Engine, tmp_path: Path
    ):
        """They have no row, and are on exactly one page each all the same."""
        register(engine, tmp_path / "bundles")
        with transaction(engine) as connection:
            notice(connection, "one")
        with serving(engine, tmp_path, clock=night_after(6)) as client:
            whole = get(client, "/v1/health/events")["events"]
            seen, cursor = [], None
            for _ in whole:
                asked = {"limit": 1} | ({"cursor": cursor} if cursor else {})
                page = get(client, "/v1/health/events", **asked)
                seen += page["events"]
                cursor = page["next"]
            missed = get(client, "/v1/health/events", kind="missed")["events"]

        kinds = [each["kind"] for each in whole]
        assert (seen, cursor) == (whole, None)
        assert missed == [each for each in whole if each["kind"] == "missed"]
        assert len(missed) >= 2 > kinds.count("alert") == 1
