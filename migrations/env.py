"""How Alembic reaches the database: one at a time, and never waiting for a lock for long."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

# Any number that is ours alone: two programs that start together migrate one after the other.
_ADVISORY_LOCK = 7_357_001


def run_migrations() -> None:
    """Run the migrations on the URL that `core.store.database` puts into the config."""
    engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        connection.execute(sa.text("SET lock_timeout = '10s'"))
        connection.execute(sa.text("SET statement_timeout = '15min'"))
        connection.commit()
        try:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        finally:
            connection.rollback()
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
            connection.commit()
    engine.dispose()


run_migrations()
