"""The words of an alert."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from core.store.class_days import ClassDay
from core.store.flags import Flag
from core.store.told import Told
from core.store.validations import WrongImage
from monitor.judgement.alerting import Facts, compose

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
SINCE = date(2026, 3, 8)
FLAG = Flag(7, "change", "Spider", "v3", SINCE, date(2026, 3, 9), NOW, None, None, 5400.0, 1500.0)


def _day(number: int, n: int, correct: int, confused: dict[str, int]) -> ClassDay:
    return ClassDay(SINCE + timedelta(days=number), "v3", "Spider", n, correct, confused, 0, 1)


@pytest.fixture
def facts() -> Facts:
    """Two bad days of a class of fifteen."""
    return Facts(
        flag=FLAG,
        days=[_day(0, 10, 4, {"Cat": 4, "Dog": 2}), _day(1, 10, 2, {"Dog": 4, "Bear": 4})],
        wrong=[
            WrongImage(i, f"/{i}.png", "Spider", "Cat", 1 - i / 100, SINCE, "v3")
            for i in (31, 12, 44)
        ],
        reference=0.91,
        reference_images=400,
        classes=15,
    )


class TestCompose:
    """`compose`, which is pure: the same facts, the same words."""

    def test_the_title_names_class_day_and_figures(self, facts: Facts):
        """It may be all that a telephone shows."""
        expected = "Spider is weak since 2026-03-08: 6 of 20 right, reference 91 %"
        assert compose(facts, now=NOW).title == expected

    def test_the_body_says_how_sure(self, facts: Facts):
        """Accuracy with its interval, evidence with its threshold and what that promises."""
        body = compose(facts, now=NOW).body

        assert "v3 was right on 6 of 20 labelled images of Spider: 30 %" in body
        assert "95 % interval 14 % to 52 %. Its reference is 91 %." in body
        assert "Evidence 5,400 on 2026-03-09, threshold 1,500" in body
        assert "at most 0.3 false alarms in 30 days, over all 15 classes" in body
        assert "It is 93 % sure that the class has fallen, if each falls once a year." in body

    def test_confusions_are_added_up_and_equals_go_by_name(self, facts: Facts):
        """Cat and Bear both have four; Dog has six."""
        alert = compose(facts, now=NOW)

        assert alert.confused_with == "Dog"
        assert "Mistaken for Dog (6), Bear (4), Cat (4)." in alert.body

    def test_the_class_with_the_evidence_is_named_before_the_most_frequent(self, facts: Facts):
        """Dog has always been so; that it is called Cat is news, and the one name told."""
        alert = compose(replace(facts, mistaken_for="Cat"), now=NOW)

        assert alert.confused_with == "Cat"
        assert "Mistaken for Cat (4), Dog (6), Bear (4)." in alert.body

    def test_many_confusions_are_summed_up(self, facts: Facts):
        """A thousand classes must not make a thousand lines."""
        scattered = _day(2, 10, 0, {f"Other{i}": 1 for i in range(10)})
        body = compose(replace(facts, days=[scattered]), now=NOW).body

        assert "Mistaken for Other0 (1), Other1 (1), Other2 (1) and others (7)." in body

    def test_an_uncertain_reference_is_said_to_be_so(self, facts: Facts):
        """Below 200 images the level is a careful guess."""
        body = compose(replace(facts, reference_images=60), now=NOW).body

        assert "Reference still uncertain (n = 60)." in body

    def test_images_are_named_in_the_order_given(self, facts: Facts):
        """The surest wrong answer first."""
        alert = compose(facts, now=NOW)

        assert (alert.images, "first: 31, 12, 44." in alert.body) == ([31, 12, 44], True)

    def test_a_class_without_wrong_answers_has_no_confusion(self, facts: Facts):
        """It cannot be flagged, but the words hold all the same."""
        alert = compose(replace(facts, days=[_day(0, 5, 5, {})], wrong=[]), now=NOW)

        assert (alert.confused_with, alert.images, "Mistaken" in alert.body) == (None, [], False)

    def test_it_keeps_what_it_tells(self, facts: Facts):
        """Worse is measured against what people were told, not against the reference."""
        assert compose(facts, now=NOW).told == [Told(SINCE, date(2026, 3, 9), 20, 6)]

    def test_a_hostile_class_name_stays_text(self, facts: Facts):
        """It is escaped where it is shown, so here it is left as it is."""
        flag = replace(FLAG, label="<b>% {0} @here")

        assert compose(replace(facts, flag=flag), now=NOW).title.startswith("<b>% {0} @here is")
