"""Days computed anew: the same bits whatever the order of arrival."""

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from core.errors import UsageError
from core.store import class_days, flags, model_days, predictions, rollups
from core.store.database import transaction
from monitor.health import health
from tests.any_order import DAYS, NOW, World, random_pictures, two_versions
from tests.pool import add_predictions, day


@pytest.fixture(scope="module")
def world(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two versions, and a pool that each test fills anew."""
    return World(module_engine, two_versions(module_engine, tmp_path_factory.mktemp("bundles")))


class TestOrder:
    """Whatever the order in which days and labels arrive."""

    @settings(
        max_examples=12,
        phases=[Phase.generate],  # each example takes seconds, and shrinking takes hundreds of them
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(seed=st.integers(0, 99), data=st.data())
    def test_a_replay_gives_the_bits_of_having_run_in_order(
        self, world: World, seed: int, data: st.DataObject
    ):
        """Late labels, corrections and missed days leave no trace in any count or detector."""
        pictures = random_pictures(seed)
        world.begin(pictures, frozenset())
        for number in range(1, DAYS + 1):
            world.examine(number)
        in_order = world.rows()

        wrong = data.draw(st.sets(st.integers(0, len(pictures) - 1), max_size=30))
        events = [("day", n) for n in range(1, DAYS + 1)] + [("label", i) for i in sorted(wrong)]
        world.begin(pictures, frozenset(wrong))
        for what, which in data.draw(st.permutations(events)):
            world.examine(which) if what == "day" else world.correct(which)
        world.replay()

        assert world.rows() == in_order

    def test_alarms_and_recoveries_are_among_what_is_compared(self, world: World):
        """Equal rows would say little if nothing ever happened in them."""
        world.begin(random_pictures(0), frozenset())
        for number in range(1, DAYS + 1):
            world.examine(number)

        opened = world.ask(flags.latest)
        assert [(flag.label, flag.version) for flag in opened] == [("Spider", "v1")]
        checked = world.ask(health)["self_check"]
        assert (checked["days"], checked["budget"], checked["since"]) == (
            DAYS,
            pytest.approx(0.24),
            str(day(1)),
        )
        assert checked["low"] <= checked["per_30_days"] <= checked["high"]

    def test_a_change_of_the_bet_is_among_what_is_compared(self, world: World):
        """A pool in sessions: some days image by image, others session by session."""
        world.begin(random_pictures(1), frozenset())
        for number in range(1, DAYS + 1):
            world.examine(number)

        days = world.ask(model_days.from_day, "v1", day(1))
        assert {each.grouped for each in days} == {False, True}
        assert any(row.shared for row in world.ask(class_days.of_day, day(2), "v1"))

    def test_a_second_replay_finds_nothing_to_change(self, world: World):
        """Whoever is unsure may ask again."""
        world.begin(random_pictures(1), frozenset())
        for number in (3, 1, 9, 2, 8, 4, 7, 5, 6):
            world.examine(number)
        world.replay()
        before = world.rows()
        again = world.replay()

        assert (again.corrected, again.recounted, again.changes) == (0, 0, ())
        assert world.rows() == before


class TestTraffic:
    """What predictions turn out to have been."""

    def test_true_labels_that_came_late_are_in_the_sums(self, world: World):
        """PUT /v1/predictions/{id}/label after the day was rolled up."""
        world.begin([], frozenset())
        add_predictions(world.engine, world.versions[0], day(1), 20)
        world.replay(1, 1)
        before = world.ask(rollups.by_day, day(1), day(1))
        with transaction(world.engine) as connection:
            query = sa.text("SELECT id, label FROM predictions ORDER BY id LIMIT 5")
            for id_, label in connection.execute(query).all():
                predictions.set_label(connection, id_, label, by="anna", now=NOW)
        world.replay(1, 1)
        after = world.ask(rollups.by_day, day(1), day(1))

        assert [sum(row.labelled for row in rows) for rows in (before, after)] == [0, 5]
        assert sum(row.correct for row in after) == 5


class TestRefusals:
    """Stretches that are none."""

    @pytest.mark.parametrize(("first", "last"), [(3, 2), (1, 60)])
    def test_days_that_are_exchanged_or_have_not_begun(self, world: World, first: int, last: int):
        """A typing error must not cost a night's computing."""
        with pytest.raises(UsageError, match=r"exchange|not begun"):
            world.replay(first, last)
