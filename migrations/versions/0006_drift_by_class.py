"""Drift by class, and with every verdict its window and what it was compared with."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_UP = """
-- What the code before this migration writes was compared with the profile.
ALTER TABLE drift_checks
    ADD COLUMN window_start   timestamptz,
    ADD COLUMN window_end     timestamptz,
    ADD COLUMN reference      text NOT NULL DEFAULT 'profile',
    ADD COLUMN profile_effect double precision,
    ADD COLUMN detail         text NOT NULL DEFAULT '';

CREATE TABLE class_drift_checks (
    day           date NOT NULL,
    version       text NOT NULL,
    label         text NOT NULL,
    "column"      text NOT NULL,
    method        text NOT NULL,
    n             integer NOT NULL,
    reference_n   integer NOT NULL,
    statistic     double precision,
    p_value       double precision,
    adjusted_p    double precision,
    effect        double precision,
    effect_floor  double precision NOT NULL,
    level         double precision NOT NULL,
    verdict       text NOT NULL CHECK (verdict IN ('drift', 'no drift', 'not enough data')),
    window_start  timestamptz NOT NULL,
    window_end    timestamptz NOT NULL,
    reference     text NOT NULL,
    PRIMARY KEY (version, day, label, "column")
);
"""

_DOWN = """
DROP TABLE class_drift_checks;
ALTER TABLE drift_checks
    DROP COLUMN window_start,
    DROP COLUMN window_end,
    DROP COLUMN reference,
    DROP COLUMN profile_effect,
    DROP COLUMN detail;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
