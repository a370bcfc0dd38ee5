"""`GET /v1/health/classes`, over a real port: what the monitor wrote down when it judged."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.store import health_days, keys
from core.store.database import transaction
from core.store.health_days import HealthDay
from core.store.keys import Grant
from monitor import daily, replay
from monitor.health import health
from monitor.page import MonitorOptions
from tests.pool import add_pictures, day, night_after, register
from tests.serving import serving

OPTIONS = MonitorOptions(per_class=4, retrain=False)


@pytest.fixture
def client(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service without a model, which this does not need."""
    with serving(engine, tmp_path) as client:
        yield client


def examine(engine: Engine, home: Path, number: int) -> None:
    """Examine a day in the night after it."""
    daily.run(
        engine,
        day(number),
        options=OPTIONS,
        clock=night_after(number),
        holder="test",
        reports=home / "reports",
    )


@pytest.mark.postgres
class TestHealthOfClasses:
    """What other programs read."""

    def test_is_what_the_monitor_said_when_it_judged(
        self, engine: Engine, client: httpx.Client, tmp_path: Path
    ):
        """Numbers by class, for the day asked for and for the latest."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=10, shown_as={"Spider": "Cat"})
        for number in (1, 2):
            examine(engine, tmp_path, number)
        with transaction(engine) as connection:
            whole = health(connection, day(2), options=OPTIONS)
        said = {row["label"]: row for row in whole["classes"]}

        first = client.get("/v1/health/classes", params={"day": day(1).isoformat()}).json()
        latest = client.get("/v1/health/classes").json()

        assert (first["day"], latest["day"], latest["version"]) == (
            "2026-03-01",
            "2026-03-02",
            "v1",
        )
        assert first["draw"] == "adaptive"
        for row in latest["classes"]:
            kept = {name: said[row["label"]][name] for name in row}
            assert row == kept
        assert [row["label"] for row in latest["needs_labels"]] == ["Spider"]
        assert (latest["correlation"], latest["pooled"]) == (whole["correlation"], whole["pooled"])
        assert latest["correlation"]["one_bet_a_group"] is False
        assert latest["pooled"]["n"] == whole["pooled"]["n"]

    def test_is_not_found_where_nobody_examined(self, client: httpx.Client):
        """Neither the day asked for, nor any."""
        answers = [
            client.get("/v1/health/classes", params=asked) for asked in ({"day": day(1)}, {})
        ]

        assert [each.status_code for each in answers] == [404, 404]
        assert "2026-03-01" in answers[0].json()["detail"]

    @pytest.mark.parametrize("text", ["yesterday", "0", "1700000000", "2026-02-30", "2026-3-1", ""])
    def test_refuses_what_is_no_day(self, client: httpx.Client, text: str):
        """A number is not taken for seconds since 1970."""
        assert client.get("/v1/health/classes", params={"day": text}).status_code == 422

    def test_needs_a_key_that_may_read(self, engine: Engine, tmp_path: Path):
        """Where keys are asked for, this is no exception."""
        now = datetime.now(UTC)
        with transaction(engine) as connection:
            predict, read = (
                keys.create(connection, name, Grant([name]), by="test", now=now)[1]
                for name in ("predict", "read")
            )
        with serving(engine, tmp_path, require_keys=True) as client:
            codes = [
                client.get("/v1/health/classes", headers=headers).status_code
                for headers in (
                    {},
                    {"Authorization": f"Bearer {predict}"},
                    {"Authorization": f"Bearer {read}"},
                )
            ]

        assert codes == [401, 403, 404]


@pytest.mark.postgres
class TestHealthBook:
    """The documents behind it."""

    def test_is_written_anew_by_a_replay(self, engine: Engine, tmp_path: Path):
        """Late labels change what is read, too."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=8)
        examine(engine, tmp_path, 1)
        with transaction(engine) as connection:
            before = health_days.get(connection, day(1))
            health_days.write(connection, HealthDay(day(1), "v1", before.judged_at, {}))

        replay.replay(engine, day(1), day(1), options=OPTIONS, clock=night_after(3), by="test")

        with transaction(engine) as connection:
            after = health_days.get(connection, day(1))
        assert after.document["classes"] == before.document["classes"]
        assert after.judged_at > before.judged_at
