"""API keys, and the answers that were given under an Idempotency-Key."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_UP = """
CREATE TABLE api_keys (
    id            text PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    -- Of the whole key. A key has 256 random bits, so a plain digest cannot be guessed backwards.
    sha256        bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    scopes        text[] NOT NULL CHECK (
        cardinality(scopes) > 0 AND scopes <@ ARRAY['predict', 'read', 'label', 'admin']
    ),
    per_minute    integer CHECK (per_minute > 0),
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz
);

CREATE TABLE idempotency (
    caller          text NOT NULL,
    key             text NOT NULL,
    request_sha256  bytea NOT NULL,
    prediction      uuid NOT NULL,
    answer          jsonb NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_by_time ON idempotency (at);
"""

_DOWN = "DROP TABLE idempotency, api_keys;"


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
