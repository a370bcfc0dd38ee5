"""The alert rules in the database: versions, who set them, and which were in force."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from core.errors import ConflictError
from core.store import alert_rules, audit
from core.store.alert_policy import AlertRules, parse
from core.store.database import transaction

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
DAY = date(2026, 3, 9)


class TestRules:
    """The alert rules in their versions."""

    def test_are_versions_with_author_reason_and_trail(self, engine: Engine):
        """Whoever wonders why it is quiet finds out who wanted it so."""
        with transaction(engine) as connection:
            alert_rules.write(connection, AlertRules(), by="ann", now=NOW)
            quieter = AlertRules(budget=0.1, left_out=("Cat",))
            alert_rules.write(connection, quieter, by="bob", now=NOW, note="cats are hopeless")
            history = alert_rules.history(connection)
            (deed, _) = audit.latest(connection, 2)

        assert [(each.version, each.by) for each in history] == [(2, "bob"), (1, "ann")]
        assert (history[0].rules, history[0].note) == (quieter, "cats are hopeless")
        assert deed.detail["changed"] == {"budget": 0.1, "left_out": ["Cat"]}

    def test_no_secret_is_in_the_audit_trail(self, engine: Engine):
        """S13: also when nothing but the secret is new."""
        hook = {"name": "ops", "url": "https://h.example/T0KEN", "secret": "0123456789abcdef"}
        with transaction(engine) as connection:
            for secret in ("0123456789abcdef", "fedcba9876543210"):
                rules = parse({"channels": [hook | {"secret": secret}]})
                alert_rules.write(connection, rules, by="ann", now=NOW)
            trail = str(audit.latest(connection))

        assert not any(each in trail for each in ("T0KEN", "0123456789", "fedcba"))
        assert "an address or secret" in trail

    def test_two_editors_do_not_overwrite_each_other(self, engine: Engine):
        """The second is told to look again."""
        with transaction(engine) as connection:
            alert_rules.write(connection, AlertRules(), by="ann", now=NOW, follows=0)
        with (
            pytest.raises(ConflictError, match="at version 1, by ann, and yours were made from 0"),
            transaction(engine) as connection,
        ):
            alert_rules.write(connection, AlertRules(), by="bob", now=NOW, follows=0)

    def test_a_day_is_judged_by_the_rules_it_ended_with(self, engine: Engine):
        """A replay of last month reads last month's; the first hold for all before."""
        with transaction(engine) as connection:
            for hours, budget in ((0, 0.1), (5, 0.2), (24, 0.3), (21, 0.4)):
                moment = datetime(2026, 3, 10, tzinfo=UTC) + timedelta(hours=hours)
                alert_rules.write(connection, AlertRules(budget=budget), by="ann", now=moment)
            in_force = {
                day: alert_rules.in_force(connection, date(2026, 3, day)) for day in (1, 10, 11, 30)
            }
            set_after = alert_rules.set_after(connection, date(2026, 3, 9))

        budgets = {day: each.rules.budget for day, each in in_force.items() if each}
        assert budgets == {1: 0.1, 10: 0.4, 11: 0.4, 30: 0.4}
        assert set_after == [date(2026, 3, 10), date(2026, 3, 11)]

    def test_a_persons_shell_does_not_undo_the_monitors_settings(self, engine: Engine):
        """A command typed where no variable is set must not silence every channel."""
        with transaction(engine) as connection:
            alert_rules.adopt(connection, AlertRules(budget=0.5), now=NOW)
            counts = alert_rules.adopt(connection, AlertRules(), now=NOW, renew=False)

        assert (counts.version, counts.rules.budget) == (1, 0.5)

    def test_settings_write_versions_until_a_person_does(self, engine: Engine):
        """A changed variable counts, until somebody has set the rules; and only changes count."""
        with transaction(engine) as connection:
            for budget in (0.3, 0.3, 0.5):
                alert_rules.adopt(connection, AlertRules(budget=budget), now=NOW)
            alert_rules.write(connection, AlertRules(budget=0.7), by="ann", now=NOW)
            counts = alert_rules.adopt(connection, AlertRules(budget=0.9), now=NOW)
            history = alert_rules.history(connection)

        assert [each.by for each in history] == ["ann", "settings", "settings"]
        assert (counts.version, counts.rules.budget) == (3, 0.7)
