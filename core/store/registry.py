"""The registered bundles, which of them serves, and who has loaded it.

An alias is a chain of moves, each naming the one it follows, so history stays linear: of two
promotions at once the second finds its place taken and is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, exc
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlmodel import Field, SQLModel, col

from core.errors import ConflictError, NotFoundError
from core.store import audit

CHAMPION = "champion"
CHANNEL = "weakspot_alias"
_ROLL_BACK = "roll back"

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class VersionRow(SQLModel, table=True):
    """One registered bundle."""

    __tablename__ = "versions"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.UniqueConstraint("number", name="versions_number_unique"),)

    version: str = Field(primary_key=True)
    number: int = Field(sa_type=sa.BigInteger)
    name: str
    uri: str
    digest: str = Field(sa_type=sa.CHAR(64))
    labels: list[str] = Field(sa_type=_JSON)
    parent: str | None = Field(default=None, foreign_key="versions.version")
    snapshot: str = Field(sa_type=sa.CHAR(64))
    snapshot_at: datetime = Field(sa_type=_TIMESTAMP)
    metrics: dict[str, Any] = Field(sa_type=_JSON)
    reference: dict[str, Any] = Field(sa_type=_JSON)
    config: dict[str, Any] = Field(sa_type=_JSON)
    code_version: str
    created_at: datetime = Field(sa_type=_TIMESTAMP)


class AliasRow(SQLModel, table=True):
    """One move of an alias."""

    __tablename__ = "aliases"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.UniqueConstraint(
            "alias", "follows", name="aliases_linear", postgresql_nulls_not_distinct=True
        ),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    alias: str
    version: str = Field(foreign_key="versions.version")
    follows: int | None = Field(default=None, foreign_key="aliases.id", sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=_TIMESTAMP)
    by: str
    reason: str


class LoadRow(SQLModel, table=True):
    """One attempt of one service to load a version."""

    __tablename__ = "loads"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.Index("loads_by_version", "version", "at"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    version: str
    instance: str
    at: datetime = Field(sa_type=_TIMESTAMP)
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Version:
    """A registered bundle.

    Attributes:
        version: Its name in every answer and row, such as `v3`.
        number: Its place in the order of registration.
        name: Name of the model all versions are versions of.
        uri: Folder of the bundle.
        digest: SHA-256 of its manifest, which holds the digests of all its files.
        labels: The classes, in the order of the model's outputs.
        parent: The version it was fine-tuned from; None for one trained on its own.
        snapshot: Digest of the frozen list of training images.
        snapshot_at: When that list was frozen: images added later were not learnt from.
        metrics: `{"val": {...}, "test": {...}}`, as `weakspot train --json` prints them.
        reference: Per label the counts that its reference level is drawn from:
            `{label: {"n": int, "correct": int, "confused": {label: int}}}`.
        config: The run's configuration.
        code_version: Version of the code that trained it.
        created_at: When it was registered.
    """

    version: str
    number: int
    name: str
    uri: str
    digest: str
    labels: list[str]
    parent: str | None
    snapshot: str
    snapshot_at: datetime
    metrics: dict[str, Any]
    reference: dict[str, Any]
    config: dict[str, Any]
    code_version: str
    created_at: datetime

    @property
    def was_chosen(self) -> bool:
        """Whether the gate chose it, by test images: what is fine-tuned gets to serve that way."""
        return self.parent is not None


@dataclass(frozen=True, slots=True)
class Move:
    """One move of an alias: promoted, or rolled back."""

    id: int
    version: str
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Load:
    """What became of one attempt to load a version."""

    version: str
    instance: str
    at: datetime
    ok: bool
    detail: str
    seconds: float


def next_number(connection: Connection) -> int:
    """Take the next version number; numbers may have gaps, never doubles."""
    return connection.execute(sa.text("SELECT nextval('version_numbers')")).scalar_one()


def register(connection: Connection, version: Version) -> None:
    """Register a bundle that lies in its place."""
    values = {name: getattr(version, name) for name in Version.__dataclass_fields__}
    connection.execute(sa.insert(VersionRow), values)


def get(connection: Connection, version: str) -> Version:
    """Return one version.

    Raises:
        NotFoundError: Nothing is registered under that name.
    """
    row = connection.execute(_VERSIONS.where(col(VersionRow.version) == version)).one_or_none()
    if row is None:
        raise NotFoundError(f"no version {version!r} is registered; see: weakspot model list")
    return Version(*row)


def versions(connection: Connection) -> list[Version]:
    """Return every version, the newest first."""
    rows = connection.execute(_VERSIONS.order_by(col(VersionRow.number).desc()))
    return [Version(*row) for row in rows]


def champion(connection: Connection) -> Version | None:
    """Return the version that serves; None before the first promotion."""
    move = _last_move(connection, CHAMPION)
    return None if move is None else get(connection, move.version)


def champion_on(connection: Connection, moment: datetime) -> Version | None:
    """Return the version that served at `moment`; the first one for all time before it."""
    moves = history(connection)
    if not moves:
        return None
    serving = [move for move in moves if move.at <= moment] or moves[:1]
    return get(connection, serving[-1].version)


def history(connection: Connection, alias: str = CHAMPION) -> list[Move]:
    """Return the alias's moves, the oldest first."""
    rows = connection.execute(_MOVES.where(col(AliasRow.alias) == alias).order_by(col(AliasRow.id)))
    return [Move(*row) for row in rows]


