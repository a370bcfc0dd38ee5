"""The verdict in words."""

from dataclasses import replace

import pytest

from dashboard.pages.health import verdict
from dashboard.parts.saying import Mention, plain
from tests.board import (
    alert,
    class_day,
    exam,
    flag,
    happened,
    later,
    notice,
    one_class_of,
    overview_of,
    reading,
    version,
)


def weak(label: str, number: int = 1):
    """Return a class that is weak since 11 March."""
    return reading(label, standing="weak", flag=flag(label, number=number), evidence=5000.0)


class TestOverview:
    """The sentence on top of the overview."""

    def test_names_the_weak_class_since_when_and_what_it_is_taken_for(self):
        """Five seconds are enough for one sentence."""
        said = verdict.of_overview(overview_of(weak("Elephant"), reading("Dog")))

        assert said.tone == "bad"
        assert plain(said.sentence) == (
            "1 of 2 classes needs attention: Elephant since 11 Mar, 93 % sure, now mistaken for Cow"
        )

    def test_names_three_and_counts_the_others(self):
        """A sentence of forty names is no sentence."""
        classes = [weak(f"C{i}", i) for i in range(5)]

        text = plain(verdict.of_overview(overview_of(*classes)).sentence)

        assert text.startswith("5 of 5 classes need attention: C0 since 11 Mar")
        assert text.endswith("; and 2 more")
        assert "C3" not in text

    def test_says_when_all_are_well(self):
        """Good news is said as plainly."""
        said = verdict.of_overview(overview_of(reading("Cow"), reading("Dog")))

        assert (said.tone, plain(said.sentence)) == ("good", "All 2 classes are well")
        assert said.notes == ["Examined 14 Mar with v1: 18 of 20 images right (90 %)."]

    def test_a_repaired_class_is_recovering(self):
        """Promoted is not proven."""
        repaired = reading("Elephant", standing="recovering", flag=flag("Elephant"))

        said = verdict.of_overview(overview_of(repaired, reading("Dog")))

        assert (said.tone, plain(said.sentence)) == (
            "watch",
            "1 of 2 classes is recovering: Elephant",
        )

    def test_does_not_vouch_for_what_it_cannot_see(self):
        """No labels are not a good sign."""
        unseen = reading("Yak", standing="no labels", days=[])

        said = verdict.of_overview(overview_of(reading("Dog"), unseen))

        assert said.tone == "watch"
        assert plain(said.sentence).endswith("1 of 2 classes cannot be vouched for: Yak")

    @pytest.mark.parametrize(
        ("champion", "command"), [(version(), "weakspot validate"), (None, "weakspot train")]
    )
    def test_says_what_to_run_before_the_first_exam(self, champion, command):
        """An empty page that does not say what to do is a dead end."""
        said = verdict.of_overview(overview_of(champion=champion))

        assert plain(said.sentence) == "No class has been examined yet"
        assert command in said.notes[0]

    def test_says_that_exams_are_overdue(self):
        """A fine verdict of last week is no verdict."""
        facts = replace(overview_of(reading("Dog")), now=later(4))

        assert "Nothing has been examined for 5 days" in verdict.of_overview(facts).notes[-1]

    def test_an_exam_of_yesterday_is_not_overdue(self):
        """The day before is examined in the night."""
        assert not verdict.is_late(replace(overview_of(reading("Dog")), now=later(0)))

    def test_says_that_another_version_has_taken_over(self):
        """What was examined is not what serves."""
        facts = overview_of(reading("Dog"), champion=version("v2"))

        assert "v2 serves now and has not been examined yet." in verdict.of_overview(facts).notes

    def test_says_that_an_exam_could_not_be_judged(self):
        """Unreadable pictures are not wrong answers."""
        facts = overview_of(reading("Dog"), broken=exam(14, status="invalid", unreadable=60))

        assert "60 images could not be read" in verdict.of_overview(facts).notes[1]

    def test_counts_classes_without_fresh_labels(self):
        """They are missing from the accuracy that is told."""
        empty = reading("Yak", days=[class_day("Yak", 14, 0, 0)])

        notes = verdict.of_overview(overview_of(reading("Dog"), empty)).notes

        assert notes[0].endswith("; 1 class without fresh labels.")

    def test_what_concerns_all_classes_is_said_first(self):
        """Every class may be well by itself while the model as a whole is not."""
        events = happened(notices=[notice()])

        said = verdict.of_overview(overview_of(reading("Cow"), reading("Dog"), events=events))

        assert said.tone == "bad"
        assert plain(said.sentence) == (
            "v1 as a whole is worse since 2026-03-12: 700 of 900 right, reference 90.0 %. "
            "No single class is flagged"
        )

    def test_a_weak_class_follows_what_concerns_all(self):
        """Neither hides the other."""
        events = happened(flags=[flag("Elephant")], notices=[notice(title="The monitor is late")])

        said = verdict.of_overview(overview_of(weak("Elephant"), reading("Dog"), events=events))

        assert plain(said.sentence).startswith(
            "The monitor is late. 1 of 2 classes needs attention: Elephant"
        )

    def test_what_is_over_is_no_longer_said(self):
        """A resolved alert is an event, and not the verdict."""
        events = happened(notices=[notice(resolved=14)])

        said = verdict.of_overview(overview_of(reading("Cow"), reading("Dog"), events=events))

        assert (said.tone, plain(said.sentence)) == ("good", "All 2 classes are well")

    def test_a_monitor_that_never_ran_is_said_before_the_first_exam(self):
        """Otherwise the page asks for an exam, and hides why there was none."""
        events = happened(notices=[notice(kind="monitor", title="The monitor is late: 9 days")])

        said = verdict.of_overview(overview_of(events=events))

        assert said.tone == "bad"
        assert plain(said.sentence).startswith("The monitor is late: 9 days. No class has been")

    def test_class_names_are_mentions(self):
        """The page links them; nothing else in a sentence came from outside."""
        said = verdict.of_overview(overview_of(weak("<b>"), reading("Dog")))

        assert Mention("<b>") in said.sentence


