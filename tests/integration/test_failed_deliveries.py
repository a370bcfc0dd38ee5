"""Receivers that fail, refuse or hang, and two postmen at one outbox."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from core.errors import ConflictError
from core.store import outbox
from core.store.database import transaction
from monitor.messages.channels import Means
from monitor.messages.delivery import Postage, Round
from tests.office import NOW, POSTAGE, SECRET, Office
from tests.receiver import HERE, Answer, receiving


@pytest.fixture
def office(engine: Engine) -> Office:
    """An empty outbox."""
    return Office(engine)


class TestFailing:
    """What a receiver did not take."""

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


class TestTwoMonitors:
    """Whoever takes a message holds it under a lease."""

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
