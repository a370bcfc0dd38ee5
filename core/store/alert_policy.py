"""What the owner of a model decides about alerts: as data, checked field by field.

How many false alarms are accepted, which accuracy is asked for, which classes are left out, who
hears what, and when it is quiet. Kept in versions by `core.store.alert_rules`.

A channel's address and secret may be names of environment variables (`env:WEAKSPOT_...`), and are
then read only when a message is sent. Written out, they are kept in the database as they are, and
shown to nobody: see `AlertRules.shown`.
"""

import re
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Final, Self, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import UsageError
from core.store.alerts import Kind

HIDDEN: Final = "…"
WEB_SCHEMES: Final = ("http", "https")

_LEAST_SECRET = 16
_REFERENCE = r"env:WEAKSPOT_[A-Z0-9_]{1,80}(#[1-9][0-9]?)?"
# Neither class names nor addresses have control characters, and Postgres takes no NUL.
_PLAIN = r"^[^\x00-\x1f\x7f]+$"

ClassName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)]
Moment = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class QuietHours(_Part):
    """When nobody is to be disturbed; messages wait for the end of it.

    Attributes:
        start: Local time at which it begins, such as `22:00`.
        end: Local time at which it ends; earlier than `start` when it goes over midnight.
        zone: IANA name of the zone these are meant in.
        urgent_classes: Classes that are told of all the same.
        urgent_kinds: Kinds of alert that are told of all the same.
    """

    start: Moment
    end: Moment
    zone: str = "UTC"
    urgent_classes: tuple[ClassName, ...] = ()
    urgent_kinds: tuple[Kind, ...] = ()

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError("no such time zone; write it like Europe/Berlin")
        return zone

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end are the same; leave quiet_hours out to have none")
        return self

    def ends(self, moment: datetime) -> datetime | None:
        """Return when the quiet hours around `moment` end, in UTC; None when it is not quiet.

        On a day with a change of clocks, the end is the first moment after `moment` at which a
        clock on the wall shows it, or would have.
        """
        zone = ZoneInfo(self.zone)
        local = moment.astimezone(zone)
        start, end, shown = _time(self.start), _time(self.end), local.time()
        quiet = start <= shown < end if start < end else (shown >= start or shown < end)
        if not quiet:
            return None
        days = (local.date() + timedelta(days=offset) for offset in range(2))
        ends = (
            datetime.combine(day, end, tzinfo=zone).replace(fold=fold).astimezone(UTC)
            for day in days
            for fold in (0, 1)
        )
        return next(each for each in ends if each > moment)


