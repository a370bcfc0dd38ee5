"""`weakspot keys`: who may call the service: made, listed, taken back."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.store import keys
from core.store.database import transaction
from core.store.keys import Grant, Key
from weakspot import front

keys_app = typer.Typer(help="The API keys: who may call the service, and what for.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]

_DAYS = re.compile(r"(\d{1,6})d")


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who is to use it; no name is given twice.")],
    scopes: Annotated[
        str, typer.Option(help="What it opens, with commas: predict, read, label, admin.")
    ],
    expires: Annotated[
        str, typer.Option(help="When it ends: 90d, 2027-01-31, or a moment; never when left out.")
    ] = "",
    per_minute: Annotated[
        int | None, typer.Option(help="Requests it may make a minute; any number when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: it is shown this once, and kept nowhere."""
    now = front.clock().now()
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    grant = Grant(wanted, per_minute, _moment(expires, now) if expires else None)
    with front.open_store() as engine, transaction(engine) as connection:
        key, text = keys.create(connection, name, grant, by=front.user(), now=now)
    front.emit(
        {"key": text, **_summary(key, now)},
        as_json=as_json,
        text=f"{text}\n\n{_line(key, now)}\nIt is shown this once; send it as "
        "`Authorization: Bearer KEY`.",
    )


@keys_app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List every key, the newest first; the keys themselves are not known any more."""
    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        found = keys.all_keys(connection)
    nothing = "there is no key yet; run: weakspot keys create NAME --scopes predict,read"
    front.emit(
        {"keys": [_summary(key, now) for key in found]},
        as_json=as_json,
        text="\n".join(_line(key, now) for key in found) or nothing,
    )


@keys_app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its name or id.")], as_json: Json = False
) -> None:
    """Take a key back, for ever; the services follow within seconds."""
    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        revoked = keys.revoke(connection, key, by=front.user(), now=now)
    front.emit(_summary(revoked, now), as_json=as_json, text=f"{revoked.name} opens nothing now")


def _moment(text: str, now: datetime) -> datetime:
    """Return when a key ends: so many days from now, or at an ISO moment, UTC when it says no zone.

    Raises:
        UsageError: The text is neither.
    """
    days = _DAYS.fullmatch(text)
    try:
        if days:
            return now + timedelta(days=int(days[1]))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--expires {text!r} is no time; write 90d, 2027-01-31 or 2027-01-31T12:00Z"
        ) from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _summary(key: Key, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": _state(key, now),
        "scopes": list(key.scopes),
        "per_minute": key.per_minute,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _line(key: Key, now: datetime) -> str:
    rate = f"{key.per_minute}/min" if key.per_minute else "no limit"
    return (
        f"{key.id}  {key.name:20} {_state(key, now):8} {','.join(key.scopes):24} {rate:12} "
        f"expires {_day(key.expires_at)}  used {_day(key.last_used_at)}"
    )


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_active(now) else "expired"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "never"
