"""Alerts in the database: their life, and the trail they leave."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from core.errors import ConflictError, NotFoundError, UsageError
from core.store import alerts, audit, class_days, database, flags, notices, outbox, worsening
from core.store.alert_states import DEEDS
from core.store.alerts import Alert, NewAlert
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.flags import NewFlag
from core.store.told import Told

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
DAY = date(2026, 3, 9)


def open_alert(connection: Connection, label: str = "Cat", evidence: float = 400.0) -> Alert:
    """Raise a flag and its alert."""
    flag = flags.open_flag(
        connection, NewFlag("change", label, "v1", DAY, DAY, NOW, evidence, 300.0)
    )
    assert flag is not None
    told = [Told(DAY, DAY, 20, 12)]
    new = NewAlert(flag.id, NOW, f"{label} is weak", "body", None, [], peak=evidence, told=told)
    alerts.raise_alert(connection, new)
    return alerts.of_flags(connection, [flag.id])[0]


_VERSION = sa.text("""
    INSERT INTO versions (version, number, name, uri, digest, labels, snapshot, snapshot_at,
                          metrics, reference, config, code_version, created_at)
    VALUES (:version, 99, 'm', 'u', '', '[]', 's', now(), '{}', '{}', '{}', 'c', now())
        ON CONFLICT DO NOTHING
""")
_EXAM = sa.text("""
    INSERT INTO validations (day, version, per_class, late, status, unreadable, drawn_at)
    VALUES (:day, :version, 10, false, 'done', 0, now())
        ON CONFLICT DO NOTHING
