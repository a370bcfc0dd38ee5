"""A year of 2,500 classes in the tables that the dashboard reads, made by Postgres itself.

Rollups stand for the hundred million predictions that they were summed from; the log itself is
empty, because no page reads it. Labelled images are there for some classes only, those whose pages
are opened: what the others have lies elsewhere in the same indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from core.store import registry
from core.store.database import allow_long_statements, transaction
from core.store.registry import Version

LAST_DAY = date(2026, 3, 29)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How much there is of everything.

    Attributes:
        classes: Classes, called `class_00000` and so on.
        days: Days, the last of them `LAST_DAY`.
        predictions: Predictions over all days.
        hours: Hours of each day that have any.
        pictured: Classes with labelled images.
    """

    classes: int = 2_500
    days: int = 365
    predictions: int = 100_000_000
    hours: int = 24
    pictured: int = 20

    @property
    def first(self) -> date:
        """The first day."""
        return LAST_DAY - timedelta(days=self.days - 1)

    @property
    def now(self) -> datetime:
        """The morning after the last day."""
        return datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, 6, tzinfo=UTC) + timedelta(
            days=1
        )


# Also those of tests.bench.crowd_desk.
LABELS = "SELECT i, 'class_' || lpad(i::text, 5, '0') AS label FROM generate_series(0, :top) i"
DAYS = "SELECT d::date AS day FROM generate_series(:first, :last, interval '1 day') d"

# ruff: noqa: S608 - the statements are put together from the two above
_STATEMENTS = (
    f"""
    INSERT INTO validations (day, version, per_class, late, status, unreadable, drawn_at,
                             finished_at)
    SELECT day, 'v1', 20, false, 'done', 0, day + interval '26 hours', day + interval '26 hours'
      FROM ({DAYS}) days ORDER BY day
    """,
    f"""
    INSERT INTO runs (kind, version, slot, holder, fence, lease_until, started_at, finished_at,
                      outcome, detail)
    SELECT 'day', 'v1', to_char(day, 'YYYY-MM-DD'), 'bench', 1, day + interval '27 hours',
           day + interval '26 hours', day + interval '26 hours', 'done', '{{"scope": "whole"}}'
      FROM ({DAYS}) days WHERE day <> (:last)::date - 9
    """,
    # Every fortieth class has sunk in the last twelve days.
    f"""
    INSERT INTO class_days (day, version, label, n, correct, confused, low, high)
    SELECT day, 'v1', label, 20, 20 - wrong,
           CASE WHEN wrong = 0 THEN '{{}}'::jsonb
                ELSE jsonb_build_object('class_' || lpad(((i + 1) % (:top + 1))::text, 5, '0'),
                                        wrong) END,
           greatest(0, 1 - wrong / 20.0 - 0.15), least(1, 1 - wrong / 20.0 + 0.1)
      FROM (SELECT day, i, label,
                   floor(random() * CASE WHEN i % 40 = 0 AND day > (:last)::date - 12
                                         THEN 16 ELSE 4 END)::int AS wrong
              FROM ({DAYS}) days, ({LABELS}) labels) made
     ORDER BY day, label
    """,
    f"""
    INSERT INTO class_state (day, version, label, reference, threshold, evidence, log_m, days,
                             alarm, recovery_evidence, recovery_log_m, recovered,
                             days_without_labels)
    SELECT day, 'v1', label, 0.85, 1250, CASE WHEN sunk THEN 4000 ELSE 1 / (random() + 0.001) END,
           array_fill(random(), ARRAY[8]), 30, sunk AND day = (:last)::date - 10,
           0, '{{}}', false, 0
      FROM (SELECT day, label, i % 40 = 0 AND day > (:last)::date - 11 AS sunk
              FROM ({DAYS}) days, ({LABELS}) labels) made
     ORDER BY day, label
    """,
    # A class was weak for ten days every month and a half, but not in the last three weeks.
    f"""
    INSERT INTO flags (kind, label, version, since, raised_on, raised_at, closed_on, closed_at,
                       evidence, threshold)
    SELECT 'change', label, 'v1', day, day + 1, day + interval '50 hours', day + 10,
           day + interval '11 days', 3000, 1250
      FROM (SELECT day, row_number() OVER (ORDER BY day) AS number FROM ({DAYS}) d) days,
           ({LABELS}) labels
     WHERE (number + i) % 45 = 0 AND day < (:last)::date - 21
     ORDER BY day, label
    """,
    f"""
    INSERT INTO flags (kind, label, version, since, raised_on, raised_at, evidence, threshold)
    SELECT 'change', label, 'v1', (:last)::date - 11, (:last)::date - 10,
           (:last)::date - interval '9 days', 4000, 1250
      FROM ({LABELS}) labels WHERE i % 40 = 0
    """,
    """
    INSERT INTO alerts (flag, at, state, title, body, confused_with, images, kind, peak,
                        resolved_at)
    SELECT id, raised_at, CASE WHEN closed_at IS NULL THEN 'open' ELSE 'resolved' END,
           label || ' is weak', 'Since then.', 'class_00001', '[]', 'change', 4000, closed_at
      FROM flags
     ORDER BY id
    """,
    f"""
    INSERT INTO model_days (day, version, n, correct, correlation, grouped, reference, threshold,
                            evidence, log_m, alarm, recovery_evidence, recovery_log_m, recovered)
    SELECT day, 'v1', 20 * (:top + 1), 18 * (:top + 1), 0, false, 0.85, 500, 1,
           array_fill(0.0, ARRAY[8]), false, 0, '{{}}', false
      FROM ({DAYS}) days
    """,
    f"""
    INSERT INTO prediction_rollups (hour, version, label, n, confidence_sum, entropy_sum,
                                    latency_ms_sum, labelled, correct, confident)
    SELECT hour, 'v1', label, :each, :each * 0.9, :each * 0.3, :each * 9.0, 0, 0, :each
      FROM (SELECT (day + make_interval(hours => h)) AT TIME ZONE 'UTC' AS hour
              FROM ({DAYS}) days, generate_series(0, :hours - 1) h) hours, ({LABELS}) labels
     ORDER BY hour, label
    """,
    f"""
    INSERT INTO class_drift_checks (day, version, label, "column", method, n, reference_n,
                                    statistic, p_value, adjusted_p, effect, effect_floor, level,
                                    verdict, window_start, window_end, reference)
    SELECT day, 'v1', label, name, 'ks', 100, 400, 0.1, 0.4, 0.6, 0.02, 0.1, 0.05, 'no drift',
           day, day + 1, 'profile'
      FROM (SELECT day FROM ({DAYS}) all_days WHERE day > (:last)::date - 30) days,
           ({LABELS}) labels,
           unnest(ARRAY['brightness', 'contrast', 'saturation', 'sharpness', 'confidence']) name
    """,
    # Random unit vectors would be as far from each other as can be; the distance costs the same.
    f"""
    INSERT INTO images (uri, sha256, phash, cluster, label, split, width, height, bytes, type,
                        source, captured_at, added_at, labelled_by)
    SELECT '/nowhere/' || label || day || k, encode(sha256((label || day || k)::bytea), 'hex'),
           0, 0, label, 'val', 32, 32, 1000, 'image/png', 'bench', day, day, 'bench'
      FROM ({DAYS}) days, ({LABELS}) labels, generate_series(1, 20) k
     WHERE i % 40 = 0 AND i / 40 < :pictured
    """,
    """
    INSERT INTO validation_results (validation, version, image, label, predicted, confidence)
    SELECT v.id, 'v1', i.id, i.label, CASE WHEN random() < 0.2 THEN 'class_00001' ELSE i.label END,
           0.5 + random() / 2
      FROM images i JOIN validations v ON v.day = (i.captured_at AT TIME ZONE 'UTC')::date
    """,
    """
    INSERT INTO validation_traces (version, image, day, label, predicted, confidence, descriptors,
                                   embedding)
    SELECT 'v1', r.image, v.day, r.label, r.predicted, r.confidence, '{}',
           (SELECT array_agg(random() - 0.5 + 0 * (g + r.image))
              FROM generate_series(1, 256) g)::real[]::halfvec(256)
      FROM validation_results r JOIN validations v ON v.id = r.validation
     WHERE v.day > (:last)::date - 120
    """,
    f"""
    INSERT INTO health_days (day, version, judged_at, document)
    SELECT (:last)::date, 'v1', (:last)::date + interval '26 hours',
           jsonb_build_object('classes', jsonb_agg(jsonb_build_object(
               'label', label, 'state', 'healthy', 'n', 20, 'correct', 18, 'accuracy', 0.9,
               'low', 0.7, 'high', 0.98, 'reference', 0.85, 'evidence', 1.0, 'threshold', 1250,
               'note', '', 'labels_a_day', 20,
               'days_to_notice', jsonb_build_object('5 points', 20, '15 points', 3,
                                                    '35 points', 1))))
      FROM ({LABELS}) labels
    """,
)


