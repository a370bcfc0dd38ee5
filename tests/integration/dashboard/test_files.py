"""Every table of every page as a file: each has its link, each link its file, and no formulas."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import Engine

from core.store import alert_rules, drift, inbox, outbox
from core.store.alert_policy import parse
from core.store.database import transaction
from core.store.outbox import NewDelivery
from core.store.registry import Load, record_load
from dashboard.app import draw
from dashboard.door.caller import OWNER
from tests import story
from tests.inbox import fill
from tests.pool import day, night_after, register
from tests.told import Told

FORMULA = "=1+1"


@pytest.fixture(scope="module")
def told(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A story in which every table has a row, some of them with a formula for a name."""
    home = tmp_path_factory.mktemp("files")
    now = night_after(story.LAST_DAY).now()
    with transaction(module_engine) as connection:
        for note in ("first", FORMULA):
            rules = parse({"budget": 0.3 if note == "first" else 0.5})
            alert_rules.write(connection, rules, by="settings", now=night_after(0).now(), note=note)
    story.tell(module_engine, home)
    story.refuse_retraining(module_engine)
    with transaction(module_engine) as connection:
        load = Load("v1", FORMULA, now, ok=False, detail="no such file", seconds=1)
        record_load(connection, load)
        connection.exec_driver_sql("UPDATE jobs SET challenger = 'v1'")
        connection.exec_driver_sql('UPDATE versions SET config = \'{"lr": "=1+1"}\'')
        _deliver(connection, now)
    story.promote_repair(module_engine, home, days=1)
    return Told(module_engine, home, night_after(story.LAST_DAY + 1))


def _deliver(connection: Any, now: Any) -> None:
    news = NewDelivery(FORMULA, "one", {"title": FORMULA}, created_at=now, due_at=now, alerts=[1])
    assert outbox.put(connection, news)


PAGES = {
    "overview": ("/", ""),
    "class": (f"/class/{story.WEAK}", ""),
    "drift": ("/drift", ""),
    "drift of a class": ("/drift", f"?class={story.WEAK}"),
    "versions": ("/models", ""),
    "one version": ("/models", "?version=v1"),
    "two versions": ("/models", "?a=v1&b=v2"),
    "training": ("/training", ""),
    "alerts": ("/alerts", ""),
    "one alert": ("/alerts", "?alert=1"),
    "history of the rules": ("/alerts", "?rules=2&against=1"),
    "system": ("/system", ""),
    "inbox": ("/inbox", ""),
}
ENCLOSED = "data:text/csv;charset=utf-8,"


def parts_of(component: Any) -> Iterator[Any]:
    """Return a component and all within it."""
    if isinstance(component, (list, tuple)):
        for each in component:
            yield from parts_of(each)
    elif hasattr(component, "to_plotly_json"):
        yield component
        yield from parts_of(getattr(component, "children", None))


def files_in(component: Any) -> list[str]:
    """Return the addresses of the files that are linked within a component."""
    return [
        each.href
        for each in parts_of(component)
        if "export" in str(getattr(each, "className", "")).split() and hasattr(each, "href")
    ]


def tables_in(component: Any) -> list[Any]:
    """Return the tables within a component."""
    return [each for each in parts_of(component) if type(each).__name__ in {"Table", "AgGrid"}]


def rows(told: Told, address: str) -> list[dict[str, str]]:
    """Return the rows of a file; some addresses carry it in themselves."""
    if address.startswith(ENCLOSED):
        return list(csv.DictReader(io.StringIO(unquote(address.removeprefix(ENCLOSED)))))
    answer = told.client().get(address)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv"), (address, answer.text)
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("name", PAGES)
class TestEveryPage:
    """Asked of the pages, so that a new table is covered or fails."""

    def test_has_a_link_beside_every_table(self, told: Told, name: str):
        """In the same panel; a configuration is long enough to have one, too."""
        drawn = draw(told.house, *PAGES[name], caller=OWNER, now=told.now.now()).content
        panels = [
            each
            for each in parts_of(drawn)
            if "panel" in str(getattr(each, "className", "")).split()
        ]

        lacking = [
            str(table.id) for panel in panels for table in tables_in(panel) if not files_in(panel)
        ]
        outside = len(tables_in(drawn)) - sum(len(tables_in(panel)) for panel in panels)

        assert (lacking, outside) == ([], 0)

    def test_leads_to_files_that_are_there(self, told: Told, name: str):
        """Each with at least its heads."""
        drawn = draw(told.house, *PAGES[name], caller=OWNER, now=told.now.now()).content

        for address in files_in(drawn):
            if "/drift/labels.csv" not in address:  # No pictures were kept of so few predictions.
                assert rows(told, address) is not None


