"""The alert rules as data."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.store.alert_policy import HIDDEN, AlertRules, Channel, QuietHours, hide, parse

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
SECRET = "a-secret-of-many-characters"
HOOK = {"name": "ops", "url": "https://hooks.example/T0/B1?token=abc", "secret": SECRET}


def _refusal(data: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as refused:
        parse(data)
    return str(refused.value)


class TestParse:
    """`parse`."""

    def test_keeps_what_it_is_given(self):
        """Down to JSON and back, with nothing lost."""
        data = {
            "budget": 0.5,
            "left_out": ["Cat"],
            "channels": [HOOK | {"classes": ["Dog"], "kinds": ["change"]}],
            "quiet_hours": {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"},
        }
        rules = parse(data)

        assert parse(rules.model_dump(mode="json")) == rules
        assert (rules.floor, rules.channels[0].url) == (0.8, HOOK["url"])

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({"budget": 0}, "budget: "),
            ({"budget": float("nan")}, "budget: "),
            ({"floor": 1.5}, "floor: "),
            ({"left_out": ["a", "x\ny"]}, "left_out[1]: "),
            ({"channels": [HOOK, HOOK]}, "channels: two channels are called 'ops'"),
            ({"channels": [HOOK | {"name": "No Way"}]}, "channels[0].name: "),
            ({"channels": [HOOK | {"secret": "short"}]}, "channels[0].secret: a secret has 16"),
            ({"channels": [HOOK | {"secret": None}]}, "channels[0]: a webhook is signed"),
            ({"channels": [HOOK | {"kinds": ["all"]}]}, "channels[0].kinds[0]: "),
            ({"quiet_hours": {"start": "7", "end": "08:00"}}, "quiet_hours.start: "),
            ({"quiet_hours": {"start": "08:00", "end": "08:00"}}, "quiet_hours: start and end"),
            (
                {"quiet_hours": {"start": "22:00", "end": "08:00", "zone": "Mars/Base"}},
                "quiet_hours.zone: no such time zone",
            ),
            ({"chanels": []}, "chanels: "),
        ],
    )
    def test_names_the_field_that_does_not_fit(self, data: dict[str, Any], field: str):
        """Whoever edits a page of JSON looks there first."""
        assert field in _refusal(data)

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "hooks.example/x",
            "https://",
            "https://h.example/a b",
            "https://h.example/\r\nHost: x",
            "https://h.example:99999/",
            "env:HOME",
            "env:weakspot_x",
            "env:WEAKSPOT_X#0",
            f"https://h.example/{HIDDEN}",
        ],
    )
    def test_refuses_what_is_no_address_without_repeating_it(self, url: str):
        """S08, S13: an address may hold a token, and the refusal goes to logs and screens."""
        refusal = _refusal({"channels": [HOOK | {"url": url}]})

        assert "channels[0].url" in refusal
        assert url not in refusal

    def test_what_was_hidden_when_shown_stays_as_it_was(self):
        """Somebody who edits the quiet hours need not know the addresses."""
        before = parse({"channels": [HOOK]})
        after = parse(before.shown() | {"budget": 1.0}, before=before)

        assert (after.channels, after.budget) == (before.channels, 1.0)

    def test_what_is_hidden_is_not_given_to_another_channel(self):
        """A secret stays with its name."""
        before = parse({"channels": [HOOK]})
        shown = before.shown()
        shown["channels"][0]["name"] = "mine"

        with pytest.raises(UsageError, match="url: the address is hidden"):
            parse(shown, before=before)


class TestShown:
    """What anybody may see."""

    def test_holds_neither_path_nor_secret(self):
        """S13: token and secret are in none of the ways a channel is printed."""
        channel = Channel.model_validate(HOOK)
        printed = [
            repr(channel),
            str(channel),
            str(channel.shown),
            str(AlertRules(channels=(channel,))),
        ]

        assert not any("abc" in text or SECRET in text or "T0" in text for text in printed)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://user:pw@hooks.example:8443/T0", "https://hooks.example/…"),
            ("tgram://123456:token/789", "tgram://…"),
            ("mailto://user:pw@example.com", "mailto://…"),
            ("env:WEAKSPOT_HOOK#2", "env:WEAKSPOT_HOOK#2"),
        ],
    )
    def test_says_where_to_and_no_more(self, url: str, shown: str):
        """Enough to tell two channels apart."""
        assert hide(url) == shown


class TestHears:
    """Who hears what."""

    @pytest.mark.parametrize(
        ("narrowed", "kind", "label", "heard"),
        [
            ({}, "change", "Cat", True),
            ({}, "monitor", None, True),
            ({"classes": ("Cat",)}, "change", "Cat", True),
            ({"classes": ("Cat",)}, "change", "Dog", False),
            ({"classes": ("Cat",)}, "monitor", None, False),
            ({"kinds": ("monitor",)}, "change", "Cat", False),
        ],
    )
    def test_by_class_and_kind(self, narrowed: Any, kind: Any, label: str | None, heard: bool):
        """Nothing given means everything."""
        assert Channel.model_validate(HOOK | narrowed).hears(kind, label) is heard


class TestQuietHours:
    """`QuietHours.ends`."""

    NIGHT = QuietHours(start="22:00", end="07:00", zone="Europe/Berlin")

    @pytest.mark.parametrize(
        ("moment", "end"),
        [
            ("2026-01-10T20:59Z", None),
            ("2026-01-10T21:00Z", "2026-01-11T06:00Z"),
            ("2026-01-11T05:59Z", "2026-01-11T06:00Z"),
            ("2026-01-11T06:00Z", None),
            ("2026-07-10T20:00Z", "2026-07-11T05:00Z"),
            # F08: the night of a change of clocks, both ways, ends at seven on the wall.
            ("2026-03-28T22:00Z", "2026-03-29T05:00Z"),
            ("2026-10-24T22:00Z", "2026-10-25T06:00Z"),
        ],
    )
    def test_ends_when_the_wall_clock_says_so(self, moment: str, end: str | None):
        """The zone's own clock counts, not UTC."""
        expected = datetime.fromisoformat(end) if end else None

        assert self.NIGHT.ends(datetime.fromisoformat(moment)) == expected

    @given(
        st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes)),
        st.times().map(lambda each: each.replace(second=0, microsecond=0)),
        st.times().map(lambda each: each.replace(second=0, microsecond=0)),
        st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
    )
    def test_end_after_now_and_within_a_day(
        self, moment: datetime, start: time, end: time, zone: str
    ):
        """Nothing waits for ever, whatever the clocks do."""
        if start == end:
            return
        quiet = QuietHours(start=f"{start:%H:%M}", end=f"{end:%H:%M}", zone=zone)
        ends = quiet.ends(moment)

        if ends is not None:
            assert moment < ends <= moment + timedelta(hours=25)
            shown = ends.astimezone(ZoneInfo(zone)).time()
            # Where a clock leaps over the end, it shows a later time.
            assert shown == end or shown > end
