"""What the environment says about alerts."""

from typing import Any

import pytest

from core.errors import DeliveryError, UsageError
from core.settings import AlertSettings, MonitorSettings
from core.store.alert_policy import AlertRules
from monitor.__main__ import initial_rules, postage_from
from monitor.messages.channels import variable
from monitor.messages.delivery import Postage

SECRET = "a-secret-of-many-characters"


def _rules(**given: Any) -> AlertRules:
    return initial_rules(MonitorSettings(), AlertSettings(**given))


class TestInitialRules:
    """`initial_rules`."""

    def test_without_settings_are_the_defaults(self):
        """An installation that says nothing tells the log alone."""
        assert _rules() == AlertRules()

    def test_leave_addresses_in_the_environment(self):
        """S13: what is never written to the database is in none of its backups."""
        rules = _rules(urls="https://h.example/T0KEN slack://a/b/c", secret=SECRET)

        assert [(each.name, each.url, each.secret) for each in rules.channels] == [
            ("settings-1", "env:WEAKSPOT_ALERTS_URLS#1", "env:WEAKSPOT_ALERTS_SECRET"),
            ("settings-2", "env:WEAKSPOT_ALERTS_URLS#2", None),
        ]

    def test_read_quiet_hours(self):
        """In one line, as one says it."""
        quiet = _rules(quiet_hours="22:00-07:00 Europe/Berlin").quiet_hours

        assert quiet is not None
        assert (quiet.start, quiet.end, quiet.zone) == ("22:00", "07:00", "Europe/Berlin")

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"urls": "https://h.example/T0KEN"}, "word 1: a webhook is signed"),
            ({"urls": "slack://a/b/c file:///T0KEN"}, "word 2: file:// is no channel"),
            ({"quiet_hours": "at night"}, "WEAKSPOT_ALERTS_QUIET_HOURS is written like"),
            ({"quiet_hours": "22:00-07:00 Mars"}, "quiet_hours.zone"),
        ],
    )
    def test_refuse_what_does_not_fit_without_repeating_it(self, given: Any, said: str):
        """The monitor does not start with half of what was asked for."""
        with pytest.raises(UsageError, match=said) as refused:
            _rules(**given)

        assert "T0KEN" not in str(refused.value)


class TestPostage:
    """`postage_from`."""

    def test_is_the_default_without_settings(self):
        """One source of defaults."""
        postage = postage_from(AlertSettings())

        assert (postage.attempts, postage.poll_s) == (Postage().attempts, Postage().poll_s)
        assert postage.means.timeout_s == Postage().means.timeout_s

    def test_shows_no_variable(self):
        """S13: the environment is in no log."""
        assert "variables" not in repr(postage_from(AlertSettings()))

    def test_refuses_networks_that_are_none(self):
        """At the start, not at the first alert."""
        with pytest.raises(UsageError, match="networks are written like"):
            postage_from(AlertSettings(networks="my-network"))


class TestVariable:
    """`env:` addresses."""

    @pytest.mark.parametrize(
        ("reference", "value"),
        [("env:WEAKSPOT_A", "one two"), ("env:WEAKSPOT_A#2", "two")],
    )
    def test_is_the_whole_or_a_word(self, reference: str, value: str):
        """A secret may have blanks; a list of addresses is read by number."""
        assert variable(reference, {"WEAKSPOT_A": " one two "}) == value

    @pytest.mark.parametrize("reference", ["env:WEAKSPOT_A#3", "env:WEAKSPOT_B"])
    def test_that_is_missing_is_named(self, reference: str):
        """The outbox shows what to set."""
        with pytest.raises(DeliveryError, match=f"{reference} is not in the environment"):
            variable(reference, {"WEAKSPOT_A": "one two"})
