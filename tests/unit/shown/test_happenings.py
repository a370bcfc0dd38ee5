"""What happened, as one list."""

from core.shown.happenings import listed
from core.shown.phrases import plain
from core.store.registry import Move
from core.store.runs import Run
from tests.board import flag, happened, job, moment, notice


class TestListed:
    """The list of events."""

    def test_is_told_newest_first(self):
        """What happened last is what explains today."""
        events = happened(
            moves=[
                Move(1, "v1", moment(8), "test", "first"),
                Move(2, "v2", moment(13), "w", "gate"),
            ],
            flags=[flag("Dog", since=11)],
            jobs=[job("Dog")],
        )

        assert [plain(event.title) for event in listed(events)] == [
            "v2 became champion",
            "Retraining for Dog was refused by the gate",
            "Dog became weak",
            "v1 became champion",
        ]

    def test_a_closed_flag_is_two_events(self):
        """It fell, and it came back."""
        events = listed(happened(flags=[flag("Dog", since=9, closed=12)]))

        assert [(event.kind, event.day.day) for event in events] == [("recovery", 12), ("alert", 9)]

    def test_an_alert_stands_on_the_day_it_is_about(self):
        """A day caught up late is not today's trouble."""
        late = flag("Dog", since=9)

        assert listed(happened(flags=[late]))[0].day == late.raised_on

    def test_an_alert_about_no_class_is_two_events(self):
        """What concerned all classes explains their charts, too."""
        events = listed(happened(notices=[notice(resolved=14)]))

        assert [(event.kind, event.day.day) for event in events] == [
            ("recovery", 14),
            ("alert", 13),
        ]
        assert plain(events[0].title).startswith("Over: v1 as a whole is worse")
        assert events[1].detail == "Since 2026-03-12, v1 was right on 700 of 900 images."

    def test_a_promoted_retraining_names_its_version(self):
        """The reader looks for v2 next."""
        done = job("Dog", "promoted", challenger="v2")

        assert plain(listed(happened(jobs=[done]))[0].title) == (
            "Retraining for Dog passed the gate as v2"
        )

    def test_a_retraining_for_several_classes_names_all(self):
        """One job may be aimed at more than one flag."""
        both = job("Dog")
        both.labels.append("Cow")

        assert plain(listed(happened(jobs=[both]))[0].title).startswith("Retraining for Dog, Cow ")

    def test_a_run_that_failed_is_an_event(self):
        """A day without an exam has a reason."""
        events = happened()
        detail = {"error": "BundleError", "detail": "v1 has no model.onnx"}
        events.failed.append(
            Run(
                1, "day", "v1", "2026-03-09", "m", 1, moment(10), moment(10), None, "failed", detail
            )
        )

        assert plain(listed(events)[0].title) == "The day run of 2026-03-09 failed"
        assert listed(events)[0].detail == "v1 has no model.onnx"
