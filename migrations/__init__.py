"""Alembic migrations, numbered by hand; never edited once landed."""
