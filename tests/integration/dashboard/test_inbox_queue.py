"""Who is asked about which image next."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from core.store import challengers, inbox, inbox_queue, label_suspects
from core.store.challengers import SecondOpinion
from core.store.database import transaction
from core.store.inbox_queue import Desk
from core.store.label_suspects import Suspect
from core.store.registry import Version
from tests.inbox import SENT_AT, fill
from tests.pool import FIRST_DAY, add_pictures, register

ANNA, BEN = Desk("anna", "1"), Desk("ben", "1")
NOW = SENT_AT + timedelta(hours=1)


@pytest.fixture(scope="module")
def version(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The champion."""
    return register(module_engine, tmp_path_factory.mktemp("bundles"))


@pytest.fixture(autouse=True)
def empty(module_engine: Engine) -> None:
    """Begin each test with nothing waiting."""
    with transaction(module_engine) as connection:
        connection.execute(text("TRUNCATE inbox, label_suspects, challenger_answers CASCADE"))


def take(engine: Engine, desk: Desk = ANNA, later_s: float = 0, **how: object) -> int | None:
    """Take the next image."""
    with transaction(engine) as connection:
        now = NOW + timedelta(seconds=later_s)
        taken = inbox_queue.take(connection, desk, now=now, **how)  # type: ignore[arg-type]
        return taken.item.id if taken else None


