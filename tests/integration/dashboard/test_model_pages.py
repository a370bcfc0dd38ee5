"""The versions' pages over a story, and the champion moved from them."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, g

from core.errors import ConflictError, ForbiddenError, UsageError, WeakspotError
from core.store import audit, registry, side_by_side
from core.store.database import transaction
from dashboard.app import draw
from dashboard.door.caller import OWNER, Caller
from dashboard.pages.models import moving
from tests import story
from tests.pool import night_after, register
from tests.told import Told

READER = Caller("reader", frozenset({"read", "label"}))


@pytest.fixture(scope="module")
def told(fortnight: story.Fortnight) -> Told:
    """Ten days of v1 and one of v2, whose predecessor answered the same images; v3 waits."""
    story.refuse_retraining(fortnight.engine)
    story.promote_repair(fortnight.engine, fortnight.home, days=1)
    bundles = fortnight.home / "bundles"
    register(fortnight.engine, bundles, name="v3", labels=story.LABELS, promoted_at=None)
    with transaction(fortnight.engine) as connection:
        # Each tenth image, v1 took for another.
        statement = "UPDATE second_answers SET predicted = 'nothing' WHERE mod(image, 10) = 0"
        connection.exec_driver_sql(statement)
        job = "UPDATE jobs SET challenger = 'v3', result = result || '{\"champion\": \"v1\"}'"
        connection.exec_driver_sql(job)
        connection.exec_driver_sql("UPDATE versions SET parent = 'v1' WHERE version > 'v1'")
    return Told(fortnight.engine, fortnight.home, night_after(story.LAST_DAY + 1))


@pytest.fixture
def asked() -> Iterator[Any]:
    """A request of the machine's owner."""
    with Flask("test").test_request_context():
        g.caller = OWNER
        yield g


class TestComparison:
    """`/models?a=v1&b=v2`."""

    def test_counts_each_image_that_both_have_answered_once(self, told: Told):
        """Also what the predecessor was asked beside its successor."""
        with transaction(told.engine) as connection:
            pairs = side_by_side.pairs(connection, "v1", "v2")
            images = connection.execute(sa.text("SELECT count(*) FROM second_answers")).scalar_one()

        assert images > 0
        assert sum(each.n for each in pairs) == images
        assert [each.label for each in pairs] == sorted(story.LABELS)
        assert sum(each.gained for each in pairs) > sum(each.lost for each in pairs)

    def test_the_other_way_round_gains_and_losses_change_places(self, told: Told):
        """It is one comparison."""
        with transaction(told.engine) as connection:
            there = side_by_side.pairs(connection, "v1", "v2")
            back = side_by_side.pairs(connection, "v2", "v1")

        assert [(each.gained, each.lost) for each in there] == [
            (each.lost, each.gained) for each in back
        ]

    def test_falls_back_to_the_exam_of_one_against_the_other(self, told: Told):
        """No image was shown to both, but the gate has shown some."""
        shown = told.page("/models", "?a=v1&b=v3")

        assert "on 900 shared images: +11.0 points" in shown
        assert "The gate's exam of one against the other" in shown

    def test_is_had_as_a_file(self, told: Told):
        """With all classes, the whole first."""
        lines = told.client().get("/models/compare.csv?a=v1&b=v2").text.splitlines()

        assert lines[0] == "class,images,v1,v2,difference,low,high"
        assert lines[1].startswith("(all images),")
        assert len(lines) == 2 + len(story.LABELS)
        assert told.client().get("/models/compare.csv?a=v1&b=v9").status_code == 404

    def test_leads_to_the_promotion_of_what_is_compared_with_the_champion(self, told: Told):
        """Whoever has seen that it is better wants to let it serve; a reader may not."""
        now = told.now.now()
        read = draw(told.house, "/models", "?a=v2&b=v3", caller=READER, now=now)

        assert "/models?promote=v3" in told.page("/models", "?a=v2&b=v3")
        assert "/models?promote=v1" in told.page("/models", "?a=v1&b=v2")
        assert "?promote=" not in told.page("/models", "?a=v1&b=v3")
        assert "?promote=" not in str(read.content)


class TestModelPages:
    """The list, and one version."""

    def test_lists_versions_with_what_they_were_made_from(self, told: Told):
        """And when each served."""
        shown = told.page("/models")

        assert "v2 serves" in shown
        assert "/models?version=v3" in shown
        assert "passed the gate" in shown

    def test_shows_one_with_its_exam(self, told: Told):
        """The gate's numbers of its last exam, every class."""
        shown = told.page("/models", "?version=v3")

        assert "v3 never served" in shown
        assert "16 of 300 lost, 1 gained" in shown
        assert "Promote…" in shown

    def test_says_that_there_is_none(self, told: Told):
        """A link may be old."""
        assert "There is no version v9" in told.page("/models", "?version=v9")
        assert "There is no version v9" in told.page("/models", "?promote=v9")
        assert "There is no version v1 or v9" in told.page("/models", "?a=v1&b=v9")


class TestMoving:
    """The champion moved from its page."""

    def test_by_force_takes_the_name_typed_and_a_reason(self, told: Told, asked: Any):
        """What the gate has not passed is not promoted by one click."""
        with pytest.raises(UsageError, match="type its name"):
            moving.promote(told.house, ["v3", "v2"], "because", "")
        with pytest.raises(UsageError, match="needs a reason"):
            moving.promote(told.house, ["v3", "v2"], " ", "v3")

        assert _champion(told) == "v2"

    def test_is_refused_to_who_may_not(self, told: Told, asked: Any):
        """Asked where it is done."""
        asked.caller = READER

        for move in (
            lambda: moving.promote(told.house, ["v3", "v2"], "because", "v3"),
            lambda: moving.roll_back(told.house, ["v2", None], "because"),
        ):
            with pytest.raises(ForbiddenError, match="admin"):
                move()

    def test_is_refused_when_another_serves_by_now(self, told: Told, asked: Any):
        """What was confirmed was another move."""
        with pytest.raises(ConflictError, match="the champion is v2"):
            moving.promote(told.house, ["v3", "v1"], "because", "v3")
        with pytest.raises(WeakspotError, match="out of date"):
            moving.promote(told.house, "v3", "because", "v3")

    def test_promotes_by_force_and_rolls_back_and_both_are_written_down(
        self, told: Told, asked: Any
    ):
        """With who and why."""
        moving.promote(told.house, ["v3", "v2"], "the gate saw too few", " v3 ")
        assert _champion(told) == "v3"

        back = moving.roll_back(told.house, ["v3", "v2"], "worse at night")

        assert back == _champion(told) == "v2"
        with transaction(told.engine) as connection:
            (last, first) = audit.latest(connection, 2)
        assert (first.by, first.detail["reason"]) == (OWNER.name, "by force: the gate saw too few")
        assert (last.action, last.detail["reason"]) == ("roll back", "worse at night")

    def test_asks_with_the_gates_numbers_in_sight(self, told: Told):
        """Before, not after."""
        shown = told.page("/models", "?promote=v3")

        assert "The gate has not passed v3 against v2" in shown
        assert "16 of 300 lost" in shown
        assert "Roll back from v2 to v1?" in told.page("/models", "?rollback=v2")
        assert "v1 is not the champion" in told.page("/models", "?rollback=v1")


def _champion(told: Told) -> str | None:
    with transaction(told.engine) as connection:
        found = registry.champion(connection)
    return found.version if found else None
