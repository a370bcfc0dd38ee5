"""What of a day later days are compared with, so that its log is never read again."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

_UP = """
CREATE TABLE drift_days (
    day      date NOT NULL,
    version  text NOT NULL,
    n        bigint NOT NULL,
    -- numpy's npz, both: rows drawn from the day, and sums by class.
    drawn    bytea NOT NULL,
    sums     bytea NOT NULL,
    PRIMARY KEY (version, day)
);
-- Compressed by numpy already.
ALTER TABLE drift_days
    ALTER COLUMN drawn SET STORAGE EXTERNAL,
    ALTER COLUMN sums SET STORAGE EXTERNAL;
"""

_DOWN = "DROP TABLE drift_days;"


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
