"""What becomes of what somebody said in the inbox."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from core import catalog
from core.catalog import answering
from core.catalog.answering import Desktop
from core.errors import ConflictError, NotFoundError, UsageError
from core.images.archive import Archive
from core.store import (
    audit,
    class_days,
    exam_draws,
    images,
    inbox,
    inbox_queue,
    label_suspects,
    predictions,
    registry,
)
from core.store.database import transaction
from core.store.inbox import Item
from core.store.inbox_queue import Desk
from core.store.label_suspects import Suspect
from core.store.registry import Version
from tests.any_order import LABELS, PER_CLASS, Picture, World, two_versions
from tests.inbox import SENT_AT, fill
from tests.pool import day, register

NOW = SENT_AT + timedelta(hours=1)


class Room:
    """A home with an inbox, and people who answer."""

    def __init__(self, engine: Engine, home: Path, version: Version) -> None:
        self.engine = engine
        self.home = home
        self.version = version

    def fill(self, *answers: str, **how: Any) -> list[int]:
        """Put pictures into the inbox, others each time."""
        self.home.mkdir(exist_ok=True)
        return fill(self.engine, self.home, self.version, answers, **how)

    def at(self, by: str = "anna", later_s: float = 0) -> Desktop:
        """Return somebody's desk."""
        now = NOW + timedelta(seconds=later_s)
        return Desktop(Desk(by, "1"), Archive(self.home / "archive"), now)

    def do(self, deed: Callable[..., Item], item: int, *said: str, **who: Any) -> Item:
        """Let somebody say something."""
        with transaction(self.engine) as connection:
            return deed(connection, item, *said, self.at(**who))

    def ask(self, question: Any, *arguments: Any, **named: Any) -> Any:
        """Ask the store one question."""
        with transaction(self.engine) as connection:
            return question(connection, *arguments, **named)

    def wait_for_a_lock(self) -> None:
        """Return once somebody in this database waits for another."""
        waits = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        until = time.monotonic() + 10
        while not self.ask(lambda connection: connection.execute(waits).scalar_one()):
            assert time.monotonic() < until, "nobody waits"
            time.sleep(0.02)

    def may_judge(self) -> set[str]:
        """Return the digests that an exam may draw, of images of the traffic."""
        drawn = self.ask(
            exam_draws.draw,
            version=self.version.version,
            labels=self.version.labels,
            before=NOW + timedelta(days=1),
            snapshot_at=self.version.snapshot_at,
            per_class=100,
        )
        return {each.sha256 for each in drawn}

    def may_teach(self) -> set[str]:
        """Return the digests that a training may learn from or be tuned by."""
        return {each.sha256 for each in self.ask(images.samples, trusted=True)}


