"""One run a day and version, whatever part of the day was asked for: that is in the detail now."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

# Of several runs of one day, the one that says most about it stays: whole before without a draw,
# what somebody is at before what was seen of the day so far, and what failed last.
_UP = """
DELETE FROM runs
 WHERE id IN (
    SELECT id
      FROM (SELECT id, row_number() OVER (
                       PARTITION BY version, slot
                       ORDER BY CASE WHEN outcome = 'done' AND kind = 'day' THEN 0
                                     WHEN outcome = 'done' AND kind = 'day without draw' THEN 1
                                     WHEN outcome = 'running' THEN 2
                                     WHEN outcome = 'done' THEN 3
                                     ELSE 4 END,
                                started_at DESC, id DESC) AS place
              FROM runs
             WHERE kind IN ('day', 'day without draw', 'day so far')) AS ranked
     WHERE place > 1);

UPDATE runs
   SET kind = 'day',
       detail = detail || jsonb_build_object('scope', CASE kind WHEN 'day' THEN 'whole'
                                                                WHEN 'day so far' THEN 'so far'
                                                                ELSE 'without draw' END)
 WHERE kind IN ('day', 'day without draw', 'day so far');
"""

_DOWN = """
UPDATE runs
   SET kind = CASE detail ->> 'scope' WHEN 'so far' THEN 'day so far'
                                      WHEN 'without draw' THEN 'day without draw'
                                      ELSE 'day' END,
       detail = detail - 'scope'
 WHERE kind = 'day';

DELETE FROM runs
 WHERE kind IN ('delivery', 'late check', 'replay') AND slot = 'last';
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
