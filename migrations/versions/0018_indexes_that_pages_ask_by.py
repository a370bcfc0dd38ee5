"""Indexes for what pages ask of tables that grow: deeds by subject, messages by alert."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

_UP = """
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX deliveries_by_alert ON deliveries USING gin (alerts);
"""

_DOWN = """
DROP INDEX deliveries_by_alert;
DROP INDEX audit_by_subject;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
