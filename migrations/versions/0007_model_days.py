"""The model as a whole, day by day, and which images of a day belong together."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_UP = """
ALTER TABLE class_days
    ADD COLUMN shared jsonb NOT NULL DEFAULT '[]';

CREATE TABLE model_days (
    day               date NOT NULL,
    version           text NOT NULL REFERENCES versions (version),
    n                 integer NOT NULL,
    correct           integer NOT NULL,
    correlation       double precision NOT NULL,
    grouped           boolean NOT NULL,
    reference         double precision,
    threshold         double precision,
    evidence          double precision NOT NULL,
    log_m             double precision[] NOT NULL,
    alarm             boolean NOT NULL,
    recovery_evidence double precision NOT NULL,
    recovery_log_m    double precision[] NOT NULL,
    recovered         boolean NOT NULL,
    PRIMARY KEY (version, day)
);
"""

_DOWN = """
DROP TABLE model_days;
ALTER TABLE class_days
    DROP COLUMN shared;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
