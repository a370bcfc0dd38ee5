"""What becomes of a promotion in the days after it, and what its predecessor says meanwhile."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

_UP = """
CREATE TABLE probations (
    move     bigint PRIMARY KEY REFERENCES aliases (id),
    version  text NOT NULL REFERENCES versions (version),
    against  text NOT NULL REFERENCES versions (version),
    began_at timestamptz NOT NULL,
    status   text NOT NULL CHECK (status IN ('open', 'kept', 'rolled back', 'replaced')),
    last_day date,
    evidence jsonb NOT NULL DEFAULT '{}',
    ended_at timestamptz
);
CREATE INDEX probations_by_version ON probations (version);

-- An image and a pair of versions meet once, as an image and a version do in validation_results.
CREATE TABLE second_answers (
    version   text NOT NULL,
    against   text NOT NULL,
    image     bigint NOT NULL REFERENCES images (id),
    predicted text NOT NULL,
    PRIMARY KEY (version, against, image)
);
"""

_DOWN = """
DROP TABLE second_answers;
DROP TABLE probations;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
