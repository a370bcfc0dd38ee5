"""An outbox of alerts whose clock the test moves.

office = Office(engine)
office.channels({"name": "ops", "url": receiver.url})
office.put("ops", "key")
office.deliver()
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from core import telling
from core.clock import FixedClock
from core.store import alert_rules, outbox
from core.store.alert_policy import parse
from core.store.database import transaction
from core.store.outbox import Delivery, NewDelivery
from core.telling import News
from monitor.messages import delivery
from monitor.messages.channels import Means
from monitor.messages.delivery import Postage, Round
from tests.integration.test_alerts import open_alert
from tests.receiver import HERE

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
