"""The API keys: who may call the service, what for, how often, and until when.

The text of a key is shown once, when it is made, and kept nowhere: the table holds its SHA-256.
A key is 256 random bits, so that a digest without salt or stretching cannot be guessed backwards;
passwords chosen by people would need both.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

from core.errors import ConflictError, NotFoundError, UsageError
from core.store import audit

SCOPES: Final = ("predict", "read", "label", "admin")

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_TEXTS: Any = sa.ARRAY(sa.Text)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9a-f]{8}")
# What callers are called where the service needs no keys.
_TAKEN = frozenset({"local", "nobody"})
_SECRET_BYTES = 32
_MOST_PER_MINUTE = 1_000_000
_LONGEST = timedelta(days=3650)


class KeyRow(SQLModel, table=True):
    """One key, without its text."""

    __tablename__ = "api_keys"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    sha256: bytes = Field(unique=True)
    scopes: list[str] = Field(sa_type=_TEXTS)
    per_minute: int | None = None
    created_at: datetime = Field(sa_type=_TIMESTAMP)
    created_by: str
    expires_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    revoked_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    last_used_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the service and its owner know it; its text is not in here.

    Attributes:
        id: Eight hexadecimal digits; also the middle part of the key's text.
        name: What its owner calls it; never given twice, so that what it did stays traceable.
        sha256: Digest of the whole text.
        scopes: What it may be used for; some of SCOPES.
        per_minute: Requests it may make a minute; None for any number.
        created_at: When it was made.
        created_by: By whom.
        expires_at: From when it is worth nothing; None for never.
        revoked_at: When it was taken back; None while it was not.
        last_used_at: When it was last used, at most a minute behind; None for never.
    """

    id: str
    name: str
    sha256: bytes
    scopes: tuple[str, ...]
    per_minute: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        """Say whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key is to open; its fields are those of `Key`."""

    scopes: Sequence[str]
    per_minute: int | None = None
    expires_at: datetime | None = None


def digest(text: str | bytes) -> bytes:
    """Return what is kept of a key's text: its SHA-256."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).digest()


def create(
    connection: Connection, name: str, grant: Grant, *, by: str, now: datetime
) -> tuple[Key, str]:
    """Make a key; return it and its text, which nobody can be told again.

    Args:
        connection: Where it is kept.
        name: 1 to 64 letters, digits, dots, dashes or underscores; not used before.
        grant: What it opens.
        by: Who makes it.
        now: The present moment.

    Raises:
        UsageError: The name, a scope, the rate or the expiry makes no sense.
        ConflictError: The name has been given before.
    """
    _check_name(name)
    _check_scopes(grant.scopes)
    _check_limits(grant, now)
    id_ = secrets.token_hex(4)
    text = f"ws_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    opens = asdict(grant) | {"scopes": [scope for scope in SCOPES if scope in grant.scopes]}
    values = {"id": id_, "name": name, "sha256": digest(text), "by": by, "now": now} | opens
    row = connection.execute(_CREATE, values).one_or_none()
    if row is None:
        raise ConflictError(
            f"a key was called {name!r} before, and names are not given twice, so that what was "
            "done with a key stays traceable; choose another"
        )
    detail = opens | {"id": id_, "expires_at": _iso(grant.expires_at)}
    audit.record(connection, now=now, by=by, action="create key", subject=name, detail=detail)
    return _key(row), text


# DO NOTHING rather than an error: a failed statement would spoil the caller's transaction.
_CREATE = sa.text("""
    INSERT INTO api_keys (id, name, sha256, scopes, per_minute, created_at, created_by, expires_at)
    VALUES (:id, :name, :sha256, :scopes, :per_minute, :now, :by, :expires_at)
        ON CONFLICT DO NOTHING
 RETURNING id, name, sha256, scopes, per_minute, created_at, created_by, expires_at, revoked_at,
           last_used_at
