"""Why a class has sunk, from the exam to the alert, and what retraining does about it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import day_bounds
from core.errors import NotFoundError
from core.store import (
    alerts,
    audit,
    class_days,
    flags,
    images,
    label_suspects,
    traces,
)
from core.store.database import transaction
from core.store.traces import Stretch
from monitor import retraining
from monitor.diagnosis import label_doubts
from tests.examined import SPIDERS_ARE_CATS, World, after_a_healthy_day
from tests.pool import FIRST_DAY, add_pictures, day, night_after, register

PROMOTED = day_bounds(FIRST_DAY)[0]


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    """One healthy day has passed."""
    return after_a_healthy_day(engine, tmp_path)


class TestCause:
    """What the alert of a weak class says."""

    def test_pictures_of_cats_under_the_name_of_spiders(self, world: World):
        """The labels: no retraining, and the labels are held back."""
        world.live(2, SPIDERS_ARE_CATS)

        found = world.evidence()
        assert found["cause"] == "label"
        assert "Cause: the labels." in found["body"]
        assert found["confused"]["label"] == "Cat"
        assert world.jobs() == []

    def test_a_picture_of_cats_in_the_dark(self, world: World):
        """The pictures: a retraining is asked for, and nothing is held back."""
        world.live(2, SPIDERS_ARE_CATS, dimmed=0.25)

        assert world.evidence()["cause"] == "data"
        assert "brightness" in " ".join(world.evidence()["sentences"])
        assert [job.labels for job in world.jobs()] == [["Spider"]]
        with transaction(world.engine) as connection:
            assert label_suspects.held(connection) == []

    def test_a_model_that_calls_every_spider_a_cat(self, engine: Engine, tmp_path: Path):
        """The model: pictures and labels are as they always were."""
        version = register(engine, tmp_path / "bundles", confuse=("Spider", "Cat"))
        world = World(engine, tmp_path, version)
        world.live(1)

        assert world.evidence()["cause"] == "model"
        assert [job.labels for job in world.jobs()] == [["Spider"]]

    def test_one_class_is_named_all_over_the_alert(self, engine: Engine, tmp_path: Path):
        """Spiders were always called dogs; that they are called cats is new, and rarer."""
        often = {"n": 200, "correct": 150, "confused": {"Dog": 50}}
        usual = {"n": 200, "correct": 198, "confused": {}}
        reference: dict[str, dict[str, object]] = {"Cat": usual, "Dog": usual, "Spider": often}
        world = World(engine, tmp_path, register(engine, tmp_path / "b", reference=reference))
        for name, n in (("Dog", 6), ("Cat", 4)):
            folder = tmp_path / f"pool of {name}"
            add_pictures(engine, folder, day(1), per_label=n, shown_as={"Spider": name})
        world.examine(1)

        with transaction(engine) as connection:
            (alert,) = alerts.latest(connection)
        assert alert.evidence["confused"]["label"] == alert.confused_with == "Cat"
        assert "Mistaken for Cat (4), Dog (6)." in alert.body
        assert "Spider is called Cat on 4 of 10 images" in alert.body

    def test_the_worst_images_stand_beside_right_ones_of_the_class(self, world: World):
        """Five of them, from the healthy day before."""
        world.live(2, SPIDERS_ARE_CATS)

        shown = world.evidence()["images"]
        with transaction(world.engine) as connection:
            beside = [images.get(connection, each["nearest"]) for each in shown]
            (told,) = alerts.latest(connection)
        numbers = dict.fromkeys(str(each["nearest"]) for each in shown)
        assert "Beside them, answered right: image" in told.body
        assert f" {', '.join(numbers)}.\n" in told.body
        assert len(shown) == 5
        assert {sample.label for sample in beside if sample} == {"Spider"}

    def test_is_brought_up_to_date_while_the_flag_is_open(self, world: World):
        """The second day adds what it saw."""
        world.live(2, SPIDERS_ARE_CATS)
        before = world.evidence()["wrong_images"]

        world.live(3, SPIDERS_ARE_CATS)

        assert (before, world.evidence()["wrong_images"]) == (10, 20)


class TestSuspects:
    """Labels held back from training."""

    @pytest.fixture
    def doubted(self, world: World) -> World:
        """Ten pictures of cats are labelled Spider."""
        world.live(2, SPIDERS_ARE_CATS)
        return world

    def test_are_not_learnt_from(self, doubted: World):
        """Wrong labels would be learnt as if they were right."""
        with transaction(doubted.engine) as connection:
            held = {each.image for each in label_suspects.held(connection)}
            everything = {sample.id for sample in images.samples(connection)}
            trusted = {sample.id for sample in images.samples(connection, trusted=True)}

        assert 8 <= len(held) <= 10
        assert everything - trusted == held

    def test_are_learnt_from_again_when_a_person_has_cleared_them(self, doubted: World):
        """And are not suspected again by the next exam."""
        with transaction(doubted.engine) as connection:
            held = [each.image for each in label_suspects.held(connection)]
            now = night_after(2).now()
            label_suspects.clear(connection, held, by="ann", reason="spiders", now=now)
        doubted.live(3)

        with transaction(doubted.engine) as connection:
            assert {each.image for each in label_suspects.held(connection)}.isdisjoint(held)

    def test_with_another_label_are_suspects_no_more(self, doubted: World):
        """The label was wrong, and was put right."""
        with transaction(doubted.engine) as connection:
            first, *others = [each.image for each in label_suspects.held(connection)]
            images.relabel(connection, first, "Cat", now=night_after(2).now(), by="ann")
            left = [each.image for each in label_suspects.held(connection)]
            trusted = {sample.id for sample in images.samples(connection, trusted=True)}

        assert (left, first in trusted) == (others, True)

    def test_that_are_none_cannot_be_cleared(self, doubted: World):
        """A mistyped number is said to be one."""
        now = night_after(2).now()
        with (
            transaction(doubted.engine) as connection,
            pytest.raises(NotFoundError, match="image 1 is not held back"),
        ):
            label_suspects.clear(connection, [1], by="ann", reason="", now=now)

    def test_are_none_on_a_healthy_day(self, world: World):
        """Where all is well, nothing is held back."""
        with transaction(world.engine) as connection:
            assert label_suspects.held(connection) == []


class TestUnclearCause:
    """A class that is weak, and nobody knows why."""

    def test_holds_doubtful_labels_back_all_the_same(self, world: World):
        """Learnt from, they would be right for the next version."""
        world.live(2, SPIDERS_ARE_CATS)
        with transaction(world.engine) as connection:
            before = {each.image for each in label_suspects.held(connection)}
            weak = {"Spider": (day(2), "unclear")}
            now = night_after(2).now()
            label_doubts.settle(connection, world.version, day(2), weak, now=now)
            kept = {each.image for each in label_suspects.held(connection)}
            label_suspects.release(connection, "v1", "Spider", day(1), reason="try again", now=now)
            label_doubts.settle(connection, world.version, day(2), weak, now=now)
            anew = {each.image for each in label_suspects.held(connection)}

        assert before == kept
        assert anew
        assert anew <= before

    @pytest.mark.parametrize("cause", ["runtime", "unclear", "label"])
    def test_lets_nothing_go(self, world: World, cause: str):
        """Only pictures or the model clear a label."""
        world.live(2, SPIDERS_ARE_CATS)
        with transaction(world.engine) as connection:
            before = len(label_suspects.held(connection))
            weak = {"Spider": (day(2), cause)}
            label_doubts.settle(connection, world.version, day(2), weak, now=night_after(2).now())

            assert len(label_suspects.held(connection)) == before > 0


class TestNextVersion:
    """A flag that outlives the version it was raised against."""

    def test_is_explained_by_what_the_next_one_answers(self, world: World):
        """F13: the retrained version has not mended it, and the evidence says what it does."""
        world.live(2, SPIDERS_ARE_CATS)
        register(world.engine, world.home / "b", name="v2", promoted_at=day_bounds(day(3))[0])
        world.live(3, SPIDERS_ARE_CATS)

        found = world.evidence()
        assert (found["version"], found["until"], found["cause"]) == ("v2", str(day(3)), "label")
        assert found["wrong_images"] == 10
        with transaction(world.engine) as connection:
            held = label_suspects.held(connection)
        assert {each.version for each in held} == {"v1", "v2"}

    def test_keeps_what_was_known_where_the_next_one_shows_too_little(self, world: World):
        """Three wrong images of another version are no reason to forget twenty."""
        world.live(2, SPIDERS_ARE_CATS)
        register(world.engine, world.home / "b", name="v2", promoted_at=day_bounds(day(3))[0])
        world.live(3)

        found = world.evidence()
        assert (found["version"], found["until"], found["cause"]) == ("v1", str(day(3)), "label")

    def test_f25_a_class_that_the_next_one_does_not_know_has_its_flag_closed(self, world: World):
        """Renamed or removed: nobody will examine it again, and nothing is asked for it."""
        world.live(2, SPIDERS_ARE_CATS, dimmed=0.25)
        with transaction(world.engine) as connection:
            assert [flag.label for flag in flags.open_flags(connection)] == ["Spider"]
        register(
            world.engine,
            world.home / "b",
            name="v2",
            labels=("Cat", "Arachnid"),
            promoted_at=day_bounds(day(3))[0],
        )
        world.live(3)

        with transaction(world.engine) as connection:
            (flag,) = flags.latest(connection)
            said = [each.detail.get("reason") for each in audit.latest(connection)]
            refused = retraining.refusals(connection, flags.open_flags(connection))
        assert (flag.closed_on, world.told()) == (day(3), [("change", "resolved")])
        assert "v2 does not know the class" in said
        assert refused == {}


class TestTraces:
    """What an exam leaves of each image."""

    def test_are_read_as_they_were_written(self, world: World):
        """Half precision costs three digits and no more."""
        with transaction(world.engine) as connection:
            asked = Stretch("v1", FIRST_DAY, FIRST_DAY)
            found = traces.of_class(connection, asked, "Cat", limit=100)

        assert len(found) == 10
        assert {trace.predicted for trace in found} == {"Cat"}
        assert all(abs((trace.embedding**2).sum() - 1) < 1e-2 for trace in found)

    def test_are_forgotten_after_their_time(self, world: World):
        """Counts stay for ever; the pictures' numbers do not."""
        with transaction(world.engine) as connection:
            gone = traces.forget(connection, traces.first_kept(day_bounds(day(200))[0].date()))
            left = class_days.of_day(connection, FIRST_DAY, "v1")

        assert (gone, sum(row.n for row in left)) == (30, 30)