class TestOneClass:
    """The sentence on top of a class's page."""

    def test_tells_the_evidence_of_a_weak_class(self):
        """How sure is what is asked next."""
        said = verdict.of_class(one_class_of(weak("Elephant")))

        assert plain(said.sentence) == (
            "Elephant needs attention since 11 Mar, 93 % sure, now mistaken for Cow"
        )
        assert "Evidence of a drop: 5,000, where 1,000 raises an alarm." in said.notes[1]
        assert said.notes[2].startswith("The alarm's evidence was ")
        assert "which chance alone shows at most once in " in said.notes[2]

    def test_tells_the_evidence_of_recovery(self):
        """What has to happen before the flag closes."""
        fields = {"recovery_log_m": [0.0], "recovery_evidence": 3.2}
        repaired = reading("Dog", standing="recovering", flag=flag("Dog"), **fields)

        notes = verdict.of_class(one_class_of(repaired)).notes

        assert notes[-1] == "Evidence of recovery: 3.2, where 20 closes the flag."

    def test_a_small_reference_is_said_to_be_uncertain(self):
        """A level drawn from a hundred images is itself a guess."""
        notes = verdict.of_class(one_class_of(reading("Dog"))).notes

        assert notes[-1] == "Its reference is still uncertain (n = 100)."

    def test_days_without_labels_are_told(self):
        """Silence is not health."""
        silent = reading("Dog", standing="uncertain", days_without_labels=9)

        said = verdict.of_class(one_class_of(silent))

        assert plain(said.sentence) == "Dog has had no fresh labels for 9 days"

    @pytest.mark.parametrize("standing", ["healthy", "weak"])
    def test_a_few_days_without_labels_are_noted(self, standing):
        """Before they make a class doubtful, and when something else is the news."""
        silent = reading("Dog", standing=standing, flag=None, days_without_labels=3)

        assert "No fresh labels (3 days)." in verdict.of_class(one_class_of(silent)).notes

    @pytest.mark.parametrize(
        ("standing", "words"),
        [
            ("healthy", "Dog is well"),
            ("uncertain", "Dog is not flagged, but the evidence against it is growing"),
            ("no labels", "Dog has not been examined yet: no labelled images"),
        ],
    )
    def test_has_a_sentence_for_every_standing(self, standing, words):
        """No state of a class leaves the page without a verdict."""
        said = verdict.of_class(one_class_of(reading("Dog", standing=standing)))

        assert plain(said.sentence) == words

    def test_what_concerns_all_classes_is_noted(self):
        """A class cannot be vouched for by answers of another bundle."""
        events = happened(notices=[notice(kind="model", title="Another model lies there")])

        said = verdict.of_class(one_class_of(reading("Dog"), events=events))

        assert (said.tone, plain(said.sentence)) == ("watch", "Dog is well by itself")
        assert said.notes[-1] == "Concerns all classes: Another model lies there."

    def test_an_alert_that_names_no_class_is_told_without(self):
        """Wrong answers may be spread over many classes."""
        raised = flag("Dog")
        facts = one_class_of(reading("Dog", standing="weak", flag=raised))
        events = happened(flags=[raised])
        events.alerts[raised.id] = alert(raised, confused_with=None)

        said = verdict.of_class(replace(facts, events=events))

        assert plain(said.sentence) == "Dog needs attention since 11 Mar, 93 % sure"
