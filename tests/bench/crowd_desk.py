"""What people and programs leave beside a crowd's rows: versions, jobs, messages, deeds, an inbox.

As much of it as a year brings: every alert was told five times and handled twice, eleven versions
were trained after the first, sixty retrainings have an exam of every class.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import alert_rules, drift_pictures, partitions
from core.store.alert_policy import AlertRules
from core.store.database import allow_long_statements, transaction
from core.store.drift_pictures import Histograms, Pictures, Points
from tests.bench.crowd_rows import DAYS, LABELS, LAST_DAY, Crowd, execute, take_stock

COLUMNS = ("brightness", "contrast", "saturation", "sharpness", "aspect", "megapixels",
           "confidence", "entropy", "margin")  # fmt: skip

# ruff: noqa: S608 - the statements are put together from constants
_STATEMENTS = (
    """
    INSERT INTO versions (version, number, name, uri, digest, labels, parent, snapshot,
                          snapshot_at, metrics, reference, config, code_version, created_at)
    SELECT 'v' || n, n, name, uri, digest, labels, 'v1', snapshot, snapshot_at, metrics, reference,
           '{"backbone": "resnet50"}', code_version, created_at + n * interval '30 days'
      FROM versions, generate_series(2, 12) n
     WHERE version = 'v1'
    """,
    # The exam of v12 counts every class.
    f"""
    INSERT INTO jobs (kind, labels, reason, requested_by, requested_at, status, worker, fence,
                      attempts, started_at, finished_at, progress, parent, challenger, result)
    SELECT 'retrain', jsonb_build_array('class_' || lpad((40 * n % (:top + 1))::text, 5, '0')),
           'weak', 'monitor', at, 'refused', 'bench', 1, 1, at, at + interval '2 hours',
           jsonb_build_object('stage', '', 'epochs', passes.made), 'v1',
           CASE WHEN n > 49 THEN 'v' || (n - 48) END,
           jsonb_build_object('champion', 'v1', 'gate', jsonb_build_object(
               'passed', false, 'reasons', jsonb_build_array('worse in two classes'),
               'margin', 0.05, 'flagged', '[]'::jsonb, 'classes', exam.counted))
      FROM (SELECT n, (:last)::date - interval '1 day' * (61 - n) AS at
              FROM generate_series(1, 60) n) asked,
           (SELECT jsonb_agg(jsonb_build_object(
                       'label', label, 'n', 40, 'gained', i % 3, 'lost', i % 4,
                       'difference', (i % 3 - i % 4) / 40.0, 'low', -0.1, 'verdict', 'well'))
                       AS counted
              FROM ({LABELS}) labels) exam,
           (SELECT jsonb_agg(jsonb_build_object(
                       'number', e, 'epochs', 30, 'train_loss', 1.0 / e, 'val_loss', 1.1 / e,
                       'val_accuracy', 1 - 0.5 / e)) AS made
              FROM generate_series(1, 30) e) passes
     ORDER BY n
    """,
    """
    INSERT INTO deliveries (channel, dedup_key, message, created_at, due_at, state, attempts,
                            sent_at, alerts, urgent, refusals)
    SELECT 'mail', 'alert ' || id || ' ' || k, jsonb_build_object('text', title), at, at, 'sent', 1,
           at, ARRAY[id], false, 0
      FROM alerts, generate_series(1, 5) k
     ORDER BY id, k
    """,
    """
    INSERT INTO audit (at, by, action, subject, detail)
    SELECT at, 'ann', CASE k WHEN 1 THEN 'acknowledge alert' ELSE 'resolve alert' END,
           'alert ' || id, '{}'
      FROM alerts, generate_series(1, 2) k
     ORDER BY id, k
    """,
    """
    INSERT INTO audit (at, by, action, subject, detail)
    SELECT (:first)::date + n * interval '5 minutes', 'ann', 'inbox labelled', 'inbox ' || n, '{}'
      FROM generate_series(1, 60000) n
    """,
    """
    UPDATE runs
       SET detail = detail || jsonb_build_object('steps', (
               SELECT jsonb_agg(jsonb_build_object(
                          'step', 'step ' || k, 'started_at', runs.started_at, 'seconds', 2.5,
                          'outcome', 'done'))
                 FROM generate_series(1, 10) k))
    """,
    """
    INSERT INTO loads (version, instance, at, ok, detail, seconds)
    SELECT 'v1', 'service-' || n, (:last)::date + n * interval '1 minute', true, 'loaded', 2.5
      FROM generate_series(1, 30) n
    """,
    f"""
    INSERT INTO drift_checks (day, version, "column", method, n, reference_n, statistic, p_value,
                              adjusted_p, effect, effect_floor, level, verdict, reference, detail)
    SELECT day, 'v1', name, 'ks', 20000, 20000, 0.1, 0.4, 0.6, random() / 8, 0.1, 0.05,
           CASE WHEN random() < 0.1 THEN 'drift' ELSE 'no drift' END, 'profile', ''
      FROM ({DAYS}) days,
           unnest(ARRAY['brightness', 'contrast', 'saturation', 'sharpness', 'aspect',
                        'megapixels', 'predicted label', 'confidence', 'entropy', 'margin',
                        'embedding']) name
    """,
    """
    INSERT INTO predictions (id, at, version, label, confidence, top, margin, entropy, descriptors,
                             latency_ms, image_sha256)
    SELECT gen_random_uuid(), (:last)::date + n * interval '4 seconds', 'v1',
           'class_' || lpad((n % (:top + 1))::text, 5, '0'), 0.9, '[]', 0.5, 0.3, '{}',
           5 + 10 * random(), encode(sha256(('p' || n)::bytea), 'hex')
      FROM generate_series(1, 20000) n
    """,
    """
    INSERT INTO inbox (stream, sha256, at, place, version, label, top, margin, bytes, added_at,
                       state, answer, answered_by, answered_at)
    SELECT CASE n % 2 WHEN 0 THEN 'drawn' ELSE 'aimed' END,
           encode(sha256(('i' || n)::bytea), 'hex'), (:last)::date + n * interval '10 seconds', n,
           'v1', 'class_' || lpad((n % (:top + 1))::text, 5, '0'),
           '[{"label": "class_00001", "probability": 0.5}]', 0.1, 1000, (:last)::date,
           CASE WHEN n > 3000 THEN 'labelled' ELSE 'waiting' END,
           CASE WHEN n > 3000 THEN 'class_00001' END, CASE WHEN n > 3000 THEN 'key:ann' END,
           CASE WHEN n > 3000 THEN (:last)::date + n * interval '10 seconds' END
      FROM generate_series(1, 8000) n
    """,
)


def furnish(engine: Engine, crowd: Crowd) -> None:
    """Write these rows beside those of `tests.bench.crowd_rows.fill`."""
    days = [crowd.first + timedelta(days=i) for i in range(crowd.days + 2)]
    with transaction(engine) as connection:
        allow_long_statements(connection)
        partitions.ensure_partitions(connection, days)
    execute(engine, crowd, _STATEMENTS)
    with transaction(engine) as connection:
        begun = day_bounds(crowd.first)[0]
        alert_rules.write(connection, AlertRules(), by="settings", now=begun)
        drift_pictures.write(connection, LAST_DAY, "v1", _pictures(crowd.classes))
    take_stock(engine)


def _pictures(classes: int) -> Pictures:
    """Return histograms within every class, and a map of 4,000 embeddings."""
    rng, bins = np.random.default_rng(1), 24
    labels = [f"class_{i:05d}" for i in range(classes)]
    edges = np.tile(np.linspace(0, 1, bins + 1), (len(COLUMNS), 1))
    shape = (1 + classes, len(COLUMNS), bins)
    histograms = Histograms(
        columns=list(COLUMNS),
        edges=edges,
        classes=labels,
        reference=rng.integers(0, 40, shape),
        current=rng.integers(0, 40, shape),
        labels=labels,
        mix=rng.integers(1, 200, (2, classes)),
    )
    n = 4_000
    points = Points(
        xy=rng.normal(size=(n, 2)).astype(np.float32),
        is_current=np.arange(n) % 2 == 0,
        label=rng.integers(0, classes, n),
        image=np.zeros(n, dtype=np.int64),
        labels=labels,
        explained=(0.4, 0.2),
    )
    return Pictures(histograms, points)