class TestManyFlags:
    """Hundreds of classes that sink at once."""

    def test_only_the_first_twenty_of_a_day_are_diagnosed(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ):
        """The others tell nothing more, and would take an hour."""
        monkeypatch.setattr("monitor.diagnosis.diagnosis.MOST_A_DAY", 0)
        world.live(2, SPIDERS_ARE_CATS)

        with transaction(world.engine) as connection:
            (flag,) = flags.open_flags(connection)
        assert (flag.label, world.evidence().get("cause")) == ("Spider", None)

    def test_those_left_over_have_their_turn_on_the_next_days(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ):
        """The surest first, then the others, then those seen longest ago."""
        monkeypatch.setattr("monitor.diagnosis.diagnosis.MOST_A_DAY", 1)
        both = {"Spider": "Cat", "Dog": "Cat"}
        looked_at = []
        for number in (2, 3, 4):
            world.live(number, both)
            with transaction(world.engine) as connection:
                told = {each.label: each.evidence for each in alerts.latest(connection)}
            looked_at.append({label: each.get("until") for label, each in told.items()})

        second, third, fourth = (str(day(number)) for number in (2, 3, 4))
        first = "Dog" if looked_at[0]["Dog"] else "Spider"
        other = "Spider" if first == "Dog" else "Dog"
        assert looked_at == [
            {first: second, other: None},
            {first: second, other: third},
            {first: fourth, other: third},
        ]
