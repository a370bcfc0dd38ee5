"""What the dashboard shows, over a real port as JSON: the same numbers, row by row."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.shown.happenings import listed
from core.shown.phrases import plain
from core.store import class_days
from core.store.database import transaction
from service import cursors
from tests import story
from tests.pool import day, night_after, register
from tests.serving import get, serving
from tests.told import Told, same

NOW = night_after(story.LAST_DAY + 1)


@pytest.fixture(scope="module")
def told(fortnight: story.Fortnight) -> Told:
    """A fortnight at whose end one class is weak, and a day of the version after it."""
    story.refuse_retraining(fortnight.engine)
    story.promote_repair(fortnight.engine, fortnight.home, days=1)
    return Told(fortnight.engine, fortnight.home, NOW)


@pytest.fixture(scope="module")
def client(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service over the same rows; it needs no model for this."""
    with serving(told.engine, tmp_path_factory.mktemp("service"), clock=told.now) as client:
        yield client


class TestDays:
    """`GET /v1/health/days`."""

    def test_has_the_days_of_a_class_as_its_file_has(self, told: Told, client: httpx.Client):
        """Also those before the version that serves now."""
        shown = get(client, "/v1/health/days", label=story.WEAK)
        rows = told.rows(f"/health/class.csv?class={story.WEAK}")

        names = {"day": "day", "version": "version", "n": "images", "correct": "right"}
        same(shown["days"], rows, names | {"low": "low", "high": "high"})
        assert {each["version"] for each in shown["days"]} == {"v1", "v2"}
        assert shown["days"][-1]["accuracy"] == shown["days"][-1]["correct"] / 10

    def test_is_the_matrix_page_by_page(self, told: Told, client: httpx.Client):
        """Every class and day on exactly one page."""
        seen, cursor = [], None
        while True:
            asked = {"limit": 7} | ({"cursor": cursor} if cursor else {})
            page = get(client, "/v1/health/days", **asked)
            seen += [(each["day"], each["label"], each["n"]) for each in page["days"]]
            cursor = page["next"]
            if cursor is None:
                break

        with transaction(told.engine) as connection:
            whole = class_days.matrix(connection, day(1), day(story.LAST_DAY + 1))
        assert seen == [(f"{each.day}", each.label, each.n) for each in whole]

    def test_begins_and_ends_where_it_is_told_to(self, client: httpx.Client):
        """Both days count."""
        shown = get(client, "/v1/health/days", **{"from": "2026-03-03", "to": "2026-03-04"})

        assert {each["day"] for each in shown["days"]} == {"2026-03-03", "2026-03-04"}
        assert (shown["first"], shown["last"]) == ("2026-03-03", "2026-03-04")

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"from": "2026-03-04", "to": "2026-03-03"}, "later"),
            ({"from": "2024-01-01", "to": "2026-03-03"}, "400"),
            ({"from": "0001-01-01", "to": "0001-01-02"}, "1970"),
            ({"to": "9999-12-31"}, "1970"),
            ({"from": "3 March"}, "written as"),
            ({"cursor": "bm8="}, "cursor"),
            ({"cursor": cursors.write_words("2026-03-01")}, "cursor"),
            ({"cursor": cursors.write_words("yesterday", "Dog")}, "cursor"),
            ({"cursor": cursors.write_words("2026-03-01", "a\0b")}, "cursor"),
            ({"label": "a\0b"}, "label"),
        ],
    )
    def test_says_what_is_wrong(self, client: httpx.Client, asked: dict[str, str], said: str):
        """With the name and the limit, and never as a fault of ours."""
        answer = client.get("/v1/health/days", params=asked)

        assert answer.status_code == 422
        assert said in answer.json()["detail"]


class TestOneClass:
    """`GET /v1/health/classes/{label}`."""

    def test_has_the_evidence_that_the_file_has(self, told: Told, client: httpx.Client):
        """Day by day, with reference and threshold."""
        shown = get(client, f"/v1/health/classes/{story.WEAK}")
        rows = told.rows(f"/health/class.csv?class={story.WEAK}")

        names = {name: name for name in ("day", "reference", "evidence", "threshold", "alarm")}
        same(shown["days"], rows, names)
        assert (shown["state"], shown["version"]) == ("recovering", "v2")

    def test_has_the_weeks_that_the_file_has(self, told: Told, client: httpx.Client):
        """Counted once, for both."""
        span = {"from": "2026-03-01", "to": "2026-03-12"}
        shown = get(client, f"/v1/health/classes/{story.TAKEN_FOR}", **span)
        rows = told.rows(f"/health/weeks.csv?class={story.TAKEN_FOR}&days=12")

        names = {name: name for name in (
            "first", "last", "recalled", "recall", "called", "right", "precision", "confidence",
            "calibration_error", "by_chance",
        )}  # fmt: skip
        same(shown["weeks"], rows, names | {"n": "images"})

    def test_has_the_confusions_that_the_file_has(self, told: Told, client: httpx.Client):
        """By version, and the reference."""
        span = {"from": "2026-03-01", "to": "2026-03-12"}
        counted = get(client, f"/v1/health/classes/{story.WEAK}", **span)["mistaken_for"]
        rows = told.rows(f"/health/mistaken-for.csv?class={story.WEAK}&days=12")

        flat = [
            each | {"predicted": label, "times": times, "share": each["shares"][label]}
            for each in counted
            for label, times in sorted(each["times"].items(), key=lambda one: (-one[1], one[0]))
        ]
        names = {name: name for name in ("version", "stretch", "predicted", "times", "share")}
        same(flat, rows, names | {"n": "images", "first": "first", "last": "last"})
        assert counted[-1]["stretch"] == "reference"

    def test_has_the_wrong_images_that_the_file_has(self, told: Told, client: httpx.Client):
        """Each with the nearest one that was answered right."""
        shown = get(client, f"/v1/health/classes/{story.WEAK}")["wrong_images"]
        rows = told.rows(f"/health/wrong.csv?class={story.WEAK}")

        same(shown, rows, {name: name for name in ("image", "day", "predicted", "confidence")})
        near = [each["nearest_right"]["image"] for each in shown if each["nearest_right"]]
        assert near == [int(row["nearest_right_image"]) for row in rows if row["distance"]]
        fewer = get(client, f"/v1/health/classes/{story.WEAK}", images=2)["wrong_images"]
        assert fewer == shown[:2]

    def test_an_unknown_one_is_not_found(self, client: httpx.Client):
        """It may be a class of a version before."""
        assert client.get("/v1/health/classes/Yeti").status_code == 404