class TestContent:
    """What stands in them."""

    @pytest.mark.parametrize(
        "address",
        [
            "/alerts/rules.csv",
            "/alerts/messages.csv?alert=1",
            "/models/configuration.csv?version=v1",
            "/models/loads.csv?version=v1",
        ],
    )
    def test_is_no_formula(self, told: Told, address: str):
        """Names and notes come from outside."""
        cells = [cell for row in rows(told, address) for cell in row.values()]

        assert f"'{FORMULA}" in cells
        assert FORMULA not in cells

    def test_says_who_served_when_and_what_the_gate_counted(self, told: Told):
        """As the pages do, but for rounding."""
        champions = rows(told, "/models/champions.csv")
        exam = rows(told, "/training/exam.csv?job=1")

        assert [each["version"] for each in champions] == ["v2", "v1"]
        assert champions[0]["until"] == ""
        assert {each["class"]: each["gained"] for each in exam}[story.WEAK] == "120"
        assert [each["challenger"] for each in rows(told, "/training/jobs.csv")] == ["v1"]

    def test_says_what_was_done_about_an_alert(self, told: Told):
        """The retraining that its flag asked for among it."""
        done = rows(told, "/alerts/deeds.csv?alert=1")

        assert {"raise alert", "ask for retraining", "retraining refused"} <= {
            each["what"] for each in done
        }
        assert sorted((each["at"] for each in done), reverse=True) == [each["at"] for each in done]

    def test_says_when_each_step_was_gone_through(self, told: Told):
        """And which of them are overdue."""
        steps = rows(told, "/system/steps.csv")
        later = Told(told.engine, told.home, night_after(story.LAST_DAY + 9))

        assert {each["late"] for each in steps} == {"false"}
        assert {each["late"] for each in rows(later, "/system/steps.csv")} >= {"true"}
        tables = {each["table"]: int(each["bytes"]) for each in rows(told, "/system/tables.csv")}
        assert tables["class_days"] > 0

    def test_has_the_checks_of_the_day(self, told: Told):
        """Those over all predictions of the last day that was checked."""
        with transaction(told.engine) as connection:
            checks = drift.of_day(connection, day(story.LAST_DAY))

        found = rows(told, f"/drift/checks.csv?day={day(story.LAST_DAY)}")
        assert {each["column"] for each in found} == {each.column for each in checks}

    @pytest.mark.parametrize(
        "address",
        [
            "/alerts/messages.csv?alert=99",
            "/alerts/deeds.csv",
            "/models/loads.csv?version=v9",
            "/training/exam.csv?job=99",
            "/training/exam.csv",
            "/training/trials.csv?search=none",
            "/drift/checks.csv?day=2020-01-01",
        ],
    )
    def test_is_not_found_where_the_thing_is_not(self, told: Told, address: str):
        """A link may be older than what it names."""
        answer = told.client().get(address)

        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


class TestFacts:
    """A name and a value a row: what stands on the page, moments as ISO 8601 writes them."""

    def test_of_a_version(self, told: Told):
        """Also who served when, in words."""
        found = facts_of(told, "one version", "lineage-csv")

        assert (found["Made from"], len(found["Data"])) == ("nothing", 64)
        assert found["Served"].startswith(night_after(0).now().strftime("%Y-%m-%dT"))
        assert found["Training"] == "job 1, refused"

    def test_of_an_alert(self, told: Told):
        """The counts that it rests on."""
        found = facts_of(told, "one alert", "evidence-numbers-csv")

        assert (found["Class"], found["Version"]) == (story.WEAK, "v1")
        assert " right (" in found["Told"]


def facts_of(told: Told, page: str, name: str) -> dict[str, str]:
    """Return the file behind a link of a page, by the names of its facts."""
    drawn = draw(told.house, *PAGES[page], caller=OWNER, now=told.now.now()).content
    (link,) = [each for each in parts_of(drawn) if getattr(each, "id", None) == name]
    return {row["name"]: row["value"] for row in rows(told, link.href)}


class TestLabelled:
    """`/inbox/lately.csv`."""

    def test_names_who_said_what(self, engine: Engine, tmp_path: Path):
        """Everything that stands, the latest first."""
        told = Told(engine, tmp_path, night_after(1))
        version = register(engine, tmp_path / "bundles")
        item, _ = fill(engine, tmp_path, version, ["Cat", "Dog"])
        said = {"answer": FORMULA, "by": "key:ann", "now": told.now.now()}
        with transaction(engine) as connection:
            inbox.settle(connection, item, "labelled", **said, image=None, undo={})

        (found,) = rows(told, "/inbox/lately.csv")

        assert (found["answer"], found["answered_by"]) == (f"'{FORMULA}", "key:ann")
