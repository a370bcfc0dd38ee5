"""Who asked a version about its frozen images, and by how much each wrong answer led."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

_UP = """
-- The service asks what it serves by, the monitor what it examines by: one row each a day.
ALTER TABLE sentinel_checks
    ADD COLUMN asked_by text NOT NULL DEFAULT 'monitor',
    ADD COLUMN by_pixels double precision;
ALTER TABLE sentinel_checks
    DROP CONSTRAINT sentinel_checks_pkey,
    ADD PRIMARY KEY (version, day, asked_by);

-- NULL for images judged before.
ALTER TABLE validation_traces
    ADD COLUMN lead real;
"""

_DOWN = """
ALTER TABLE validation_traces DROP COLUMN lead;

DELETE FROM sentinel_checks WHERE asked_by <> 'monitor';
ALTER TABLE sentinel_checks
    DROP CONSTRAINT sentinel_checks_pkey,
    ADD PRIMARY KEY (version, day);
ALTER TABLE sentinel_checks
    DROP COLUMN asked_by,
    DROP COLUMN by_pixels;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
