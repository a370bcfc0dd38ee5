"""F16: a champion that a service cannot load becomes an alert that people hear of."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core import refused_loads
from core.clock import FixedClock
from core.store import alert_rules, notices, outbox, registry
from core.store.alert_policy import parse
from core.store.alerts import Alert
from core.store.database import transaction
from core.store.registry import Load
from dashboard.pages.health import gather
from dashboard.pages.health.verdict import of_overview
from service.upkeep import Upkeep
from tests.faults import promote
from tests.pool import register

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
CHANNEL = {"name": "ops", "url": "https://hooks.example.com/x", "secret": "env:WEAKSPOT_SECRET"}


@dataclass
class Services:
    """Services that report what they could load, and whoever looks at it."""

    engine: Engine

    def report(self, name: str, version: str, *, ok: bool, minutes: float = 0.0) -> None:
        """Let a service write down an attempt, and look, as a service does."""
        at = NOW + timedelta(minutes=minutes)
        detail = "by onnxruntime-fp32" if ok else "model.onnx was altered"
        with transaction(self.engine) as connection:
            registry.record_load(connection, Load(version, name, at, ok, detail, 1.0))
            refused_loads.follow(connection, now=at)

    def look(self, minutes: float) -> None:
        """Look without an attempt, as every service does every five minutes."""
        clock = FixedClock(NOW + timedelta(minutes=minutes))
        Upkeep(self.engine, clock=clock, retention_days=30).look_for_refused_loads()

    def alert(self) -> Alert | None:
        """Return the alert that is not over."""
        with transaction(self.engine) as connection:
            return notices.unresolved(connection, "load", "v2")

    def told(self) -> list[str]:
        """Return the titles of all messages, the oldest first."""
        with transaction(self.engine) as connection:
            return [each.message["title"] for each in outbox.latest(connection)[::-1]]


@pytest.fixture
def services(engine: Engine, tmp_path: Path) -> Services:
    """Two services that serve v1, while v2 has just become the champion."""
    register(engine, tmp_path / "bundles")
    register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
    with transaction(engine) as connection:
        alert_rules.write(connection, parse({"channels": [CHANNEL]}), by="test", now=NOW)
    found = Services(engine)
    for name in ("a", "b"):
        found.report(name, "v1", ok=True, minutes=-60)
    promote(engine, "v2")
    return found


class TestRefusedLoads:
    """`core.refused_loads`, asked by whoever looks."""

    def test_is_told_once_whatever_the_number_of_services(self, services: Services):
        """Ten services with one broken bundle are one fault."""
        for minutes in (0, 5, 10):
            services.report("a", "v2", ok=False, minutes=minutes)
            services.report("b", "v2", ok=False, minutes=minutes)

        assert services.told() == ["v2 is the champion, and a service cannot load it"]

    def test_says_who_why_and_what_serves_meanwhile(self, services: Services):
        """What somebody at night has to know first is whether anything serves."""
        services.report("a", "v2", ok=False)
        services.report("new", "v2", ok=False)

        alert = services.alert()

        assert alert is not None
        assert "a goes on serving v1: model.onnx was altered" in alert.body
        assert [each["service"] for each in alert.evidence["refused"]] == ["a", "new"]
        assert [each["serves"] for each in alert.evidence["refused"]] == ["v1", None]

    def test_is_over_when_the_service_has_loaded_it(self, services: Services):
        """The shared folder was slow, say."""
        services.report("a", "v2", ok=False)
        services.report("a", "v2", ok=True, minutes=1)

        assert services.alert() is None
        assert services.told()[-1].startswith("Resolved: v2 is the champion")

    def test_stays_while_another_service_refuses_it(self, services: Services):
        """One machine of two has the broken disk."""
        services.report("a", "v2", ok=False)
        services.report("b", "v2", ok=True)
        services.look(10)

        assert services.alert() is not None

    def test_waits_for_no_service_that_is_gone(self, services: Services):
        """It was stopped; nobody will ever say that it can load the version now."""
        services.report("a", "v2", ok=False)
        services.report("b", "v2", ok=True)
        services.look(16)

        assert services.alert() is None

    def test_is_not_over_because_nobody_is_left_to_refuse(self, services: Services):
        """Every service was stopped: no good news."""
        services.report("a", "v2", ok=False)
        services.look(600)

        assert services.alert() is not None

    def test_is_over_when_another_version_is_the_champion(self, services: Services):
        """Rolled back: nobody has to load it any more."""
        services.report("a", "v2", ok=False)
        promote(services.engine, "v1")
        services.look(1)

        assert services.alert() is None

    def test_heads_the_dashboards_sentence(self, services: Services):
        """Whoever looks there learns it first."""
        services.report("a", "v2", ok=False)

        with transaction(services.engine) as connection:
            said = of_overview(gather.overview(connection, days=3, now=NOW))

        assert said.tone == "bad"
        assert "v2 is the champion, and a service cannot load it" in str(said.sentence)