""")


def all_keys(connection: Connection) -> list[Key]:
    """Return every key ever made, the newest first."""
    statement = _KEYS.order_by(col(KeyRow.created_at).desc(), col(KeyRow.name))
    return [_key(row) for row in connection.execute(statement)]


def unrevoked(connection: Connection) -> list[Key]:
    """Return the keys that were not taken back; some of them may have expired."""
    statement = _KEYS.where(col(KeyRow.revoked_at).is_(None))
    return [_key(row) for row in connection.execute(statement)]


def active(connection: Connection, now: datetime) -> list[Key]:
    """Return the keys that open something at `now`."""
    return [key for key in unrevoked(connection) if key.is_active(now)]


def revoke(connection: Connection, name_or_id: str, *, by: str, now: datetime) -> Key:
    """Take a key back, for ever; the services follow within seconds.

    Raises:
        NotFoundError: There is no such key.
        ConflictError: It was taken back before.
    """
    named = sa.or_(col(KeyRow.name) == name_or_id, col(KeyRow.id) == name_or_id)
    row = connection.execute(_KEYS.where(named).with_for_update()).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no key {name_or_id!r}; weakspot keys list shows all")
    key = _key(row)
    if key.revoked_at is not None:
        raise ConflictError(f"{key.name} was revoked already, at {key.revoked_at.isoformat()}")
    taken = sa.update(KeyRow).where(col(KeyRow.id) == key.id).values(revoked_at=now)
    connection.execute(taken)
    detail = {"id": key.id}
    audit.record(connection, now=now, by=by, action="revoke key", subject=key.name, detail=detail)
    row = connection.execute(_KEYS.where(col(KeyRow.id) == key.id)).one()
    return _key(row)


# One statement for all keys. What another service is writing at this moment is left to it:
# two that wait for each other's rows in different order would never end.
_TOUCH = sa.text("""
    UPDATE api_keys AS k
       SET last_used_at = used.at
      FROM (SELECT api_keys.id, said.at
              FROM unnest(CAST(:ids AS text[]), CAST(:moments AS timestamptz[])) AS said (id, at)
              JOIN api_keys USING (id)
             WHERE api_keys.last_used_at IS NULL OR api_keys.last_used_at < said.at
               FOR UPDATE OF api_keys SKIP LOCKED) AS used
     WHERE k.id = used.id
""")


def touch(connection: Connection, last_used: Mapping[str, datetime]) -> None:
    """Write down when keys were last used; a moment earlier than the known one changes nothing.

    Args:
        connection: Where they are kept.
        last_used: Moment by id of the key; unknown ids are ignored.
    """
    if last_used:
        values = {"ids": list(last_used), "moments": list(last_used.values())}
        connection.execute(_TOUCH, values)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"a key cannot be called {name!r}: use 1 to 64 letters, digits, dots, dashes or "
            "underscores, the first a letter or digit"
        )
    if _ID.fullmatch(name) or name in _TAKEN:
        raise UsageError(f"a key cannot be called {name!r}: ids and callers without keys look so")


def _check_scopes(scopes: Sequence[str]) -> None:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise UsageError(
            f"scopes are some of {', '.join(SCOPES)}"
            + (f"; there is none called {', '.join(map(repr, unknown))}" if unknown else "")
        )


def _check_limits(grant: Grant, now: datetime) -> None:
    rate, end = grant.per_minute, grant.expires_at
    if rate is not None and not 1 <= rate <= _MOST_PER_MINUTE:
        raise UsageError(f"{rate} requests a minute: 1 to {_MOST_PER_MINUTE} can be allowed")
    if end is not None and not now < end <= now + _LONGEST:
        raise UsageError(
            f"a key that expires at {end.isoformat()} is of no use: choose a moment after now and "
            f"within {_LONGEST.days} days, or none for a key that does not expire"
        )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


_KEYS = sa.select(*[getattr(KeyRow, name) for name in Key.__dataclass_fields__])


def _key(row: Sequence[Any]) -> Key:
    found = Key(*row)
    return replace(found, scopes=tuple(found.scopes))
