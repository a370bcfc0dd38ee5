"""What the model saw in each judged image, labels held back, and the frozen set's daily answers."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

_UP = """
ALTER TABLE alerts ADD COLUMN evidence jsonb NOT NULL DEFAULT '{}';

CREATE TABLE validation_traces (
    version      text NOT NULL,
    image        bigint NOT NULL REFERENCES images (id),
    day          date NOT NULL,
    label        text NOT NULL,
    predicted    text NOT NULL,
    confidence   real NOT NULL,
    descriptors  real[] NOT NULL,
    embedding    halfvec(256) NOT NULL,
    suggested    text,
    margin       real,
    PRIMARY KEY (version, image)
);
CREATE INDEX validation_traces_by_class ON validation_traces (version, label, day);
CREATE INDEX validation_traces_by_day ON validation_traces (day);

CREATE TABLE label_suspects (
    image       bigint PRIMARY KEY REFERENCES images (id),
    version     text NOT NULL,
    day         date NOT NULL,
    label       text NOT NULL,
    suggested   text NOT NULL,
    margin      double precision NOT NULL,
    held_at     timestamptz NOT NULL,
    cleared_at  timestamptz,
    cleared_by  text,
    reason      text
);
CREATE INDEX label_suspects_held ON label_suspects (label) WHERE cleared_at IS NULL;

CREATE TABLE sentinel_baselines (
    version        text NOT NULL,
    place          text NOT NULL,
    engine         text NOT NULL,
    preprocessing  text,
    answers        text NOT NULL,
    libraries      jsonb NOT NULL,
    at             timestamptz NOT NULL,
    by             text NOT NULL,
    PRIMARY KEY (version, place, engine)
);

CREATE TABLE sentinel_checks (
    version        text NOT NULL,
    day            date NOT NULL,
    at             timestamptz NOT NULL,
    verdict        text NOT NULL
                   CHECK (verdict IN ('same', 'first here', 'runtime', 'model')),
    place          text NOT NULL,
    engine         text,
    preprocessing  text,
    answers        text,
    largest        double precision,
    pixels_off     double precision,
    libraries      jsonb NOT NULL,
    detail         text NOT NULL,
    PRIMARY KEY (version, day)
);
"""

_DOWN = """
DROP TABLE sentinel_checks, sentinel_baselines, label_suspects, validation_traces;
ALTER TABLE alerts DROP COLUMN evidence;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
