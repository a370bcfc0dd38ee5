"""What a challenger that waits for gate images says of the traffic that the champion answers."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

# Without a reference to predictions: those go by the day, with their partition.
_UP = """
CREATE TABLE challenger_answers (
    version     text NOT NULL REFERENCES versions (version),
    prediction  uuid NOT NULL,
    at          timestamptz NOT NULL,
    champion    text NOT NULL REFERENCES versions (version),
    answered    text NOT NULL,
    label       text NOT NULL,
    probability real NOT NULL,
    PRIMARY KEY (version, prediction)
);
CREATE INDEX challenger_answers_differing ON challenger_answers (version, at)
    WHERE label <> answered;
CREATE INDEX challenger_answers_by_time ON challenger_answers (at);
"""

_DOWN = """
DROP TABLE challenger_answers;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
