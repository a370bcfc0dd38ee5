"""Why a class has sunk, from the exam to the alert, and what retraining does about it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.bundle import files, originals
from core.clock import day_bounds
from core.errors import BundleError, NotFoundError
from core.store import (
    alerts,
    audit,
    class_days,
    flags,
    images,
    jobs,
    label_suspects,
    sentinel_checks,
    traces,
)
from core.store.database import transaction
from core.store.registry import Version
from core.store.traces import Stretch
from monitor import daily, retraining
from monitor.diagnosis import label_doubts, sentinel_watch
from monitor.page import MonitorOptions
from tests.pool import FIRST_DAY, add_pictures, admit, day, night_after, register
from tests.tiny import forge, tiny_bundle

PROMOTED = day_bounds(FIRST_DAY)[0]
SPIDERS_ARE_CATS = {"Spider": "Cat"}


@dataclass
class World:
    """A pool, a champion, and a monitor."""

    engine: Engine
    home: Path
    version: Version

    def live(self, number: int, shown_as: Mapping[str, str] | None = None, **how: Any) -> None:
        """Let a day pass and be examined."""
        folder = self.home / "pool"
        add_pictures(self.engine, folder, day(number), shown_as=shown_as, **how)
        self.examine(number)

    def examine(self, number: int) -> None:
        """Examine a day in the night after it."""
        daily.run(
            self.engine,
            day(number),
            options=MonitorOptions(per_class=10),
            clock=night_after(number),
            holder="test",
            reports=self.home / "reports",
        )

    def evidence(self) -> dict[str, Any]:
        """Return the evidence of the one alert about a class."""
        with transaction(self.engine) as connection:
            (alert,) = [each for each in alerts.latest(connection) if each.kind == "change"]
        return dict(alert.evidence) | {"body": alert.body}

    def checks(self) -> list[str]:
        """Return the verdicts of the frozen set, the latest first."""
        with transaction(self.engine) as connection:
            return [check.verdict for check in sentinel_checks.latest(connection)]

    def told(self) -> list[tuple[str, str]]:
        """Return kind and state of every alert, the latest first."""
        with transaction(self.engine) as connection:
            return [(alert.kind, alert.state) for alert in alerts.latest(connection)]

    def jobs(self) -> list[jobs.Job]:
        """Return the retrainings asked for."""
        with transaction(self.engine) as connection:
            return jobs.latest(connection)


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    """One healthy day has passed."""
    made = World(engine, tmp_path, register(engine, tmp_path / "bundles"))
    made.live(1)
    return made


def _forget_bits(engine: Engine) -> None:
    """Let the machine have given other bits when it was first asked."""
    with transaction(engine) as connection:
        connection.execute(sa.text("UPDATE sentinel_baselines SET answers = repeat('0', 64)"))


class TestFrozenSet:
    """The sentinels, asked before every exam."""

    def test_gives_the_same_bits_day_after_day(self, world: World):
        """The first day on a machine is what the others are held against."""
        world.live(2)

        assert world.checks() == ["same", "first here"]

    def test_other_bits_are_a_runtime_fault_and_no_weak_class(self, world: World):
        """An alert of its own kind; the exam itself goes on."""
        _forget_bits(world.engine)
        world.live(2)

        assert world.checks()[0] == "runtime"
        assert world.told() == [("runtime", "open")]

    def test_a_runtime_fault_keeps_retraining_away(self, world: World):
        """F14: another model would run on the same runtime."""
        _forget_bits(world.engine)
        world.live(2, SPIDERS_ARE_CATS, dimmed=0.25)

        assert world.evidence()["retraining_refused"] is None, "the pictures are to blame"
        assert world.jobs() == []

    def test_a_harmless_change_blames_no_class_on_the_runtime(self, world: World):
        """A millionth of a logit turns no spider into a cat."""
        world.live(2, SPIDERS_ARE_CATS)
        _forget_bits(world.engine)
        world.live(3, SPIDERS_ARE_CATS)

        found = world.evidence()
        assert (world.checks()[0], found["cause"]) == ("runtime", "label")
        assert "do not explain this" in " ".join(found["sentences"])
        with transaction(world.engine) as connection:
            assert len(label_suspects.held(connection)) >= 16

    def test_of_another_version_are_told_as_over_once_the_next_is_examined(self, world: World):
        """An alert about what does not serve any more would stay open for ever."""
        _forget_bits(world.engine)
        world.live(2)
        register(world.engine, world.home / "b", name="v2", promoted_at=day_bounds(day(3))[0])
        world.live(3)

        assert world.told() == [("runtime", "resolved")]
        with transaction(world.engine) as connection:
            deeds = [entry.action for entry in audit.latest(connection)]
        assert "resolve alert" in deeds

    def test_a_harmless_difference_is_accepted_by_a_person(self, world: World):
        """An upgrade that rounds otherwise is not a fault for ever."""
        _forget_bits(world.engine)
        world.live(2)
        with transaction(world.engine) as connection:
            sentinel_checks.accept(connection, "v1", by="ann", now=night_after(2).now())

        world.live(3)

        assert world.checks()[0] == "same"
        assert world.told() == [("runtime", "resolved")]

    def test_another_machine_has_first_answers_of_its_own(self, world: World):
        """Other processors round otherwise; the bundle's own tolerance holds there."""
        with transaction(world.engine) as connection:
            connection.execute(
                sa.text("UPDATE sentinel_baselines SET place = 'elsewhere', answers = 'other'")
            )
        world.live(2)

        assert world.checks()[0] == "first here"

    def test_another_bundle_in_its_place_is_not_examined(self, world: World):
        """F16: nothing it answers is counted, and the alert says that it is another model."""
        folder = Path(world.version.uri)
        shutil.move(folder, world.home / "aside")
        tiny_bundle(folder.parent, seed=7)

        with pytest.raises(BundleError, match="another bundle than the one registered"):
            world.live(2)

        with transaction(world.engine) as connection:
            assert class_days.of_day(connection, day(2), "v1") == []
        assert (world.checks()[0], world.told()) == ("model", [("model", "open")])

    def test_the_bundle_put_back_resolves_it(self, world: World):
        """The day is examined after all."""
        folder, aside = Path(world.version.uri), world.home / "aside"
        shutil.move(folder, aside)
        with pytest.raises(BundleError):
            world.live(2)
        shutil.move(aside, folder)

        world.examine(2)

        assert (world.checks()[0], world.told()) == ("same", [("model", "resolved")])

    def test_a_decoder_that_gives_other_pixels_is_too_far_off_to_count(self, world: World):
        """The graph is sound, and is fed other pictures than it was measured on."""
        folder = Path(world.version.uri)
        kept = originals.read(folder, files.read_manifest(folder))
        assert kept is not None
        darker = originals.Originals(kept.encoded, kept.pixels // 2)
        forge(folder, {files.ORIGINALS: originals.save(darker)})
        same = replace(world.version, digest=files.digest(folder))

        asked = sentinel_watch.ask(same, day(2), now=night_after(2).now())
        with transaction(world.engine) as connection:
            check = sentinel_watch.settle(connection, asked)

        assert (check.verdict, "too far off to count" in check.detail) == ("runtime", True)


class TestRuntimeThatTurnsAnswers:
    """A decoder that gives slightly other pixels, and pictures that lie between two classes."""

    @pytest.fixture
    def turned(self, engine: Engine, tmp_path: Path) -> World:
        """Spiders that are nearly cats, on the first day after the decoder changed."""
        folder = tiny_bundle(tmp_path / "bundles")
        kept = originals.read(folder, files.read_manifest(folder))
        assert kept is not None
        other = kept.pixels - np.minimum(kept.pixels, np.array([3, 0, 0], np.uint8))
        forge(folder, {files.ORIGINALS: originals.save(originals.Originals(kept.encoded, other))})
        world = World(engine, tmp_path, admit(engine, folder, promoted_at=PROMOTED))
        world.live(1)
        _forget_bits(engine)
        world.live(2, SPIDERS_ARE_CATS, blended=0.55)
        return world

    def test_raises_one_alert_and_not_two(self, turned: World):
        """The class has sunk, by the runtime's fault: one cause, one alert, which names it."""
        with transaction(turned.engine) as connection:
            (flag,) = flags.open_flags(connection)
            (alert,) = alerts.latest(connection)

        assert (flag.label, turned.told()) == ("Spider", [("runtime", "open")])
        assert alert.evidence["classes"] == [{"label": "Spider", "since": str(day(2))}]
        assert turned.jobs() == []

    def test_is_told_of_the_class_when_it_is_not_the_runtime_after_all(self, turned: World):
        """The runtime is accepted, and the class goes on being weak."""
        with transaction(turned.engine) as connection:
            sentinel_checks.accept(connection, "v1", by="ann", now=night_after(2).now())
        turned.live(3, SPIDERS_ARE_CATS)

        assert turned.told() == [("change", "open"), ("runtime", "resolved")]
        assert turned.evidence()["cause"] != "runtime"

    def test_is_forgotten_with_the_flag_when_the_class_comes_back(self, turned: World):
        """Nobody was told of the class, so nobody is told that it is well."""
        with transaction(turned.engine) as connection:
            sentinel_checks.accept(connection, "v1", by="ann", now=night_after(2).now())
            (flag,) = flags.open_flags(connection)
            flags.close(connection, flag, on=day(2), now=night_after(2).now())
        turned.live(3)

        assert turned.told() == [("runtime", "resolved")]


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