class TestLeases:
    """An image is on one desk at a time."""

    def test_give_two_connections_at_once_two_images(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """Neither waits for the other, and nobody labels twice."""
        items = fill(module_engine, tmp_path, version, ["Cat", "Dog"])
        with transaction(module_engine) as first, transaction(module_engine) as second:
            taken = [_take(first, ANNA), _take(second, BEN)]

        assert sorted(taken) == sorted(items)

    def test_leave_nothing_to_the_other_when_there_is_one(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """An empty hand is better than work done twice."""
        (item,) = fill(module_engine, tmp_path, version, ["Cat"])

        assert take(module_engine) == item
        assert take(module_engine, BEN) is None
        assert take(module_engine, ANNA) == item
        assert take(module_engine, ANNA, have=[item]) is None

    def test_run_out_after_two_minutes_unless_they_are_renewed(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """Who went for coffee keeps nobody from the image."""
        (item,) = fill(module_engine, tmp_path, version, ["Cat"])
        take(module_engine)
        with transaction(module_engine) as connection:
            now = NOW + timedelta(seconds=100)
            renewed = inbox_queue.renew(connection, ANNA, [item], now=now)

        assert renewed == {item}
        assert take(module_engine, BEN, later_s=200) is None
        assert take(module_engine, BEN, later_s=221) == item
        with transaction(module_engine) as connection:
            assert inbox_queue.renew(connection, ANNA, [item], now=NOW) == set()

    def test_end_when_the_image_is_skipped_which_is_for_one_person(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """Somebody else may know; and so may anna, tomorrow."""
        (item,) = fill(module_engine, tmp_path, version, ["Cat"])
        take(module_engine)
        with transaction(module_engine) as connection:
            inbox_queue.skip(connection, ANNA, item, now=NOW)

        assert take(module_engine) is None
        assert take(module_engine, BEN) == item
        with transaction(module_engine) as connection:
            inbox_queue.release(connection, BEN, [item])
        assert take(module_engine, later_s=90_000) == item


class TestOrder:
    """What would teach most, beside what was drawn."""

    def test_is_half_drawn_and_half_aimed(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """As a day's labels are shared out: half evenly, half where they help."""
        drawn = fill(module_engine, tmp_path, version, ["Cat"] * 4, stream="drawn")
        aimed = fill(module_engine, tmp_path, version, ["Cat"] * 4, seed=1)
        have: list[int] = []
        for _ in range(6):
            item = take(module_engine, have=have)
            assert item is not None
            have.append(item)

        assert [each in drawn for each in have] == [True, False] * 3
        assert set(have[1::2]) <= set(aimed)

    def test_of_what_was_drawn_pays_no_heed_to_answers(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """Or the labels would say what the model finds hard, not how it does."""
        sure = fill(module_engine, tmp_path, version, ["Cat"] * 5, stream="drawn", margin=0.9)
        fill(module_engine, tmp_path, version, ["Dog"] * 5, stream="drawn", margin=0.0, seed=1)
        with transaction(module_engine) as connection:
            by_lot = connection.execute(text("SELECT id FROM inbox ORDER BY place, id")).scalars()
            expected = list(by_lot)
        have: list[int] = []
        while (item := take(module_engine, have=have)) is not None:
            have.append(item)

        assert have == expected
        assert set(sure) < set(have)

    def test_narrowed_to_a_class_asks_for_nothing_that_was_drawn(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """What is picked by the model's answer is no random draw any more."""
        fill(module_engine, tmp_path, version, ["Spider"], stream="drawn")
        _, spider = fill(module_engine, tmp_path, version, ["Dog", "Spider"], seed=1)

        assert take(module_engine, label="Spider") == spider
        assert take(module_engine, label="Spider", have=[spider]) is None

    def test_narrowed_to_a_class_asks_for_its_runners_up_too(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """The images of a weak class are those that are called something else."""
        (cat,) = fill(module_engine, tmp_path, version, ["Cat"])
        with transaction(module_engine) as connection:
            second = inbox.get(connection, cat).top[1]["label"]

        assert second == "Spider"
        assert take(module_engine, label=second) == cat

    def test_of_the_rest_begins_with_what_teaches_most(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """A label that looks wrong, a challenger that differs, a scarce class, a close call."""
        add_pictures(module_engine, tmp_path / "pool", FIRST_DAY, per_label=1)
        answers = ["Cat", "Cat", "Spider", "Cat"]
        close, clear, scarce, differs = fill(module_engine, tmp_path, version, answers, margin=0.3)
        with transaction(module_engine) as connection:
            _set_margin(connection, close, 0.0)
            _set_margin(connection, clear, 0.9)
            _lack(connection, "Spider")
            _differ(connection, version, differs)
            _set_margin(connection, differs, 0.1)
            image = connection.execute(text("SELECT min(id) FROM images")).scalar_one()
            label = connection.execute(
                text("SELECT label FROM images WHERE id = :image"), {"image": image}
            ).scalar_one()
            doubt = Suspect(image, version.version, FIRST_DAY, label, "Dog", -0.9)
            label_suspects.hold_back(connection, [doubt], now=NOW)
            inbox_queue.bring_suspects(connection, now=NOW)
        have: list[int] = []
        while (item := take(module_engine, have=have)) is not None:
            have.append(item)

        with transaction(module_engine) as connection:
            assert inbox.get(connection, have[0]).stream == "suspect"
            label_suspects.clear(connection, [image], by="ben", reason="seen", now=NOW)
            inbox_queue.bring_suspects(connection, now=NOW)
            assert inbox.get(connection, have[0]).state == "gone"
        assert have[1:] == [differs, scarce, close, clear]


class TestRoom:
    """Pictures on the disk are few and not old."""

    def test_is_kept_to_the_newest_pictures_that_are_not_looked_at(
        self, module_engine: Engine, tmp_path: Path, version: Version
    ):
        """What comes into the pool is the pool's affair; the rest goes, the oldest first."""
        old, held, new = fill(module_engine, tmp_path, version, ["Cat"] * 3)
        with transaction(module_engine) as connection:
            connection.execute(
                text("UPDATE inbox SET holder = 'x', held_until = :until WHERE id = :id"),
                {"until": NOW + timedelta(minutes=1), "id": held},
            )
            size = inbox.get(connection, new)
            bytes_of = text("SELECT bytes FROM inbox WHERE id = :id")
            most = connection.execute(bytes_of, {"id": new}).scalar_one()
            gone = inbox.get(connection, old).sha256
            first = inbox.forget(connection, before=SENT_AT, most_bytes=most + 1, now=NOW)
            again = inbox.forget(connection, before=NOW, most_bytes=10**9, now=NOW)

        assert (list(first), list(again)) == ([gone], [size.sha256])
        assert take(module_engine, later_s=100) == held


def _take(connection: Connection, desk: Desk) -> int:
    taken = inbox_queue.take(connection, desk, now=NOW)
    assert taken is not None
    return taken.item.id


def _set_margin(connection: Connection, item: int, margin: float) -> None:
    values = {"item": item, "margin": margin}
    connection.execute(text("UPDATE inbox SET margin = :margin WHERE id = :item"), values)


def _lack(connection: Connection, label: str) -> None:
    document = '{"needs_labels": [{"label": "%s", "missing": 3}]}' % label  # noqa: UP031
    connection.execute(
        text("INSERT INTO health_days VALUES (:day, 'v1', :now, CAST(:document AS jsonb))"),
        {"day": FIRST_DAY, "now": NOW, "document": document},
    )


def _differ(connection: Connection, version: Version, item: int) -> None:
    found = inbox.get(connection, item)
    assert found.prediction is not None
    opinion = SecondOpinion(
        version.version, found.prediction, found.at, version.version, found.label, "Dog", 0.6
    )
    challengers.write(connection, [opinion])
