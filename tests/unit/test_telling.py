"""Many news, one message."""

from dataclasses import replace
from datetime import UTC, date, datetime

from core.store.alerts import Alert
from core.telling import News, compose, dedup_key

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
ALERT = Alert(
    id=1,
    flag=1,
    label="Spider",
    version="v3",
    since=date(2026, 3, 8),
    at=NOW,
    state="open",
    title="Spider is weak since 2026-03-08: 6 of 20 right, reference 91 %",
    body="Since then.\nMistaken for Cat (4).",
    confused_with="Cat",
    images=[31, 12],
    resolved_at=None,
    peak=5400.0,
    level=3,
    evidence={"cause": "data"},
    told=[
        {"since": "2026-03-08", "until": "2026-03-09", "n": 20, "correct": 6},
        {"since": "2026-03-10", "until": "2026-03-14", "n": 50, "correct": 1},
    ],
)


def _alert(number: int, label: str = "") -> Alert:
    named = label or f"Class {number}"
    return replace(ALERT, id=number, flag=number, label=named, title=f"{named} is weak")


class TestCompose:
    """`compose`."""

    def test_one_piece_of_news_is_told_as_it_is(self):
        """The alert's own title is the message's."""
        message = compose([News("opened", ALERT)], now=NOW)

        assert (message["title"], message["mood"]) == (ALERT.title, "bad")
        assert message["body"].startswith("Since then.\nMistaken for Cat (4).\n\nAlert 1: ")

    def test_a_retraining_in_vain_is_told_in_its_own_words(self):
        """The job, how it ended and why; what it was about stands below."""
        said = (
            "Retraining 7, 2026-03-12: v4 was made, refused, and the champion stays: Cat is worse"
        )
        message = compose([News("retrained", ALERT, said)], now=NOW)
        both = compose([News("retrained", _alert(i), said) for i in (1, 2)], now=NOW)

        assert message["title"] == f"Spider: {said}"
        assert f"It was: {ALERT.title}" in message["body"]
        assert both["title"] == "2 retrained, not repaired: Class 1, Class 2"
        assert dedup_key("ops", [News("retrained", ALERT, said)]) != dedup_key(
            "ops", [News("retrained", ALERT, said.replace("7", "8"))]
        )

    def test_ten_weak_classes_are_one_message(self):
        """A telephone that rings ten times is switched off."""
        message = compose([News("opened", _alert(i)) for i in range(1, 11)], now=NOW)

        assert message["title"] == "10 weak: Class 1, Class 2, Class 3 and 7 more"
        assert [each["label"] for each in message["news"]] == [f"Class {i}" for i in range(1, 11)]
        assert all(f"Class {i} is weak\nSince then." in message["body"] for i in range(1, 11))

    def test_thousands_are_a_short_message(self):
        """A camera that breaks makes all 2,500 classes weak on one day."""
        message = compose([News("opened", _alert(i)) for i in range(2500)], now=NOW)

        assert "And 2480 more: weakspot alerts list" in message["body"]
        assert (len(message["body"]) < 3000, len(message["news"])) == (True, 500)

    def test_worse_and_resolved_are_told_beside_new_ones(self):
        """One message a day, whatever happened on it."""
        news = [
            News("opened", _alert(1)),
            News("worsened", _alert(2)),
            News("resolved", replace(_alert(3), state="resolved", resolved_at=NOW)),
        ]
        message = compose(news, now=NOW)

        assert message["title"] == "1 weak: Class 1; 1 worse: Class 2; 1 resolved: Class 3"
        assert (
            "Class 2 is worse: 1 of 50 right from 2026-03-10 to 2026-03-14, "
            "told before: 6 of 20. It was: Class 2 is weak" in message["body"]
        )
        assert "Alert 3 is resolved on 2026-03-10. It was: Class 3 is weak" in message["body"]

    def test_programs_get_the_reason_and_a_line(self):
        """A receiver of the webhook need not read sentences, nor ask again."""
        (news,) = compose([News("opened", ALERT)], now=NOW)["news"]

        assert (news["why"], news["line"]) == ({"cause": "data"}, ALERT.title)

    def test_good_news_alone_is_good(self):
        """Some channels show it in green."""
        assert compose([News("resolved", ALERT)], now=NOW)["mood"] == "good"

    def test_a_name_cannot_begin_a_line(self):
        """S22: a class name does not forge a message of ours."""
        hostile = [_alert(1, "x\nAll is well"), _alert(2, "\u202egnp")]
        title = compose([News("worsened", each) for each in hostile], now=NOW)["title"]

        assert title == "2 worse: x\ufffdAll is well, \ufffdgnp"


class TestDedupKey:
    """`dedup_key`."""

    def test_is_the_same_for_the_same_news_in_any_order(self):
        """A step that is run again says nothing new."""
        news = [News("opened", _alert(1)), News("opened", _alert(2))]

        assert dedup_key("ops", news) == dedup_key("ops", news[::-1])

    def test_differs_by_channel_news_and_level(self):
        """An alert may worsen several times, and each is told."""
        keys = {
            dedup_key("ops", [News("opened", ALERT)]),
            dedup_key("boss", [News("opened", ALERT)]),
            dedup_key("ops", [News("resolved", ALERT)]),
            dedup_key("ops", [News("worsened", ALERT)]),
            dedup_key("ops", [News("worsened", replace(ALERT, level=4))]),
            dedup_key("ops", [News("opened", replace(ALERT, at=datetime(2027, 1, 1, tzinfo=UTC)))]),
        }

        assert len(keys) == 6
