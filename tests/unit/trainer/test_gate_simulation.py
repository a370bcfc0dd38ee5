"""What the gate promises of challengers, simulated by its own rule."""

import pytest

from core.errors import StatisticsError
from trainer.exams.gate_simulation import Plan, Report, simulate


@pytest.fixture(scope="module")
def report() -> Report:
    """15 classes, 200 gate images each, 3 % of the answers differing."""
    return simulate(Plan(runs=20_000))


class TestSimulation:
    """The statement of the gate."""

    def test_a_good_challenger_passes(self, report: Report):
        """As good everywhere and better on the weak class: in at least 80 of 100."""
        assert report.good.promoted == pytest.approx(0.835, abs=0.01)
        assert report.good.promoted_in_all > 0.99

    def test_a_worse_one_seldom_does(self, report: Report):
        """Five points worse on one class: 5.86 % exactly, and a point more over all looks."""
        assert report.worse.promoted == pytest.approx(0.0586, abs=0.005)
        assert report.worse.promoted_in_all < 0.075

    @pytest.mark.parametrize("per_class", [40, 100, 200])
    @pytest.mark.parametrize("differing", [0.02, 0.05])
    def test_the_images_named_settle_it(self, per_class: int, differing: float):
        """In at least 80 of 100, whether it is good or not."""
        found = simulate(Plan(per_class=per_class, differing=differing, runs=2_000))

        assert found.good.settled is not None
        assert found.worse.settled is not None
        assert min(found.good.settled, found.worse.settled) > 0.8

    @pytest.mark.parametrize(("classes", "repair"), [(5, 0.15), (2, 0.10)])
    def test_they_settle_it_where_the_whole_lacks_the_most(self, classes: int, repair: float):
        """Few classes that disagree often: a point over all images takes more than each class."""
        plan = Plan(classes=classes, per_class=50, differing=0.1, repair=repair, runs=2_000)
        found = simulate(plan)

        assert found.good.settled is not None
        assert found.worse.settled is not None
        assert min(found.good.settled, found.worse.settled) > 0.9

    def test_the_same_seed_gives_the_same_numbers(self):
        """A number in the docs must come again."""
        assert simulate(Plan(runs=50)) == simulate(Plan(runs=50))

    def test_refuses_what_is_no_share(self):
        """5 is a percentage, not a share."""
        with pytest.raises(StatisticsError, match="drop is 5; it must lie inside 0 and 1"):
            Plan(drop=5)
