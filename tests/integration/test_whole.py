"""The model as a whole against real rows: its alert, its end, and images that belong together."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import (
    alert_rules,
    alerts,
    audit,
    class_days,
    model_days,
    notices,
    outbox,
    validations,
)
from core.store.alert_policy import parse
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.registry import Version
from core.store.validations import Draw
from monitor import daily
from monitor.health import health
from monitor.judgement import judging
from monitor.page import MonitorOptions
from tests.pool import add_pictures, day, night_after, register

LABELS = tuple(f"class {i:02}" for i in range(15))
REFERENCE: dict[str, dict[str, object]] = {
    label: {"n": 1000, "correct": 950, "confused": {}} for label in LABELS
}
HOOK = {"name": "ops", "url": "https://h.example/", "secret": "a-secret-of-many-characters"}


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """A champion of fifteen classes at 95 %, and one who hears."""
    with transaction(engine) as connection:
        rules = parse({"channels": [HOOK]})
        alert_rules.write(connection, rules, by="test", now=day_bounds(day(1))[0])
    return register(engine, tmp_path, labels=LABELS, reference=REFERENCE)


def judge(engine: Engine, version: Version, number: int, accuracy: float) -> None:
    """Let twenty images of each class be judged on a day, right this often."""
    rng = np.random.default_rng(number)
    rows = [
        ClassDay(day(number), "v1", label, 20, int(rng.binomial(20, accuracy)), {}, 0.0, 1.0)
        for label in LABELS
    ]
    now = day_bounds(day(number))[1] + timedelta(hours=2)
    with transaction(engine) as connection:
        if validations.get(connection, day(number), "v1") is None:
            drawn = Draw(day(number), "v1", 20, late=False, drawn_at=now)
            exam = validations.record_draw(connection, drawn, [])
            validations.finish(connection, exam, status="done", unreadable=0, now=now)
        class_days.write(connection, rows)
        judging.judge(
            connection, version, day(number), options=MonitorOptions(), now=now, by="test"
        )


def told(engine: Engine) -> list[str]:
    """Return the titles of the messages about the whole, in order."""
    with transaction(engine) as connection:
        titles = [each.message["title"] for each in outbox.latest(connection)[::-1]]
    return [title for title in titles if "as a whole" in title]


@pytest.mark.postgres
class TestAlertOfTheWhole:
    """Six points less everywhere, which no class would show for weeks."""

    def test_is_one_alert_from_the_drop_to_recovery(self, engine: Engine, version: Version):
        """Opened once, told once, closed by the recovery test."""
        for number in range(1, 41):
            judge(engine, version, number, 0.89 if 11 <= number <= 22 else 0.97)

        with transaction(engine) as connection:
            found = [each for each in alerts.latest(connection) if each.kind == "pooled"]
        assert [(each.state, each.cause) for each in found] == [("resolved", "all classes")]
        assert "No single class need be to blame" in found[0].body
        opened, resolved = told(engine)
        assert opened.startswith("v1 as a whole is worse since 2026-03-1")
        assert "resolved" in resolved.casefold()

    def test_is_withdrawn_when_late_labels_explain_it_away(self, engine: Engine, version: Version):
        """And the audit trail says which decision would have been another one."""
        for number in range(1, 19):
            judge(engine, version, number, 0.86 if number >= 11 else 0.97)
        assert len(told(engine)) == 1
        for number in range(18, 10, -1):
            judge(engine, version, number, 0.97)

        with transaction(engine) as connection:
            assert notices.unresolved(connection, "pooled", "all classes") is None
            changed = [
                each.detail
                for each in audit.latest(connection, 200)
                if each.subject == "all classes"
            ]
        assert {"raised", "not raised"} <= {
            word.split(" (")[0] for each in changed for word in (each["before"], each["after"])
        }


@pytest.mark.postgres
class TestImagesThatBelongTogether:
    """A burst is right or wrong together, and then it is one bet."""

    def test_are_one_bet_once_they_are_seen_to_be_alike(self, engine: Engine, tmp_path: Path):
        """Two sessions of Spider a day, the one all right and the other all wrong."""
        version = register(engine, tmp_path / "bundles")
        for number in (1, 2):
            taken = add_pictures(
                engine, tmp_path / "pool", day(number), shown_as={"Spider": "Cat"}, dimmed=0.25
            )
            add_pictures(engine, tmp_path / f"more {number}", day(number + 40))
            with transaction(engine) as connection:
                names = [str(path) for path in taken if "Spider" in path.name]
                connection.execute(
                    sa.text("UPDATE images SET session = :name WHERE uri = ANY(:names)"),
                    {"name": f"burst {number}", "names": names},
                )
                connection.execute(
                    sa.text(
                        "UPDATE images SET session = :name, captured_at = :at, added_at = :at"
                        " WHERE uri LIKE :names"
                    ),
                    {
                        "name": f"good burst {number}",
                        "at": day_bounds(day(number))[0],
                        "names": f"%more {number}%Spider%",
                    },
                )
            daily.run(
                engine,
                day(number),
                options=MonitorOptions(per_class=20, adaptive=False, retrain=False),
                clock=night_after(number),
                holder="test",
                reports=tmp_path / "reports",
            )

        with transaction(engine) as connection:
            spider = class_days.of_label(connection, "v1", "Spider", day(1), day(2))
            days = model_days.from_day(connection, version.version, day(1))
            shown = health(connection)
        assert [sorted(each.shared) for each in spider] == [[[10, 0], [10, 10]]] * 2
        assert [(each.grouped, each.correlation) for each in days] == [(False, 0.0), (True, 1.0)]
        assert shown["pooled"]["one_bet_a_group"] is True
