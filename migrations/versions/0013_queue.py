"""The job queue: priority, causes, groups, every try with how it ended, and cancelling."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

_UP = """
ALTER TABLE jobs
    ADD COLUMN cause        text,
    ADD COLUMN priority     integer NOT NULL DEFAULT 0,
    ADD COLUMN group_id     bigint REFERENCES jobs (id),
    ADD COLUMN payload      jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN tries        jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN cancelled_by text;

ALTER TABLE jobs DROP CONSTRAINT jobs_status_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_status_check CHECK (status IN
    ('queued', 'running', 'promoted', 'refused', 'more images', 'trained', 'failed', 'cancelled'));

UPDATE jobs SET cause = kind || ' ' || CAST(labels AS text) WHERE kind = 'retrain';

-- One in flight for each cause, no longer for each kind; NULL, for no cause, is unlike any other.
DROP INDEX jobs_one_in_flight;
CREATE UNIQUE INDEX jobs_one_per_cause ON jobs (cause) WHERE status IN ('queued', 'running');
"""

_DOWN = """
DROP INDEX jobs_one_per_cause;
DELETE FROM jobs WHERE kind <> 'retrain';
UPDATE jobs SET status = 'failed' WHERE status IN ('cancelled', 'trained');
-- Of several that wait, the one that is under way or was asked for first stays.
UPDATE jobs
   SET status = 'failed', finished_at = now(), lease_until = NULL,
       result = '{"error": "one job at a time again; ask for it again"}'
 WHERE status IN ('queued', 'running')
   AND id <> (SELECT id
                FROM jobs
               WHERE status IN ('queued', 'running')
               ORDER BY status = 'queued', id
               LIMIT 1);
CREATE UNIQUE INDEX jobs_one_in_flight ON jobs (kind) WHERE status IN ('queued', 'running');

ALTER TABLE jobs DROP CONSTRAINT jobs_status_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_status_check CHECK (status IN
    ('queued', 'running', 'promoted', 'refused', 'more images', 'failed'));
ALTER TABLE jobs
    DROP COLUMN cause,
    DROP COLUMN priority,
    DROP COLUMN group_id,
    DROP COLUMN payload,
    DROP COLUMN tries,
    DROP COLUMN cancelled_by;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