class TestEvents:
    """`GET /v1/health/events`."""

    def test_are_those_of_the_file(self, told: Told, client: httpx.Client):
        """In the same order, in the same words."""
        shown = get(client, "/v1/health/events")["events"]
        rows = told.rows("/health/events.csv")

        same(shown, rows, {name: name for name in ("day", "kind", "what", "detail")})
        assert {each["kind"] for each in shown} >= {"deployment", "alert", "retraining"}

    def test_are_those_that_the_overview_lists(self, told: Told, client: httpx.Client):
        """It looks back at the latest rows alone, and these are few."""
        facts = told.overview()
        listed_there = [each for each in listed(facts.events) if facts.range.holds(each.day)]

        shown = get(client, "/v1/health/events")["events"]
        assert [(each["kind"], each["what"], each["detail"], each["labels"]) for each in shown] == [
            (each.kind, plain(each.title), each.detail, each.labels) for each in listed_there
        ]

    def test_are_narrowed_to_a_class_or_a_kind(self, client: httpx.Client):
        """And an alert about no class is an alert, too."""
        everything = get(client, "/v1/health/events")["events"]
        of_class = get(client, "/v1/health/events", label=story.WEAK)["events"]
        moves = get(client, "/v1/health/events", kind="deployment")["events"]

        assert of_class == [each for each in everything if story.WEAK in each["labels"]] != []
        assert moves == [each for each in everything if each["kind"] == "deployment"] != []

    @pytest.mark.parametrize("limit", [1, 3])
    def test_come_page_by_page(self, client: httpx.Client, limit: int):
        """Each on exactly one page, also those of the same moment."""
        seen, cursor = [], None
        while True:
            asked = {"limit": limit} | ({"cursor": cursor} if cursor else {})
            page = get(client, "/v1/health/events", **asked)
            seen += page["events"]
            cursor = page["next"]
            if cursor is None:
                break

        assert seen == get(client, "/v1/health/events")["events"]

    @pytest.mark.parametrize(
        "words",
        [
            ("2026-03-01",),
            ("2026-03-01", "2026-03-01T00:00:00", "1", "1"),
            ("2026-03-01", "2026-03-01T00:00:00+00:00", "8", "1"),
            ("2026-03-01", "2026-03-01T00:00:00+00:00", "1", "-1"),
            ("2026-03-01", "2026-03-01T00:00:00+00:00", "1", "9" * 19),
            ("2026-03-01", "noon", "1", "1"),
        ],
    )
    def test_refuse_a_cursor_that_is_not_ours(self, client: httpx.Client, words: tuple[str, ...]):
        """Never as a fault of ours."""
        asked = {"cursor": cursors.write_words(*words)}

        assert client.get("/v1/health/events", params=asked).status_code == 422


class TestCompare:
    """`GET /v1/models/compare`."""

    def test_has_the_classes_that_the_file_has(self, told: Told, client: httpx.Client):
        """The largest loss first, with its interval."""
        shown = get(client, "/v1/models/compare", a="v1", b="v2")
        whole, *rows = told.rows("/models/compare.csv?a=v1&b=v2")

        names = {"n": "images", "a": "v1", "b": "v2"}
        names |= {name: name for name in ("difference", "low", "high")}
        same(shown["classes"], rows, names | {"label": "class"})
        same([shown["whole"]], [whole], names)
        assert shown["source"] == "exams"

    def test_does_not_know_what_is_not_registered(self, client: httpx.Client):
        """By its status."""
        answer = client.get("/v1/models/compare", params={"a": "v1", "b": "v9"})

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestNothing:
    """Before anything was examined."""

    def test_is_an_empty_list_and_no_class(self, engine: Engine, tmp_path: Path):
        """Nobody has to look at a fault first."""
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path) as client:
            assert get(client, "/v1/health/days")["days"] == []
            assert get(client, "/v1/drift")["checks"] == []
            span = get(client, "/v1/health/events")
            assert client.get("/v1/health/classes/Dog").status_code == 404

        assert date.fromisoformat(span["last"]) - date.fromisoformat(span["first"]) == timedelta(29)