def promote(
    connection: Connection, version: str, *, now: datetime, by: str, reason: str
) -> str | None:
    """Make `version` the champion, tell the services, and return the one it replaces.

    Raises:
        NotFoundError: The version is not registered.
        ConflictError: It serves already, or another promotion was faster.
    """
    get(connection, version)
    last = _last_move(connection, CHAMPION)
    if last is not None and last.version == version:
        raise ConflictError(f"{version} is the champion already")
    _move(connection, version, follows=last, now=now, by=by, reason=reason)
    audit.record(
        connection,
        now=now,
        by=by,
        action="promote",
        subject=version,
        detail={"reason": reason, "before": last.version if last else None},
    )
    return last.version if last else None


def roll_back(
    connection: Connection, *, now: datetime, by: str, reason: str, over: str | None = None
) -> tuple[str, str]:
    """Make the predecessor of `over`, or of whichever serves, the champion; return (from, to).

    Raises:
        ConflictError: There is nothing to go back to, another champion serves, or another move
            was faster.
    """
    last, line = _last_move(connection, CHAMPION), succession(connection)
    if over is not None and (last is None or over != last.version):
        raise ConflictError(f"the champion is {last.version if last else 'none'} and not {over}")
    earlier = [version for version in line if last is not None and version != last.version]
    if last is None or not earlier:
        raise ConflictError(
            "there is no earlier champion to roll back to that was not rolled back itself; "
            "another version is promoted by: weakspot model promote"
        )
    _move(connection, earlier[-1], follows=last, now=now, by=by, reason=reason)
    audit.record(
        connection,
        now=now,
        by=by,
        action=_ROLL_BACK,
        subject=earlier[-1],
        detail={"reason": reason, "before": last.version},
    )
    return last.version, earlier[-1]


def succession(connection: Connection) -> list[str]:
    """Return the champions that rollbacks go back through, the present one last.

    What was rolled back from is not among them until it is promoted again, so that a second
    rollback goes further back and never to what the first one took away.
    """
    backs = audit.of_action(connection, _ROLL_BACK)
    undone = {(deed.at, deed.subject, deed.detail["before"]) for deed in backs}
    line: list[str] = []
    for move in history(connection):
        before = line[-1] if line else None
        if (move.at, move.version, before) in undone:
            line = [version for version in line if version != before]
        if not line or line[-1] != move.version:
            line.append(move.version)
    return line


def record_load(connection: Connection, load: Load) -> None:
    """Write down whether a service could load a version."""
    values = {name: getattr(load, name) for name in Load.__dataclass_fields__}
    connection.execute(sa.insert(LoadRow), values)


def loads(connection: Connection, version: str) -> list[Load]:
    """Return the attempts to load a version, the oldest first."""
    statement = sa.select(*[getattr(LoadRow, name) for name in Load.__dataclass_fields__])
    statement = statement.where(col(LoadRow.version) == version).order_by(col(LoadRow.id))
    return [Load(*row) for row in connection.execute(statement)]


def latest_loads(connection: Connection, version: str) -> list[Load]:
    """Return what became of each service's last attempt to load a version, by service."""
    statement = (
        sa.select(*[getattr(LoadRow, name) for name in Load.__dataclass_fields__])
        .ext(distinct_on(col(LoadRow.instance)))
        .where(col(LoadRow.version) == version)
        .order_by(col(LoadRow.instance), col(LoadRow.id).desc())
    )
    return [Load(*row) for row in connection.execute(statement)]


def serving(connection: Connection, instances: Sequence[str]) -> dict[str, str]:
    """Return the version that each of some services has loaded last, where it has loaded any."""
    statement = (
        sa.select(col(LoadRow.instance), col(LoadRow.version))
        .ext(distinct_on(col(LoadRow.instance)))
        .where(col(LoadRow.ok), col(LoadRow.instance).in_(instances))
        .order_by(col(LoadRow.instance), col(LoadRow.id).desc())
    )
    return {row.instance: row.version for row in connection.execute(statement)}


def _last_move(connection: Connection, alias: str) -> Move | None:
    statement = _MOVES.where(col(AliasRow.alias) == alias).order_by(col(AliasRow.id).desc())
    row = connection.execute(statement.limit(1)).one_or_none()
    return None if row is None else Move(*row)


def _move(
    connection: Connection,
    version: str,
    *,
    follows: Move | None,
    now: datetime,
    by: str,
    reason: str,
) -> None:
    values = {
        "alias": CHAMPION,
        "version": version,
        "follows": follows.id if follows else None,
        "at": now,
        "by": by,
        "reason": reason,
    }
    try:
        connection.execute(sa.insert(AliasRow), values)
    except exc.IntegrityError as error:
        raise ConflictError("another promotion was faster; look again and retry") from error
    # Notices leave with the commit, so no service hears of a promotion that did not happen.
    connection.execute(
        sa.text("SELECT pg_notify(:channel, :version)"), {"channel": CHANNEL, "version": version}
    )


_VERSIONS = sa.select(*[getattr(VersionRow, name) for name in Version.__dataclass_fields__])
_MOVES = sa.select(
    col(AliasRow.id),
    col(AliasRow.version),
    col(AliasRow.at),
    col(AliasRow.by),
    col(AliasRow.reason),
)