""")


def examined(connection: Connection, day: date, version: str = "v1") -> None:
    """Note that a version was examined on a day."""
    connection.execute(_VERSION, {"version": version})
    connection.execute(_EXAM, {"day": day, "version": version})


def answered(
    connection: Connection, day: date, version: str = "v1", **counts: tuple[int, int]
) -> None:
    """Let a version answer so many of so many images of some classes rightly on a day."""
    examined(connection, day, version)
    rows = [
        ClassDay(day, version, label, n, correct, {}, 0, 1)
        for label, (correct, n) in counts.items()
    ]
    class_days.write(connection, rows)


def _move(connection: Connection, alert: Alert, deed: Any, **given: Any) -> Alert:
    return alerts.move(connection, alert.id, deed, by="ann", now=NOW, **given)


class TestMove:
    """What people do with an alert."""

    def test_every_deed_is_in_the_audit_trail(self, engine: Engine):
        """Who silenced it, and when it wakes."""
        until = NOW + timedelta(hours=8)
        with transaction(engine) as connection:
            alert = open_alert(connection)
            _move(connection, alert, "acknowledge")
            _move(connection, alert, "snooze", until=until)
            _move(connection, alert, "resolve")
            deeds = audit.latest(connection)[::-1]

        assert [(deed.by, deed.action) for deed in deeds] == [
            ("monitor", "raise alert"),
            ("ann", "acknowledge alert"),
            ("ann", "snooze alert"),
            ("ann", "resolve alert"),
        ]
        assert {deed.subject for deed in deeds} == {f"alert {alert.id}"}
        assert deeds[2].detail["until"] == until.isoformat()

    def test_a_refused_deed_changes_nothing(self, engine: Engine):
        """Neither the alert nor the trail."""
        with transaction(engine) as connection:
            alert = open_alert(connection)
            done = _move(connection, alert, "resolve")
        with (
            pytest.raises(ConflictError, match="is resolved and cannot be acknowledged"),
            transaction(engine) as connection,
        ):
            _move(connection, alert, "acknowledge")

        with transaction(engine) as connection:
            assert alerts.get(connection, alert.id) == done
            assert len(audit.latest(connection)) == 2

    @pytest.mark.parametrize("until", [None, NOW, NOW - timedelta(days=1)])
    def test_sleep_needs_an_end_to_come(self, engine: Engine, until: datetime | None):
        """A snooze without an end is a way to lose an alert."""
        with (
            pytest.raises(UsageError, match="name a moment after now"),
            transaction(engine) as connection,
        ):
            _move(connection, open_alert(connection), "snooze", until=until)

    def test_an_unknown_number_is_said_to_be_so(self, engine: Engine):
        """With where to look."""
        with (
            pytest.raises(NotFoundError, match="there is no alert 99; weakspot alerts list"),
            transaction(engine) as connection,
        ):
            alerts.move(connection, 99, "resolve", by="ann", now=NOW)

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(st.sampled_from(DEEDS), max_size=8))
    def test_the_row_is_whole_after_any_deeds(self, engine: Engine, deeds: list[Any]):
        """Asleep exactly while there is a moment to wake, over exactly once there is an end."""
        with engine.connect() as connection, connection.begin() as undone:
            alert = open_alert(connection)
            for deed in deeds:
                until = NOW + timedelta(hours=1) if deed == "snooze" else None
                try:
                    alert = _move(connection, alert, deed, until=until)
                except ConflictError:
                    continue
            assert (alert.state == "snoozed") == (alert.snoozed_until is not None)
            assert (alert.state == "resolved") == (alert.resolved_at is not None)
            undone.rollback()


class TestWaking:
    """What sleeps wakes by itself."""

    def test_when_its_moment_has_come(self, engine: Engine):
        """Once."""
        with transaction(engine) as connection:
            alert = open_alert(connection)
            _move(connection, alert, "snooze", until=NOW + timedelta(hours=8))
            early = alerts.wake_due(connection, now=NOW + timedelta(hours=7))
            woken = alerts.wake_due(connection, now=NOW + timedelta(hours=8))
            again = alerts.wake_due(connection, now=NOW + timedelta(hours=9))

        assert (early, [each.state for each in woken], again) == ([], ["open"], [])


class TestWorse:
    """Worse than people were told: 12 of 20."""

    def _worse(self, connection: Connection, after: int, correct: int, n: int) -> list[Told]:
        answered(connection, DAY + timedelta(days=after), Cat=(correct, n))
        return [each.was_told()[-1] for each in worsening.take_worsened(connection)]

    def test_is_told_when_it_is_shown_and_once(self, engine: Engine):
        """One bad day of five images shows nothing; five such days do."""
        with transaction(engine) as connection:
            open_alert(connection)
            told = [self._worse(connection, after, 0, 5) for after in range(1, 8)]

        shown = [i for i, each in enumerate(told, start=1) if each]
        assert len(shown) == 1
        assert 2 <= shown[0] <= 4
        (now,) = told[shown[0] - 1]
        assert (now.since, now.n, now.correct) == (DAY + timedelta(days=1), 5 * shown[0], 0)

    def test_is_not_a_class_that_stays_where_it_fell(self, engine: Engine):
        """Three weeks at six of ten tell nothing, whatever the evidence does."""
        with transaction(engine) as connection:
            open_alert(connection)
            told = [self._worse(connection, after, 6, 10) for after in range(1, 22)]

        assert not any(told)

    def test_is_shown_by_the_last_week_after_a_long_quiet(self, engine: Engine):
        """Two hundred images at 60 % must not hide that it fell to nothing since."""
        with transaction(engine) as connection:
            open_alert(connection)
            quiet = [self._worse(connection, after, 12, 20) for after in range(1, 41)]
            told = [self._worse(connection, after, 0, 20) for after in range(41, 46)]

        assert not any(quiet)
        assert sum(map(bool, told)) == 1

    def test_compares_with_what_was_told_last(self, engine: Engine):
        """From 12 of 20 to 4 of 20 is news; that it stays there is none."""
        with transaction(engine) as connection:
            open_alert(connection)
            told = [self._worse(connection, after, 4, 20) for after in range(1, 15)]
            (alert,) = alerts.latest(connection)

        assert sum(map(bool, told)) == 1
        assert [(each.correct < each.n * 0.5) for each in alert.was_told()] == [False, True]
        assert alert.level == 1

    def test_waits_until_a_snoozed_alert_wakes(self, engine: Engine):
        """Sleep is sleep; but what became worse in it is told at its end."""
        with transaction(engine) as connection:
            alert = open_alert(connection)
            _move(connection, alert, "snooze", until=NOW + timedelta(hours=8))
            asleep = self._worse(connection, 1, 0, 40)
            alerts.wake_due(connection, now=NOW + timedelta(hours=8))
            awake = worsening.take_worsened(connection)

        assert (asleep, [each.id for each in awake]) == ([], [alert.id])

    def test_is_no_news_of_what_is_over_or_told_anyway(self, engine: Engine):
        """Somebody has closed the one; the other is in the same message."""
        with transaction(engine) as connection:
            _move(connection, open_alert(connection, "Cat"), "resolve")
            flag = open_alert(connection, "Dog").flag
            assert flag is not None
            answered(connection, DAY + timedelta(days=1), Cat=(0, 40), Dog=(0, 40))

            assert worsening.take_worsened(connection, but={flag}) == []

    def test_days_before_the_telling_say_nothing(self, engine: Engine):
        """Late labels of last week are not news of today."""
        with transaction(engine) as connection:
            open_alert(connection)

            assert self._worse(connection, -3, 0, 40) == []


class TestEvidence:
    """The largest evidence, which is shown."""

    def _noted(self, connection: Connection, version: str, day: date, evidence: float) -> float:
        worsening.note_evidence(connection, version, day, {"Cat": evidence})
        return alerts.latest(connection)[0].peak

    def test_is_of_the_flags_version(self, engine: Engine):
        """A replay of last month's v0 at a million says nothing about v1's Cat."""
        with transaction(engine) as connection:
            open_alert(connection, evidence=400.0)
            other = self._noted(connection, "v0", DAY, 1e6)
            before = self._noted(connection, "v1", DAY - timedelta(days=1), 1e6)
            own = self._noted(connection, "v1", DAY, 1e6)

            assert (other, before, own) == (400.0, 400.0, 1e6)
            assert worsening.take_worsened(connection) == []

    @pytest.mark.parametrize("evidence", [float("inf"), 1e308])
    def test_has_an_end(self, engine: Engine, evidence: float):
        """Certainty is a number, too."""
        with transaction(engine) as connection:
            open_alert(connection)

            assert self._noted(connection, "v1", DAY, evidence) == 1e300


class TestMistakenFor:
    """The one class that an alert names."""

    def test_is_the_one_with_the_evidence_by_now(self, engine: Engine):
        """Whoever reads the alert and whoever reads its evidence hear the same name."""
        found = {"cause": "model", "confused": {"label": "Dog", "e_value": 40.0}}
        with transaction(engine) as connection:
            flag = open_alert(connection).flag
            assert flag is not None
            named: list[str | None] = []
            for evidence in (found, {"cause": "unclear", "confused": None}):
                alerts.set_evidence(connection, flag, evidence)
                named.append(alerts.latest(connection)[0].confused_with)

        assert named == ["Dog", "Dog"]


class TestNotices:
    """Alerts about no class."""

    def _raise(self, connection: Connection) -> Alert | None:
        return notices.raise_once(
            connection, "monitor", "day 2026-03-09", title="t", body="b", now=NOW
        )

    def test_f13_have_one_alert_per_cause_however_often_noticed(self, engine: Engine):
        """F13, for what is not a class; and again when it comes back."""
        with transaction(engine) as connection:
            first, second = self._raise(connection), self._raise(connection)
            over = notices.resolve(connection, "monitor", "day 2026-03-09", now=NOW)
            third = self._raise(connection)

        assert first is not None
        assert (first.label, first.flag, second) == (None, None, None)
        assert over == replace(first, state="resolved", resolved_at=NOW)
        assert third is not None
        assert third.id != first.id

    def test_that_were_never_raised_cannot_end(self, engine: Engine):
        """Nothing happens."""
        with transaction(engine) as connection:
            assert notices.resolve(connection, "monitor", "x", now=NOW) is None


class TestUpgrade:
    """F23: from the schema before."""

    _OLD = """
        INSERT INTO flags
               (id, kind, label, version, since, raised_on, raised_at, evidence, threshold)
        VALUES (1, 'change', 'Cat', 'v1', '2026-03-09', '2026-03-09', '2026-03-10Z', 5400, 300);
        INSERT INTO alerts (flag, at, state, title, body, confused_with, images)
        VALUES (1, '2026-03-10Z', 'open', 't', 'b', NULL, '[]');
    """

    def test_old_alerts_are_not_told_anew(self, engine: Engine, database_url: str):
        """What was known before counts as told."""
        database.downgrade(database_url, "0002")
        with engine.begin() as connection:
            connection.execute(sa.text(self._OLD))
        database.upgrade(database_url)

        with transaction(engine) as connection:
            (alert,) = alerts.latest(connection)
            worse = worsening.take_worsened(connection)
        assert (alert.kind, alert.peak, alert.level, worse) == ("change", 5400.0, 3, [])

    _BEFORE_0008 = """
        INSERT INTO class_days (day, version, label, n, correct, confused, low, high)
        VALUES ('2026-03-08', 'v1', 'Cat', 10, 9, '{}', 0, 1),
               ('2026-03-09', 'v1', 'Cat', 10, 3, '{}', 0, 1),
               ('2026-03-09', 'v2', 'Cat', 10, 0, '{}', 0, 1);
        INSERT INTO deliveries
               (channel, dedup_key, message, created_at, due_at, state, attempts)
        VALUES ('ops', 'a', '{"news": [{"alert": 7}, {"alert": 9}]}', now(), now(), 'waiting', 0),
               ('ops', 'b', '{"title": "a test"}', now(), now(), 'waiting', 0);
    """

    def test_what_was_told_and_what_waits_is_known_after_it(
        self, engine: Engine, database_url: str
    ):
        """Or no old alert could become worse, and "resolved" might overtake "weak"."""
        database.downgrade(database_url, "0007")
        with engine.begin() as connection:
            connection.execute(sa.text(self._OLD + self._BEFORE_0008))
        database.upgrade(database_url)

        with transaction(engine) as connection:
            (alert,) = alerts.latest(connection)
            waiting = outbox.latest(connection)[::-1]
        assert alert.was_told() == [Told(DAY, DAY, 10, 3)]
        assert [each.alerts for each in waiting] == [[7, 9], []]

    def test_the_code_before_runs_on_this_schema(self, engine: Engine):
        """While a release is rolled out, both write."""
        with engine.begin() as connection:
            connection.execute(sa.text(self._OLD))

        with transaction(engine) as connection:
            assert [each.kind for each in alerts.latest(connection)] == ["change"]