@pytest.fixture(scope="module")
def version(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The champion."""
    return register(module_engine, tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def room(module_engine: Engine, tmp_path: Path, version: Version) -> Room:
    """A home whose pool and inbox are empty."""
    with transaction(module_engine) as connection:
        connection.execute(text("TRUNCATE inbox, images, predictions, audit CASCADE"))
    return Room(module_engine, tmp_path, version)


@pytest.fixture(scope="module")
def world(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two versions, and a pool that each test fills anew; nothing else is asked of `room` then."""
    with transaction(module_engine) as connection:
        connection.execute(text("TRUNCATE aliases, versions CASCADE"))
    return World(module_engine, two_versions(module_engine, tmp_path_factory.mktemp("two")))


class TestAnswers:
    """A label that somebody gave in the inbox."""

    def test_of_a_drawn_picture_may_judge_and_stand_in_the_log(self, room: Room):
        """Every prediction had the same chance, so its label says how the model does."""
        (item,) = room.fill("Cat", stream="drawn")
        said = room.do(answering.answer, item, "Dog")
        assert said.prediction is not None
        logged = room.ask(predictions.get, said.prediction)

        assert (said.state, said.answer, said.answered_by) == ("labelled", "Dog", "anna")
        assert (logged.true_label, logged.labelled_by, logged.labelled_at) == ("Dog", "anna", NOW)
        assert room.may_judge() == room.may_teach() == {said.sha256}

    def test_of_a_chosen_picture_teaches_and_never_judges(self, room: Room):
        """The model's hardest pictures, counted as if by chance, would make every class weak."""
        (item,) = room.fill("Cat", stream="aimed")
        said = room.do(answering.answer, item, "Dog")
        assert said.prediction is not None
        (kept,) = room.ask(images.samples)

        assert room.may_judge() == set()
        assert (kept.sha256, kept.label, kept.split) == (said.sha256, "Dog", "train")
        assert room.ask(predictions.get, said.prediction).true_label is None

    def test_need_a_class_and_a_picture_that_are_there(self, room: Room):
        """A slip of the keyboard makes no new class, and a lost file no image."""
        (item,) = room.fill("Cat")
        with pytest.raises(UsageError, match="did you mean: Spider"):
            room.do(answering.answer, item, "Spidre")
        Archive(room.home / "archive").path(room.ask(inbox.get, item).sha256).unlink()

        with pytest.raises(NotFoundError, match="archive holds no image"):
            room.do(answering.answer, item, "Spider")
        assert room.ask(inbox.get, item).state == "waiting"

    def test_are_one_when_the_receipt_was_lost_and_two_when_people_differ(self, room: Room):
        """A browser that heard nothing sends it again; somebody else is told who came first."""
        (item,) = room.fill("Cat")
        first = room.do(answering.answer, item, "Dog")
        again = room.do(answering.answer, item, "Dog", later_s=9)

        assert again == first
        with pytest.raises(ConflictError, match="anna has said already: Dog"):
            room.do(answering.answer, item, "Cat", by="ben")

    def test_wait_for_whoever_looks_at_the_image(self, room: Room):
        """A lease that ran out binds nobody."""
        (item,) = room.fill("Cat")
        room.ask(inbox_queue.take, Desk("ben", "1"), now=NOW)

        with pytest.raises(ConflictError, match="somebody else"):
            room.do(answering.answer, item, "Dog")
        assert room.do(answering.answer, item, "Dog", later_s=121).answered_by == "anna"

    def test_and_an_import_of_the_same_picture_do_not_wait_for_each_other(self, room: Room):
        """Whoever is second is told so; the import, of thousands perhaps, never fails for it."""
        (item,) = room.fill("Cat")
        archived = Archive(room.home / "archive").path(room.ask(inbox.get, item).sha256)
        listed = room.home / "list.csv"
        listed.write_text(f"path,label\n{archived},Dog")
        with ThreadPoolExecutor(1) as other:
            answers: list[Future[Item]] = []

            def answer(stage: str, done: int, total: int) -> None:
                if stage == "storing" and not answers:
                    answers.append(other.submit(room.do, answering.answer, item, "Cat"))
                    room.wait_for_a_lock()

            report = catalog.import_images(
                room.engine, str(listed), added_at=NOW, on_progress=answer
            )

            assert report.added == 1
            with pytest.raises(ConflictError, match="elsewhere meanwhile"):
                answers[0].result(timeout=30)
        assert room.ask(images.samples)[0].label == "Dog"

    def test_leave_a_trail(self, room: Room):
        """Who, what, when, and what was before."""
        (item,) = room.fill("Cat", stream="drawn")
        room.do(answering.answer, item, "Dog")
        room.do(answering.correct, item, "Cat", by="ben", later_s=5)
        trail = [(deed.by, deed.action) for deed in room.ask(audit.latest)]

        assert ("anna", "inbox labelled") in trail
        assert ("anna", "label") in trail
        assert ("ben", "undo inbox") in trail
        assert ("ben", "inbox labelled") in trail
        assert room.ask(images.samples)[0].label == "Cat"


class TestUndo:
    """An answer taken back."""

    @pytest.mark.parametrize("stream", ["drawn", "aimed"])
    def test_leaves_nothing_that_judges_or_teaches(self, room: Room, stream: inbox.Stream):
        """And gives the image back to whoever took it back."""
        (item,) = room.fill("Cat", stream=stream)
        room.do(answering.answer, item, "Dog")
        found = room.do(answering.undo, item)
        assert found.prediction is not None

        assert (room.may_judge(), room.may_teach()) == (set(), set())
        assert room.ask(predictions.get, found.prediction).true_label is None
        assert (found.state, found.holder) == ("waiting", "anna/1")
        room.do(answering.answer, item, "Cat")
        assert room.may_teach() == {found.sha256}

    def test_is_for_ones_own_last_ten(self, room: Room):
        """Older ones, and those of others, are corrected instead."""
        first, *others = room.fill(*["Cat"] * 12)
        for place, item in enumerate([first, *others[:10]]):
            room.do(answering.answer, item, "Cat", later_s=place)
        room.do(answering.answer, others[10], "Cat", by="ben", later_s=20)

        for item in (first, others[10]):
            with pytest.raises(ConflictError, match="none of your last 10"):
                room.do(answering.undo, item)
        assert room.do(answering.undo, others[9]).state == "waiting"


class TestUnusable:
    """A picture that shows none of the classes."""

    def test_comes_into_no_pool(self, room: Room):
        """Neither judged nor taught by."""
        (item,) = room.fill("Cat", stream="drawn")
        said = room.do(answering.unusable, item)

        assert (said.state, said.answer) == ("unusable", None)
        assert room.may_teach() == set()
        assert room.do(answering.undo, item).state == "waiting"

    def test_that_was_labelled_before_leaves_the_pool(self, room: Room):
        """Said later, it counts all the same."""
        (item,) = room.fill("Cat", stream="drawn")
        room.do(answering.answer, item, "Cat")
        room.do(answering.undo, item)
        room.do(answering.unusable, item)

        assert (room.may_judge(), room.may_teach()) == (set(), set())


class TestSuspects:
    """Labels of the pool that look wrong, confirmed or corrected; the days follow by a replay."""

    @pytest.fixture
    def doubted(self, world: World, tmp_path: Path) -> tuple[Room, list[int]]:
        """Dogs that are labelled Cat on day 2, all of them held back, and the inbox of them."""
        pictures = [
            Picture(2, label, place, wrong=False)
            for label in LABELS
            for place in range(20 if label == "Dog" else PER_CLASS)
        ]
        wrong = [i for i, each in enumerate(pictures) if each.label == "Dog"]
        world.begin(pictures, frozenset(wrong))
        world.examine(2)
        doubts = [Suspect(i + 1, "v1", day(2), "Cat", "Dog", -0.9) for i in wrong]
        with transaction(world.engine) as connection:
            connection.execute(text("TRUNCATE inbox CASCADE"))
            label_suspects.hold_back(connection, doubts, now=NOW)
            inbox_queue.bring_suspects(connection, now=NOW)
            items = list(connection.execute(text("SELECT id FROM inbox ORDER BY image")).scalars())
            version = registry.get(connection, "v1")
        return Room(world.engine, tmp_path, version), items

    def _of_day(self, world: World, label: str) -> tuple[int, int]:
        rows = {row.label: row for row in world.ask(class_days.of_day, day(2), "v1")}
        return rows[label].n, rows[label].correct

    def test_change_the_accuracy_of_their_day_when_it_is_replayed(
        self, world: World, doubted: tuple[Room, list[int]]
    ):
        """Corrected, counted anew, and told."""
        room, items = doubted
        said = [room.do(answering.answer, item, "Dog") for item in items]
        before = self._of_day(world, "Cat")
        found = world.replay(2, 2)

        assert room.ask(answering.days_to_replay, said[-1]) == [day(2)]
        assert (before, found.corrected) == ((30, 10), 20)
        assert (self._of_day(world, "Cat"), self._of_day(world, "Dog")) == ((10, 10), (20, 20))

    def test_that_are_unusable_are_counted_no_more_until_that_is_undone(
        self, world: World, doubted: tuple[Room, list[int]]
    ):
        """The statistic follows the pool, both ways."""
        room, items = doubted
        room.do(answering.unusable, items[0])
        world.replay(2, 2)
        without = self._of_day(world, "Cat")
        room.do(answering.undo, items[0])
        world.replay(2, 2)

        assert (without, self._of_day(world, "Cat")) == ((29, 10), (30, 10))

    def test_that_are_right_after_all_are_trained_on_again(self, doubted: tuple[Room, list[int]]):
        """And held back again when that is undone."""
        room, items = doubted
        image = room.ask(inbox.get, items[0]).image
        held = {each.image for each in room.ask(label_suspects.held)}
        room.do(answering.answer, items[0], "Cat")
        without = {each.image for each in room.ask(label_suspects.held)}
        room.do(answering.undo, items[0])

        assert held - without == {image}
        assert {each.image for each in room.ask(label_suspects.held)} == held
