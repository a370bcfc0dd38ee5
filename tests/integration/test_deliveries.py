"""The outbox and its postman: what gets into it, and what leaves it, in which order."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from core import telling
from core.store import alerts
from core.store.database import transaction
from core.telling import News
from monitor.messages import delivery
from monitor.messages.delivery import Round
from tests.integration.test_alerts import DAY, answered, open_alert
from tests.office import NOW, Office
from tests.receiver import Answer, receiving


@pytest.fixture
def office(engine: Engine) -> Office:
    """An empty outbox."""
    return Office(engine)


class TestTelling:
    """What gets into the outbox."""

    def test_is_there_exactly_if_its_cause_is(self, office: Office):
        """One transaction: an alert that was rolled back is told to nobody."""
        office.channels({"name": "ops", "url": "https://h.example/"})

        class CrashError(Exception):
            """The monitor dies."""

        with suppress(CrashError), transaction(office.engine) as connection:
            alert = open_alert(connection)
            assert telling.tell(connection, [News("opened", alert)], now=NOW) == 1
            raise CrashError

        assert office.all() == []

    def test_f13_ten_weak_classes_are_one_message_a_channel(self, office: Office):
        """F13."""
        office.channels(
            {"name": "ops", "url": "https://h.example/"},
            {"name": "boss", "url": "https://b.example/"},
        )
        office.tell(*(f"Class {i}" for i in range(10)))

        assert [(d.channel, len(d.message["news"])) for d in office.all()] == [
            ("ops", 10),
            ("boss", 10),
        ]

    def test_each_channel_hears_what_is_for_it(self, office: Office):
        """Who keeps the spiders is not called for a cat; of a class left out nobody hears."""
        office.channels(
            {"name": "cats", "url": "https://c.example/", "classes": ["Cat"]},
            {"name": "monitor", "url": "https://m.example/", "kinds": ["monitor"]},
            {"name": "all", "url": "https://a.example/"},
            left_out=["Dog"],
        )
        office.tell("Cat", "Spider", "Dog")

        heard = {d.channel: [each["label"] for each in d.message["news"]] for d in office.all()}
        assert heard == {"cats": ["Cat"], "all": ["Cat", "Spider"]}

    def test_the_same_news_is_put_in_once(self, office: Office):
        """F05: a step that is run again tells nothing twice."""
        office.channels({"name": "ops", "url": "https://h.example/"})
        office.tell("Cat")
        with transaction(office.engine) as connection:
            (alert,) = alerts.latest(connection)
            again = telling.tell(connection, [News("opened", alert)], now=NOW)

        assert (again, len(office.all())) == (0, 1)

    def test_quiet_hours_are_waited_for_unless_it_is_urgent(self, office: Office):
        """02:00 UTC is three in the morning in Berlin."""
        quiet = {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"}
        office.channels(
            {"name": "ops", "url": "https://h.example/"},
            quiet_hours=quiet | {"urgent_classes": ["Fire"]},
        )
        office.tell("Cat")
        office.tell("Fire")

        assert [d.due_at for d in office.all()] == [datetime(2026, 3, 10, 6, tzinfo=UTC), NOW]


class TestSending:
    """What leaves it."""

    def test_a_message_is_sent_once_and_signed(self, office: Office):
        """And then never again."""
        with receiving() as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.tell("Cat")
            rounds = [office.deliver(), office.deliver()]

        (sent,) = office.all()
        assert (rounds, sent.state) == ([Round(sent=1), Round()], "sent")
        assert receiver.keys == [sent.dedup_key]
        assert receiver.requests[0].json["news"][0]["label"] == "Cat"
        assert receiver.requests[0].headers["Weakspot-Signature"].startswith("t=")

    def test_what_is_told_of_an_alert_arrives_in_order(self, office: Office):
        """'Resolved' must not overtake 'weak'; another channel is not held up."""
        with receiving(Answer(500), Answer(200)) as broken, receiving() as sound:
            office.channels({"name": "a", "url": broken.url}, {"name": "b", "url": sound.url})
            for channel, key in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")):
                office.put(channel, key, alerts=[7])
            rounds = [office.deliver(), office.deliver()]
            office.now += timedelta(hours=1)
            last = office.deliver()

        assert (rounds, last) == ([Round(sent=2, put_off=1), Round()], Round(sent=2))
        assert (broken.keys, sound.keys) == (["a1", "a1", "a2"], ["b1", "b2"])

    def test_the_urgent_go_first(self, office: Office):
        """Of what is due."""
        with receiving() as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "a", alerts=[1])
            office.put("ops", "fire", alerts=[2], urgent=True)
            office.deliver()

        assert receiver.keys == ["fire", "a"]

    def test_quiet_hours_are_asked_for_when_it_leaves(self, office: Office):
        """Also for what was put in before there were any, and for what is tried again."""
        hours = {"start": "00:00", "end": "06:00", "zone": "UTC"}
        with receiving() as receiver:
            hook = {"name": "ops", "url": receiver.url}
            office.channels(hook)
            office.put("ops", "calm")
            office.put("ops", "urgent", urgent=True)
            office.now += timedelta(minutes=1)
            office.channels(hook, quiet_hours=hours)
            office.deliver()
            at_night = list(receiver.keys)
            office.now += timedelta(hours=4)
            office.deliver()

        assert (at_night, receiver.keys) == (["urgent"], ["urgent", "calm"])

    def test_what_waits_for_the_morning_lets_the_urgent_pass(self, office: Office):
        """Quiet hours hold back their own."""
        with receiving() as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "tomorrow", due_at=NOW + timedelta(hours=4))
            office.put("ops", "now")
            office.deliver()
            office.now += timedelta(hours=4)
            office.deliver()

        assert receiver.keys == ["now", "tomorrow"]

    def test_a_channel_that_is_gone_is_not_tried(self, office: Office):
        """Its messages are dead, not lost."""
        office.channels()
        office.put("ops", "k")

        assert office.deliver() == Round(given_up=1)
        assert "no channel of this name" in str(office.all()[0].last_error)

    def test_waking_tells_what_became_worse(self, office: Office):
        """The sleeper's first question."""
        office.channels({"name": "ops", "url": "https://h.example/"})
        with transaction(office.engine) as connection:
            alert = open_alert(connection)
            until = NOW + timedelta(hours=8)
            alerts.move(connection, alert.id, "snooze", by="ann", now=NOW, until=until)
            answered(connection, DAY + timedelta(days=1), Cat=(0, 40))
        delivery.wake(office.engine, now=until)

        assert [d.message["title"] for d in office.all()] == [
            "Cat is worse: 0 of 40 right from 2026-03-10 to 2026-03-10, told before: 12 of 20"
        ]