class Channel(_Part):
    """Somebody who hears of alerts.

    Attributes:
        name: What it is called in messages, logs and the outbox.
        url: `http(s)://` for the signed webhook, or any address that Apprise knows.
        secret: What a webhook is signed with.
        classes: Only alerts about these; all when empty, also those about no class.
        kinds: Only alerts of these kinds; all when empty.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
    url: str = Field(min_length=1, max_length=2000, repr=False)
    secret: str | None = Field(default=None, repr=False)
    classes: tuple[ClassName, ...] = ()
    kinds: tuple[Kind, ...] = ()

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if url.startswith("env:"):
            return _reference(url)
        check_url(url)
        return url

    @field_validator("secret")
    @classmethod
    def _is_long(cls, secret: str | None) -> str | None:
        if secret is None:
            return None
        if secret.startswith("env:"):
            return _reference(secret)
        if len(secret) < _LEAST_SECRET:
            raise ValueError(f"a secret has {_LEAST_SECRET} characters at least")
        return secret

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        if urlsplit(self.url).scheme in WEB_SCHEMES and self.secret is None:
            raise ValueError("a webhook is signed: give it a secret, or env:WEAKSPOT_...")
        return self

    def hears(self, kind: Kind, label: str | None) -> bool:
        """Say whether an alert of this kind about this class, or about none, is for it."""
        return (not self.kinds or kind in self.kinds) and (
            not self.classes or label in self.classes
        )

    @cached_property
    def shown(self) -> dict[str, Any]:
        """The channel as it may be shown: address and secret without what opens anything."""
        secret = self.secret
        plain = secret is None or secret.startswith("env:")
        return self.model_dump(mode="json") | {
            "url": hide(self.url),
            "secret": secret if plain else HIDDEN,
        }


class AlertRules(_Part):
    """What is judged and who hears of it.

    Attributes:
        budget: False class-alarms accepted per 30 days over all classes.
        floor: Accuracy below which a class is weak when its version came without a reference.
        left_out: Classes that are examined but never flagged.
        channels: Who hears.
        quiet_hours: When messages wait; None for never.
    """

    budget: float = Field(default=0.3, gt=0, allow_inf_nan=False)
    floor: float = Field(default=0.80, gt=0, lt=1)
    left_out: tuple[ClassName, ...] = ()
    channels: tuple[Channel, ...] = Field(default=(), max_length=50)
    quiet_hours: QuietHours | None = None

    @field_validator("channels")
    @classmethod
    def _have_names_of_their_own(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        names = [channel.name for channel in channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two channels are called {twice[0]!r}")
        return channels

    def shown(self) -> dict[str, Any]:
        """Return the rules as they may be shown to anybody: without secrets."""
        return self.model_dump(mode="json") | {"channels": [each.shown for each in self.channels]}

    def classes_named(self) -> dict[str, str]:
        """Return each class the rules name, with the field that names it first."""
        named: dict[str, str] = {}
        for i, label in enumerate(self.left_out):
            named.setdefault(label, f"left_out[{i}]")
        for k, channel in enumerate(self.channels):
            for i, label in enumerate(channel.classes):
                named.setdefault(label, f"channels[{k}].classes[{i}]")
        if self.quiet_hours:
            for i, label in enumerate(self.quiet_hours.urgent_classes):
                named.setdefault(label, f"quiet_hours.urgent_classes[{i}]")
        return named


def parse(data: Any, *, before: AlertRules | None = None) -> AlertRules:
    """Return rules out of JSON.

    Args:
        data: The rules as `AlertRules.shown` gives them.
        before: The rules they replace: an address or secret that is still hidden in `data` is
            taken from the channel of the same name.

    Raises:
        UsageError: Something does not fit; the message names each field, and repeats no value.
    """
    try:
        return AlertRules.model_validate(_revealed(data, before) if before else data)
    except ValidationError as error:
        faults = [
            f"{_path(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise UsageError("the alert rules do not fit: " + "; ".join(faults)) from None


def check_url(url: str) -> None:
    """Refuse what cannot be a channel's address, without repeating it.

    Raises:
        ValueError: It is none.
    """
    if HIDDEN in url:
        raise ValueError("the address is hidden, and no channel of that name has one; write it out")
    if any(not character.isprintable() or character.isspace() for character in url):
        raise ValueError("an address has no spaces or control characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the address cannot be read") from None
    if not parts.scheme or "://" not in url:
        raise ValueError("an address begins with a scheme, such as https://")
    if parts.scheme == "file":
        raise ValueError("file:// is no channel; use https:// or a scheme of Apprise")
    if parts.scheme in WEB_SCHEMES and not host:
        raise ValueError("the address names no host")


def hide(url: str) -> str:
    """Return an address as it may be shown: its scheme, and for a webhook its host.

    Example:
        >>> hide("https://user:pw@hooks.example/T0/B1"), hide("tgram://123:abc/9")
        ('https://hooks.example/…', 'tgram://…')
    """
    if url.startswith("env:"):
        return url
    parts = urlsplit(url)
    # Of other services, what stands where a host would stand is often the key.
    host = f"{parts.hostname}/" if parts.scheme in WEB_SCHEMES else ""
    return f"{parts.scheme}://{host}{HIDDEN}"


def _reference(text: str) -> str:
    if not re.fullmatch(_REFERENCE, text):
        raise ValueError("write env:WEAKSPOT_NAME, or env:WEAKSPOT_NAME#2 for its second word")
    return text


def _time(text: str) -> time:
    return time.fromisoformat(text)


def _revealed(data: Any, before: AlertRules) -> Any:
    """Put back the addresses and secrets that were hidden when the rules were shown."""
    channels = _object(data).get("channels")
    if not isinstance(channels, list):
        return data
    known = {channel.name: channel for channel in before.channels}

    def revealed(given: Any) -> Any:
        old = known.get(str(_object(given).get("name")))
        if old is None:
            return given
        kept = dict(_object(given))
        if kept.get("url") == old.shown["url"]:
            kept["url"] = old.url
        if kept.get("secret") == HIDDEN:
            kept["secret"] = old.secret
        return kept

    return {**_object(data), "channels": [revealed(each) for each in cast("list[Any]", channels)]}


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _path(loc: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return path.removeprefix(".") or "rules"
