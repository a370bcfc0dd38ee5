"""Migrations go up and down, say what the tables say, and are never edited once landed."""

import hashlib
from importlib import import_module
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import AutoString, SQLModel

from core.store import database
from core.store.halfvec import HalfVec

ROOT = Path(__file__).resolve().parents[2]
LANDED = ROOT / "tests/house/landed_migrations.txt"
for module in sorted((ROOT / "core/store").glob("*.py")):
    import_module(f"core.store.{module.stem}")


@pytest.mark.postgres
class TestMigrations:
    """The way from nothing to this code's schema, and back."""

    @pytest.mark.filterwarnings("ignore:Did not recognize type 'halfvec'")
    def test_leave_the_schema_the_tables_describe(self, engine):
        """A column that only one of the two knows fails at night."""
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"include_object": _is_ours, "compare_type": _types_differ}
            )

            assert compare_metadata(context, SQLModel.metadata) == []

    def test_go_down_and_up_again(self, database_url, engine):
        """A release must be possible to take back."""
        database.downgrade(database_url, "base")
        with engine.connect() as connection:
            left = set(sa.inspect(connection).get_table_names())

        database.upgrade(database_url)

        assert left <= {"alembic_version"}
        database.require_schema(engine)

    def test_are_refused_by_name_when_missing(self, database_url, engine):
        """The message names the command to run."""
        database.downgrade(database_url, "base")

        with pytest.raises(database.SchemaError, match="weakspot db upgrade"):
            database.require_schema(engine)


class TestLandedMigrations:
    """What has landed has run somewhere."""

    def test_are_never_edited(self):
        """An edited migration leaves two databases that believe they are alike."""
        landed = dict(line.split() for line in LANDED.read_text().splitlines() if line)
        present = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (ROOT / "migrations/versions").glob("[0-9]*.py")
        }

        assert present == landed


def _types_differ(context, inspected, described, inspected_type, described_type):
    # Postgres knows one kind of text without a length, SQLAlchemy several; and a vector is ours.
    texts = isinstance(inspected_type, sa.TEXT) and isinstance(
        described_type, sa.String | AutoString
    )
    return False if texts or isinstance(described_type, HalfVec) else None


def _is_ours(item, name, kind, reflected, compare_to):
    return not (kind == "table" and name.startswith(("predictions_", "alembic")))
