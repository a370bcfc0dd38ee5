"""The outbox and its postman: real Postgres, real processes, a real receiver that misbehaves."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from core import telling
from core.clock import FixedClock
from core.errors import ConflictError
from core.store import alert_rules, alerts, outbox
from core.store.alert_policy import parse
from core.store.database import transaction
from core.store.outbox import Delivery, NewDelivery
from core.telling import News
from monitor.messages import delivery
from monitor.messages.channels import Means
from monitor.messages.delivery import Postage, Round
from tests.integration.test_alerts import DAY, answered, open_alert
from tests.receiver import HERE, Answer, receiving

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
SECRET = "a-secret-of-many-characters"
POSTAGE = Postage(Means({"WEAKSPOT_SECRET": SECRET}, HERE, timeout_s=5.0), attempts=3)


@dataclass
class Office:
    """An outbox, and a clock that the test moves."""

    engine: Engine
    postage: Postage = POSTAGE
    now: datetime = NOW
    rules: dict[str, Any] = field(default_factory=dict)

    def channels(self, *given: dict[str, Any], **rules: Any) -> None:
        """Set who hears; webhooks are signed."""
        data = {"channels": [{"secret": "env:WEAKSPOT_SECRET"} | each for each in given]} | rules
        with transaction(self.engine) as connection:
            alert_rules.write(connection, parse(data), by="test", now=self.now)

    def put(self, channel: str, key: str, **changed: Any) -> None:
        """Put a message in."""
        message = {"title": key, "body": key, "mood": "bad", "news": []}
        new = NewDelivery(channel, key, message, self.now, self.now)
        new = replace(new, **changed)
        with transaction(self.engine) as connection:
            outbox.put(connection, new)

    def deliver(self) -> Round:
        """Send what is due."""
        return delivery.deliver(self.engine, self.postage, FixedClock(self.now))

    def all(self) -> list[Delivery]:
        """Return every message, the oldest first."""
        with transaction(self.engine) as connection:
            return outbox.latest(connection)[::-1]

    def tell(self, *labels: str, evidence: float = 400.0) -> int:
        """Raise alerts, and tell of them."""
        with transaction(self.engine) as connection:
            raised = [open_alert(connection, label, evidence) for label in labels]
            return telling.tell(connection, [News("opened", a) for a in raised], now=self.now)


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

    def test_f24_a_channel_that_fails_gets_it_later_with_the_same_key(self, office: Office):
        """Waits grow, and one delivery follows."""
        with receiving(Answer(500), Answer(503), Answer(200)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.tell("Cat")
            waits = []
            for _ in range(2):
                assert office.deliver() == Round(put_off=1)
                assert office.deliver() == Round(), "not before its time"
                (put_off,) = office.all()
                waits.append((put_off.due_at - office.now).total_seconds())
                office.now = put_off.due_at
            last = office.deliver()

        assert (last, len(receiver.requests), len(set(receiver.keys))) == (Round(sent=1), 3, 1)
        assert 15 <= waits[0] <= 30 <= waits[1] <= 60

    def test_a_receiver_may_say_when_to_come_again(self, office: Office):
        """Retry-After is believed."""
        with receiving(Answer(429, {"Retry-After": "1800"})) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "k")
            office.deliver()

        assert office.all()[0].due_at == NOW + timedelta(minutes=30)

    def test_and_is_believed_for_all_that_waits(self, office: Office):
        """Or each of ten messages would knock once."""
        with receiving(Answer(429, {"Retry-After": "1800"})) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "a", alerts=[1])
            office.put("ops", "b", alerts=[2])
            office.deliver()
            office.now += timedelta(minutes=29)
            office.deliver()

        assert receiver.keys == ["a"]

    def test_after_the_last_attempt_it_is_dead_and_visible(
        self, office: Office, caplog: pytest.LogCaptureFixture
    ):
        """Kept with its reason, shouted once; by hand it gets as many attempts again."""
        with receiving(Answer(500)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "k")
            rounds = []
            for _ in range(3):
                rounds.append(office.deliver())
                office.now += timedelta(hours=1)
            (dead,) = office.all()
            with transaction(office.engine) as connection:
                counts = outbox.counts(connection)
                outbox.retry(connection, dead.id, by="ann", now=office.now)
            again = office.deliver()

        assert rounds == [Round(put_off=1), Round(put_off=1), Round(given_up=1)]
        assert (dead.state, dead.attempts, dead.last_error) == ("dead", 3, "HTTP 500")
        assert (counts["dead"], again) == (1, Round(put_off=1))
        assert [r.levelname for r in caplog.records if "will not have" in r.message] == ["ERROR"]

    def test_only_the_dead_are_brought_back(self, office: Office):
        """What waits is on its way."""
        office.put("ops", "k")
        with (
            pytest.raises(ConflictError, match="is waiting; only a dead one is retried"),
            transaction(office.engine) as connection,
        ):
            outbox.retry(connection, office.all()[0].id, by="ann", now=NOW)

    def test_a_channel_that_hangs_holds_up_no_other(self, office: Office):
        """It drips a byte now and then, which no timeout for silence would notice."""
        office.postage = Postage(Means(POSTAGE.means.variables, HERE, timeout_s=1.0))
        with receiving(Answer(200, hang_s=30)) as slow, receiving() as quick:
            office.channels({"name": "slow", "url": slow.url}, {"name": "quick", "url": quick.url})
            office.put("slow", "a")
            office.put("quick", "b")
            began = time.monotonic()
            sender = threading.Thread(target=office.deliver)
            sender.start()
            quick.wait_for(1)
            sender.join(20)

        states = {d.channel: (d.state, d.last_error) for d in office.all()}
        assert time.monotonic() - began < 10
        assert states == {"slow": ("waiting", "no end of it within 1 s"), "quick": ("sent", None)}

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

    def test_a_message_that_fails_is_passed_by_news_of_other_alerts(self, office: Office):
        """An urgent one does not wait half a day behind one that the receiver will not have."""
        with receiving(Answer(400), Answer(200)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "bad", alerts=[1])
            office.put("ops", "same alert", alerts=[1, 2])
            office.put("ops", "behind that", alerts=[2])
            office.put("ops", "other", alerts=[3])
            office.deliver()

        assert receiver.keys == ["bad", "other"]

    def test_the_urgent_go_first(self, office: Office):
        """Of what is due."""
        with receiving() as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "a", alerts=[1])
            office.put("ops", "fire", alerts=[2], urgent=True)
            office.deliver()

        assert receiver.keys == ["fire", "a"]

    def test_a_channel_that_is_down_gets_one_attempt_a_look(self, office: Office):
        """A hundred messages to one that hangs must not hold up the others."""
        with receiving(Answer(503)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            for number in range(5):
                office.put("ops", f"k{number}", alerts=[number])
            done = office.deliver()

        assert (done, len(receiver.requests)) == (Round(put_off=1), 1)

    @pytest.mark.parametrize("status", [400, 401, 404, 410, 413])
    def test_what_is_understood_and_refused_is_given_up_soon(self, office: Office, status: int):
        """Three tries within 45 minutes; half a day of them changes nothing."""
        office.postage = Postage(POSTAGE.means, attempts=20)
        with receiving(Answer(503), Answer(status)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "k")
            rounds = []
            for _ in range(4):
                rounds.append(office.deliver())
                office.now += timedelta(minutes=45)

        assert rounds == [*[Round(put_off=1)] * 3, Round(given_up=1)]
        assert len(receiver.requests) == 4
        assert office.all()[0].last_error == f"HTTP {status}"

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

    def test_two_monitors_send_each_message_once(self, office: Office):
        """F04: SKIP LOCKED, and a lease."""
        with receiving() as receiver:
            office.channels(*({"name": f"c{i}", "url": receiver.url} for i in range(6)))
            for i in range(6):
                office.put(f"c{i}", f"k{i}")
            with ThreadPoolExecutor(2) as pool:
                rounds = list(pool.map(lambda _: office.deliver(), range(2)))

        assert sorted(receiver.keys) == [f"k{i}" for i in range(6)]
        assert sum(rounds, Round()) == Round(sent=6)

    def test_two_monitors_share_one_channel_without_doubles(self, office: Office):
        """Between looking and locking, the other may have taken it."""
        with receiving() as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            for number in range(12):
                office.put("ops", f"k{number:02}", alerts=[number % 3])
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda _: office.deliver(), range(3)))
            office.deliver()

        assert sorted(str(key) for key in receiver.keys) == [f"k{i:02}" for i in range(12)]
        for alert in range(3):
            of_one = [key for key in receiver.keys if int(str(key)[1:]) % 3 == alert]
            assert of_one == sorted(map(str, of_one))

    def test_f05_killed_between_sending_and_marking_it_is_one_double_with_the_same_key(
        self, office: Office, database_url: str
    ):
        """The receiver can tell, and nothing is lost."""
        with receiving(Answer(200, hang_s=2), Answer(200)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "k")
            code = _DELIVER.format(url=database_url, secret=SECRET, here=HERE)
            program = subprocess.Popen([sys.executable, "-c", code])
            receiver.wait_for(1)
            program.send_signal(signal.SIGKILL)
            program.wait(10)
            held = office.deliver()
            office.now += timedelta(hours=1)
            freed = office.deliver()

        assert (held, freed) == (Round(), Round(sent=1))
        assert receiver.keys == ["k", "k"]

    def test_f06_whoever_lost_the_lease_cannot_mark_it(self, office: Office):
        """A monitor that slept through its lease has nothing to say about the message any more."""
        office.put("ops", "k")
        with transaction(office.engine) as connection:
            (first,) = outbox.claim(connection, now=NOW, lease_s=60, most=8)
            later = NOW + timedelta(minutes=2)
            (second,) = outbox.claim(connection, now=later, lease_s=60, most=8)
            marked = [outbox.mark_sent(connection, each, now=later) for each in (first, second)]

        assert (first.id, marked) == (second.id, [False, True])

    def test_f07_a_clock_set_back_frees_what_was_taken_before(self, office: Office):
        """Or a lease of tomorrow would hold a message until then."""
        office.put("ops", "k")
        with transaction(office.engine) as connection:
            outbox.claim(connection, now=NOW + timedelta(days=1), lease_s=60, most=8)

            assert len(outbox.claim(connection, now=NOW, lease_s=60, most=8)) == 1

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


_DELIVER = """
from datetime import UTC, datetime
from core.clock import FixedClock
from core.store import database
from monitor.messages import delivery
from monitor.messages.channels import Means
from monitor.messages.delivery import Postage
delivery.deliver(
    database.create_engine({url!r}),
    Postage(Means({{"WEAKSPOT_SECRET": {secret!r}}}, {here!r}, 5.0)),
    FixedClock(datetime(2026, 3, 10, 2, tzinfo=UTC)),
)
"""
