"""The alerts' pages over rows that the monitor wrote, and what is done there."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import Engine

from core.errors import ConflictError, ForbiddenError, UsageError
from core.store import alert_lines, alert_rules, alerts, flags, notices
from core.store.alert_policy import AlertRules, parse
from core.store.database import transaction
from dashboard.app import draw
from dashboard.door.caller import OWNER, Caller
from dashboard.pages.alerts import page, trying
from dashboard.pages.alerts.editor import rest_of
from tests import story
from tests.pool import day, night_after
from tests.told import Told, notice

SECRET = "a secret of some length"
READER = Caller("reader", frozenset({"read"}))
RULES = parse(
    {"channels": [{"name": "ops", "url": "https://hooks.example/T0KEN", "secret": SECRET}]}
)


@pytest.fixture(scope="module")
def told(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A fortnight at whose end one class is weak, with rules and somebody who hears."""
    home = tmp_path_factory.mktemp("alerts")
    with transaction(module_engine) as connection:
        alert_rules.write(connection, RULES, by="settings", now=night_after(0).now())
    story.tell(module_engine, home)
    with transaction(module_engine) as connection:
        for number in range(30):
            notice(connection, f"day {number}")
    return Told(module_engine, home, night_after(story.LAST_DAY))


@pytest.fixture
def asked() -> Iterator[Any]:
    """A request of the machine's owner."""
    with Flask("test").test_request_context():
        g.caller = OWNER
        yield g


def _weak(told: Told) -> int:
    with transaction(told.engine) as connection:
        (found,) = alerts.latest(connection, label=story.WEAK)
    return found.id


def _form(budget: float = 0.3, **rest: Any) -> tuple[Any, ...]:
    text = json.dumps(json.loads(rest_of(RULES)) | rest)
    return budget, 0.8, [], text, 1


class TestAlertList:
    """`/alerts`."""

    def test_shows_what_is_open_a_page_at_a_time(self, told: Told):
        """Thirty-one alerts are two pages, and the second one is led to."""
        first, last = told.page("/alerts"), told.page("/alerts", f"?before={_weak(told) + 1}")

        assert "31 alerts are open, and nobody is at it" in first
        assert "about day 29" in first
        assert f"{story.WEAK} is weak since" not in first
        assert '"id": "older"' in first
        assert f"{story.WEAK} is weak since" in last

    def test_keeps_to_the_class_and_the_state_that_the_address_names(self, told: Told):
        """A pasted link shows the same."""
        shown = told.page("/alerts", f"?class={story.WEAK}&state=open")

        assert f"1 alert is open about {story.WEAK}" in shown
        assert "about day" not in shown
        assert "None of these" in told.page("/alerts", f"?class={story.WEAK}&state=snoozed")

    def test_is_had_as_a_file_in_which_nothing_is_a_formula(self, told: Told):
        """Titles come from outside."""
        with transaction(told.engine) as connection:
            notices.raise_once(
                connection, "monitor", "=x", title="=1+1", body="", now=told.now.now()
            )

        lines = told.client().get("/alerts/alerts.csv").text.splitlines()

        assert lines[0].startswith("alert,kind,state,class")
        assert any(",'=1+1," in line for line in lines)


class TestOneAlert:
    """`/alerts?alert=<number>`."""

    def test_tells_its_numbers_and_what_was_sent_where(self, told: Told):
        """With the address hidden as everywhere."""
        shown = told.page("/alerts", f"?alert={_weak(told)}")

        assert "Largest evidence since" in shown
        assert "% sure, if each class falls once a year" in shown
        assert "https://hooks.example/…" in shown
        assert "T0KEN" not in shown
        assert SECRET not in shown

    def test_is_handled_as_by_the_command_and_says_who_did(self, told: Told):
        """Acknowledged, snoozed, and seen in its history."""
        alert, by = _weak(told), Caller("maria", frozenset({"label"}))

        said = page.PAGE.actions["alerts.ack"].do(told.house, by, str(alert))
        slept = page.PAGE.actions["alerts.snooze"].do(told.house, by, f"{alert} 7")

        shown = told.page("/alerts", f"?alert={alert}")
        assert said == f"Alert {alert} is acknowledged."
        assert slept.startswith(f"Alert {alert} is snoozed until")
        assert shown.count("maria") == 2
        assert "Asleep until" in shown

    @pytest.mark.parametrize("about", ["1 2", "1 x", "x 7", "7; DROP", ""])
    def test_sleeps_for_no_other_time(self, told: Told, about: str):
        """What a button is about comes from a browser."""
        with pytest.raises(UsageError):
            page.PAGE.actions["alerts.snooze"].do(told.house, OWNER, about)

    def test_shows_no_button_to_who_may_only_read(self, told: Told):
        """They would be refused."""
        drawn = draw(
            told.house, "/alerts", f"?alert={_weak(told)}", caller=READER, now=told.now.now()
        )

        assert "alerts.resolve" not in str(drawn.content)
        assert page.PAGE.actions["alerts.resolve"].scope == "label"


