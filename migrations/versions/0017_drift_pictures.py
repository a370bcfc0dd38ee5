"""Histograms and a map of each day's drift, for those who look."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

_UP = """
CREATE TABLE drift_pictures (
    day        date NOT NULL,
    version    text NOT NULL REFERENCES versions (version),
    histograms bytea NOT NULL,
    points     bytea NOT NULL,
    PRIMARY KEY (day, version)
);
"""

_DOWN = """
DROP TABLE drift_pictures;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
