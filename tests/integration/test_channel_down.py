"""F24: a receiver that is down for an hour, while the monitor's clock is driven through it."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from core.store import last_runs
from core.store.database import transaction
from monitor.messages.delivery import Postage
from tests.faults import gate
from tests.office import NOW, POSTAGE, Office
from tests.receiver import Answer, receiving

MINUTE = timedelta(minutes=1)


@pytest.fixture
def office(engine: Engine) -> Office:
    """An outbox that tries as often as the product does."""
    return Office(engine, Postage(POSTAGE.means))


def _live(office: Office, minutes: int) -> int:
    """Look at the outbox once a minute; return how many attempts failed."""
    failed = 0
    for _ in range(minutes):
        failed += office.deliver().put_off
        office.now += MINUTE
    return failed


class TestAnHour:
    """No message is lost, and none comes twice."""

    def test_f24_of_refused_connections_ends_with_each_message_delivered_once(self, office: Office):
        """Tried ever more rarely meanwhile; after it, with the key that was promised."""
        with receiving() as receiver, gate(receiver.url) as way:
            office.channels({"name": "ops", "url": way.url})
            way.shut()
            for number in range(3):
                office.put("ops", f"m{number}")
            failed = _live(office, 60)
            before = list(receiver.requests)
            way.open()
            _live(office, 61)

        assert (before, sorted(filter(None, receiver.keys))) == ([], ["m0", "m1", "m2"])
        assert 3 <= failed <= 3 * 10
        assert {each.state for each in office.all()} == {"sent"}

    def test_f24_of_503_that_name_a_time_is_waited_through(self, office: Office):
        """Seven attempts and not seventy: the receiver said when to come again."""
        busy = Answer(503, {"Retry-After": "600"})
        with receiving(*[busy] * 6, Answer(200)) as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "m0")
            failed = _live(office, 60)
            tried = len(receiver.requests)
            # The wait is ten minutes, and never much more than doubles by itself.
            _live(office, 60)

        assert (failed, tried) == (6, 6)
        assert receiver.keys == ["m0"] * 7
        (message,) = office.all()
        assert (message.state, message.attempts) == ("sent", 7)

    def test_what_was_sent_last_is_among_the_last_runs(self, office: Office):
        """An idle look is written down once a minute at most, a busy one always."""
        with receiving() as receiver:
            office.channels({"name": "ops", "url": receiver.url})
            office.put("ops", "m0")
            office.deliver()
            office.now += timedelta(seconds=30)
            office.deliver()

        with transaction(office.engine) as connection:
            (errand,) = last_runs.last_errands(connection)
        assert (errand.kind, errand.started_at) == (last_runs.DELIVERY, NOW)
        assert errand.detail["sent"] == 1
