"""The frozen set, asked before every exam: the runtime and the model, apart from the classes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.bundle import files, originals
from core.clock import day_bounds
from core.errors import BundleError
from core.store import (
    alerts,
    audit,
    class_days,
    flags,
    label_suspects,
    sentinel_checks,
)
from core.store.database import transaction
from monitor.diagnosis import sentinel_watch
from tests.examined import SPIDERS_ARE_CATS, World, after_a_healthy_day, forget_bits
from tests.pool import FIRST_DAY, admit, day, night_after, register
from tests.tiny import forge, tiny_bundle

PROMOTED = day_bounds(FIRST_DAY)[0]


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    """One healthy day has passed."""
    return after_a_healthy_day(engine, tmp_path)


class TestFrozenSet:
    """The sentinels, asked before every exam."""

    def test_gives_the_same_bits_day_after_day(self, world: World):
        """The first day on a machine is what the others are held against."""
        world.live(2)

        assert world.checks() == ["same", "first here"]

    def test_other_bits_are_a_runtime_fault_and_no_weak_class(self, world: World):
        """An alert of its own kind; the exam itself goes on."""
        forget_bits(world.engine)
        world.live(2)

        assert world.checks()[0] == "runtime"
        assert world.told() == [("runtime", "open")]

    def test_a_runtime_fault_keeps_retraining_away(self, world: World):
        """F14: another model would run on the same runtime."""
        forget_bits(world.engine)
        world.live(2, SPIDERS_ARE_CATS, dimmed=0.25)

        assert world.evidence()["retraining_refused"] is None, "the pictures are to blame"
        assert world.jobs() == []

    def test_a_harmless_change_blames_no_class_on_the_runtime(self, world: World):
        """A millionth of a logit turns no spider into a cat."""
        world.live(2, SPIDERS_ARE_CATS)
        forget_bits(world.engine)
        world.live(3, SPIDERS_ARE_CATS)

        found = world.evidence()
        assert (world.checks()[0], found["cause"]) == ("runtime", "label")
        assert "do not explain this" in " ".join(found["sentences"])
        with transaction(world.engine) as connection:
            assert len(label_suspects.held(connection)) >= 16

    def test_of_another_version_are_told_as_over_once_the_next_is_examined(self, world: World):
        """An alert about what does not serve any more would stay open for ever."""
        forget_bits(world.engine)
        world.live(2)
        register(world.engine, world.home / "b", name="v2", promoted_at=day_bounds(day(3))[0])
        world.live(3)

        assert world.told() == [("runtime", "resolved")]
        with transaction(world.engine) as connection:
            deeds = [entry.action for entry in audit.latest(connection)]
        assert "resolve alert" in deeds

    def test_a_harmless_difference_is_accepted_by_a_person(self, world: World):
        """An upgrade that rounds otherwise is not a fault for ever."""
        forget_bits(world.engine)
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
        forget_bits(engine)
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