class TestPreview:
    """What other rules would have raised."""

    def test_with_the_rules_of_the_day_it_is_what_was_raised(self, told: Told, asked: Any):
        """The same detectors over the same counts give the same flags, on the same days."""
        found = trying.tried(told.house, *_form())
        with transaction(told.engine) as connection:
            raised = [(each.label, each.raised_on) for each in flags.latest(connection)]

        assert [(each.label, each.day) for each in found.with_these] == raised
        assert found.with_these == found.with_those
        # And the notices of all classes together, which the fixture raised.
        assert (found.in_fact, found.days) == (31, story.LAST_DAY)

    def test_a_tiny_budget_raises_later_or_nothing(self, told: Told, asked: Any):
        """The threshold is what the budget sets."""
        same, tiny = trying.tried(told.house, *_form()), trying.tried(told.house, *_form(1e-9))

        (before,) = same.with_these
        assert all(each.day > before.day for each in tiny.with_these)
        assert all(each.threshold > before.threshold for each in tiny.with_these)

    def test_leaving_the_class_out_raises_nothing_and_writes_nothing(self, told: Told, asked: Any):
        """It is a look, and no more."""
        form = (0.3, 0.8, [story.WEAK], rest_of(RULES), 1)

        found = trying.tried(told.house, *form)

        assert found.with_these == []
        assert "No longer raised" in str(trying.told(found))
        with transaction(told.engine) as connection:
            last = alert_rules.latest(connection)
        assert last is not None
        assert last.version == 1

    @pytest.mark.parametrize(
        ("form", "named"),
        [
            (_form(-1), "budget: "),
            (_form(quiet_hours={"start": "25:00", "end": "07:00"}), "quiet_hours.start: "),
            (_form(budget=0.3, floor=0.5), "floor: it has a field of its own"),
            ((0.3, 0.8, ["Elefant"], rest_of(RULES), 1), "did you mean: Elephant"),
            ((0.3, 0.8, [], "{", 1), "the rules are no JSON"),
            ((None, 0.8, [], "", 1), "budget: "),
        ],
    )
    def test_refuses_by_name_what_does_not_fit(self, told: Told, asked: Any, form: Any, named: str):
        """The field, and what is wrong with it."""
        with pytest.raises(UsageError, match=named):
            trying.tried(told.house, *form)


class TestSaving:
    """Rules saved from the page."""

    def test_keeps_what_is_hidden_and_shows_the_difference(self, told: Told, asked: Any):
        """One who saves sees no secret and loses none; the second to save is refused."""
        written = trying.saved(told.house, *_form(0.5), "fewer misses")

        assert written.rules.channels == RULES.channels
        assert (written.version, written.by, written.note) == (2, OWNER.name, "fewer misses")
        shown = told.page("/alerts", "?rules=2&against=1")
        assert '-  \\"budget\\": 0.3' in shown
        assert '+  \\"budget\\": 0.5' in shown
        with pytest.raises(ConflictError, match="version 2"):
            trying.saved(told.house, *_form(0.6), "")

    def test_takes_the_scope_admin(self, told: Told, asked: Any):
        """Asked where it is done, not where the button is drawn."""
        asked.caller = READER

        with pytest.raises(ForbiddenError, match="admin"):
            trying.saved(told.house, *_form(0.5), "")

    def test_counts_what_was_raised_by_the_day_that_was_examined(self, told: Told):
        """Found in the night after it."""
        with transaction(told.engine) as connection:
            within = alert_lines.raised(connection, day(8), day(8))
            after = alert_lines.raised(connection, day(9), day(9) + timedelta(days=400))

        assert (within, after) == (1, 0)


def test_default_rules_have_a_form() -> None:
    """The rest of the rules is what has no field."""
    assert json.loads(rest_of(AlertRules())) == {"channels": [], "quiet_hours": None}