def fill(engine: Engine, crowd: Crowd) -> None:
    """Write all rows into a migrated, empty database, and let Postgres take stock of them."""
    labels = [f"class_{i:05d}" for i in range(crowd.classes)]
    with transaction(engine) as connection:
        registry.register(connection, _version(labels))
        begun = datetime(crowd.first.year, crowd.first.month, crowd.first.day, tzinfo=UTC)
        registry.promote(connection, "v1", now=begun, by="bench", reason="first")
    execute(engine, crowd, _STATEMENTS)
    take_stock(engine)


def execute(engine: Engine, crowd: Crowd, statements: Sequence[str]) -> None:
    """Execute statements one by one, with what they name of a crowd."""
    each = max(1, round(crowd.predictions / (crowd.days * crowd.hours * crowd.classes)))
    values: dict[str, Any] = {
        "top": crowd.classes - 1,
        "first": crowd.first,
        "last": LAST_DAY,
        "hours": crowd.hours,
        "each": each,
        "pictured": crowd.pictured,
    }
    for statement in statements:
        with transaction(engine) as connection:
            allow_long_statements(connection)
            asked = sa.text(statement)
            names = asked.compile().params
            connection.execute(asked, {name: values[name] for name in names})


def take_stock(engine: Engine) -> None:
    """Let Postgres know what its tables hold."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.execute(sa.text("VACUUM ANALYZE"))


def _version(labels: list[str]) -> Version:
    reference = {label: {"n": 300, "correct": 270, "confused": {}} for label in labels}
    made = datetime(2025, 1, 1, tzinfo=UTC)
    return Version(
        version="v1",
        number=1,
        name="classifier",
        uri="/nowhere",
        digest="0" * 64,
        labels=labels,
        parent=None,
        snapshot="0" * 64,
        snapshot_at=made,
        metrics={
            "val": {"top1": 0.9},
            "test": {"top1": 0.9, "macro_f1": 0.9, "per_class": dict.fromkeys(labels, 0.9)},
        },
        reference=reference,
        config={},
        code_version="0",
        created_at=made,
    )
