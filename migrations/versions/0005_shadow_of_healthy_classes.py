"""The shadow stream: healthy classes, simulated every day, and the alarms they raised."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_UP = """
CREATE TABLE shadow_days (
    day           date NOT NULL,
    version       text NOT NULL,
    classes       integer NOT NULL,
    budget        double precision NOT NULL,
    false_alarms  integer NOT NULL,
    -- What the detectors remember of the shadow's classes, as numpy's npz.
    memory        bytea NOT NULL,
    PRIMARY KEY (version, day)
);
"""

_DOWN = "DROP TABLE shadow_days;"


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
