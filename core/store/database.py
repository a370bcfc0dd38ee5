"""The way to Postgres: engine, migrations, and errors translated once, where they enter."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from core.errors import ConflictError, SchemaError, StoreAwayError, StoreError, UsageError
from core.store import embedded

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_DATA_IS_TO_BLAME = frozenset({"22", "23", "54"})

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def normalise_url(url: str | URL) -> URL:
    """Return `url` for psycopg 3, whichever of the usual spellings it has.

    Raises:
        UsageError: It does not name a Postgres database.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise UsageError("the database URL cannot be read; write postgresql://...") from error
    if parsed.get_backend_name() not in {"postgres", "postgresql"}:
        raise UsageError(
            f"the database URL names {parsed.get_backend_name()}; only Postgres is supported"
        )
    return parsed.set(drivername="postgresql+psycopg")


def create_engine(url: str | URL, *, pool_size: int = 5, statement_timeout_s: int = 60) -> Engine:
    """Return an engine whose pool notices dead connections and whose statements end.

    Args:
        url: Any spelling that `normalise_url` accepts.
        pool_size: Connections kept open; twice as many may be open at a peak.
        statement_timeout_s: After so long Postgres cancels a statement.
    """
    return sa.create_engine(
        normalise_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            # A server that is cut off rather than closed would hold a statement for minutes.
            "tcp_user_timeout": 15_000,
            "options": f"-c timezone=UTC -c statement_timeout={statement_timeout_s}s "
            "-c lock_timeout=10s -c idle_in_transaction_session_timeout=300s",
        },
    )


def create_impatient_engine(engine: Engine, *, pool_size: int = 2) -> Engine:
    """Return an engine on the same database that says within about two seconds that it is away.

    A dead connection is found by using it, which saves every group of predictions a question.
    What hangs without a word, as a stopped server does, `core.store.watchdog` ends.
    """
    return sa.create_engine(
        engine.url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        pool_pre_ping=False,
        connect_args={
            "connect_timeout": 2,
            "tcp_user_timeout": 2_000,
            "options": "-c timezone=UTC -c statement_timeout=2s -c lock_timeout=1s "
            "-c idle_in_transaction_session_timeout=60s",
        },
    )


def allow_long_statements(connection: Connection) -> None:
    """Let the statements of this transaction take a quarter of an hour, and some memory.

    For work over a whole day's log: with millions of rows it takes longer than any request may,
    and sums that do not fit into Postgres' few megabytes a step would go through the disk.
    """
    connection.execute(sa.text("SET LOCAL statement_timeout = '15min'"))
    connection.execute(sa.text("SET LOCAL work_mem = '64MB'"))


@contextmanager
def transaction(engine: Engine) -> Generator[Connection]:
    """Open a transaction; commit when the block ends, roll back when it raises.

    Raises:
        ConflictError: A unique constraint says that somebody else was faster.
        StoreAwayError: Postgres is away.
        StoreError: Postgres refused the statement.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except exc.IntegrityError as error:
        raise ConflictError(_first_line(error)) from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise _store_error(error) from error


@contextmanager
def open_database(
    url: str | None, folder: Path, *, on_progress: Callable[[str], None] | None = None
) -> Generator[Engine]:
    """Open the database a program works on, and close it when the block ends.

    With a URL, the schema must be there already: the owner decides when to migrate. The
    embedded Postgres is ours, so it is started where it does not run, and migrated.

    Args:
        url: The owner's Postgres; None for the embedded one.
        folder: Data folder of the embedded Postgres.
        on_progress: Told in words what is being waited for.

    Raises:
        SchemaError: The owner's database needs `weakspot db upgrade` first.
        StoreError: Postgres cannot be started or reached.
    """
    with ExitStack() as stack:
        if url is None:
            server = stack.enter_context(embedded.connect(folder, on_progress=on_progress))
            url = server.url
            upgrade(url)
        engine = create_engine(url)
        stack.callback(engine.dispose)
        with _translated():
            require_schema(engine)
        yield engine


def is_away(error: Exception | None) -> bool:
    """Say whether a driver's error speaks of Postgres, and not of what it was asked to write.

    Only two classes of SQLSTATE blame the data (22, 23), and 54 its size; all others, such as a
    full disk, a lock held too long, a missing table or no connection at all, may pass.
    """
    if isinstance(error, exc.TimeoutError):
        return True
    original = getattr(error, "orig", None) or error
    if not isinstance(original, psycopg.Error):
        return False
    if original.sqlstate is None:
        return isinstance(original, psycopg.OperationalError)
    return original.sqlstate[:2] not in _DATA_IS_TO_BLAME


def is_reachable(engine: Engine) -> bool:
    """Say whether a trivial question is answered."""
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    except (exc.DBAPIError, exc.TimeoutError):
        return False


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`; safe to run from several programs at once."""
    with _translated():
        command.upgrade(_alembic(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision`; `base` empties the database."""
    with _translated():
        command.downgrade(_alembic(url), revision)


def schema_revisions(engine: Engine) -> tuple[str | None, str | None]:
    """Return the revision the database is at, and the one this code needs."""
    with _translated(), engine.connect() as connection:
        return revisions_at(connection)


def revisions_at(connection: Connection) -> tuple[str | None, str | None]:
    """Return the same where a connection is open already."""
    present = MigrationContext.configure(connection).get_current_revision()
    return present, ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def require_schema(engine: Engine) -> None:
    """Refuse to go on against a database that this code does not fit.

    Raises:
        SchemaError: The revision differs; the message names the command to run.
    """
    present, needed = schema_revisions(engine)
    if present == needed:
        return
    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if present is not None and present not in known:
        # A newer release migrated it: its migrations only add, so this code still runs on it.
        return
    raise SchemaError(
        f"the database is at migration {present or 'none'}, this code needs {needed}; "
        "run: weakspot db upgrade"
    )


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise _store_error(error) from error


def _store_error(error: Exception) -> StoreError:
    kind = StoreAwayError if is_away(error) else StoreError
    return kind(f"the database did not answer as it should: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    # The rest of a driver's message holds the statement and its parameters: not for outside.
    original: Any = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0] if str(original).strip() else type(error).__name__


def _alembic(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = normalise_url(url)
    return config
