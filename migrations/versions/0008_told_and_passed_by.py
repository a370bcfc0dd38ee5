"""What people were told of a class, and what lets a message pass another."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

_UP = """
ALTER TABLE alerts
    ADD COLUMN told jsonb NOT NULL DEFAULT '[]';

-- What people know of alerts that are there: the counts up to the day of the alarm.
UPDATE alerts
   SET told = jsonb_build_array(jsonb_build_object(
           'since', f.since, 'until', f.raised_on, 'n', d.n, 'correct', d.correct))
  FROM flags f
 CROSS JOIN LATERAL (
        SELECT sum(c.n) AS n, sum(c.correct) AS correct
          FROM class_days c
         WHERE c.version = f.version
           AND c.label = f.label
           AND c.day BETWEEN f.since AND f.raised_on) AS d
 WHERE f.id = alerts.flag
   AND d.n > 0;

-- What the code before this migration writes is of no alert, not urgent, and never refused.
ALTER TABLE deliveries
    ADD COLUMN alerts   bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN urgent   boolean NOT NULL DEFAULT false,
    ADD COLUMN refusals integer NOT NULL DEFAULT 0;

UPDATE deliveries
   SET alerts = ARRAY(
           SELECT (news ->> 'alert')::bigint
             FROM jsonb_array_elements(message -> 'news') AS news)
 WHERE state <> 'sent'
   AND jsonb_typeof(message -> 'news') = 'array';
"""

_DOWN = """
ALTER TABLE deliveries
    DROP COLUMN alerts,
    DROP COLUMN urgent,
    DROP COLUMN refusals;
ALTER TABLE alerts
    DROP COLUMN told;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
