"""The health of each judged day as one document, and how many answers were sure enough."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

_UP = """
-- NULL where the version's bundle does not say how sure is sure enough.
ALTER TABLE prediction_rollups
    ADD COLUMN confident bigint;

CREATE TABLE health_days (
    day       date NOT NULL,
    version   text NOT NULL REFERENCES versions (version),
    judged_at timestamptz NOT NULL,
    document  jsonb NOT NULL,
    PRIMARY KEY (day, version)
);
"""

_DOWN = """
DROP TABLE health_days;
ALTER TABLE prediction_rollups
    DROP COLUMN confident;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
