"""Predictions summed by hour, version and predicted label: what charts of traffic are drawn from.

The log itself is dropped after its retention; these sums stay.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel

from core.clock import day_bounds
from core.store import database

_TIMESTAMP: Any = sa.DateTime(timezone=True)


class RollupRow(SQLModel, table=True):
    """One hour of one version and predicted label."""

    __tablename__ = "prediction_rollups"  # pyright: ignore[reportAssignmentType]

    hour: datetime = Field(sa_type=_TIMESTAMP, primary_key=True)
    version: str = Field(primary_key=True)
    label: str = Field(primary_key=True)
    n: int = Field(sa_type=sa.BigInteger)
    confidence_sum: float
    entropy_sum: float
    latency_ms_sum: float
    labelled: int = Field(sa_type=sa.BigInteger)
    correct: int = Field(sa_type=sa.BigInteger)
    confident: int | None = Field(default=None, sa_type=sa.BigInteger)


@dataclass(frozen=True, slots=True)
class DayTraffic:
    """One day of one version and predicted label.

    Attributes:
        day: The day, in UTC.
        version: The version that answered.
        label: What it answered.
        n: How many answers.
        confidence: Their mean confidence.
        entropy: Mean entropy of the probabilities, in nats.
        latency_ms: Mean latency.
        labelled: How many of them have a true label by now.
        correct: How many of those were right.
    """

    day: date
    version: str
    label: str
    n: int
    confidence: float
    entropy: float
    latency_ms: float
    labelled: int
    correct: int


@dataclass(frozen=True, slots=True)
class HourTraffic:
    """How many predictions one hour saw, over all labels and versions."""

    hour: datetime
    n: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure a version was of the answers of one day that named one class.

    Attributes:
        n: How many answers.
        confidence: Their mean confidence.
        confident: The share of them that is at least as sure as the version's bundle asks; None
            where it does not say, or the hours were summed before that was counted.
    """

    n: int
    confidence: float
    confident: float | None


# Summed as whole numbers of 2^-24, the precision of a probability in float32: exact whatever order
# a parallel plan takes, so a repeat gives the same bits, and three times as fast as numeric. What
# a broken model may say (NaN, infinity) must not end the day. Rows are never deleted here: a day
# whose log has been dropped keeps its sums.
# How sure is sure enough is read once a version, not from its metrics once a prediction.
_ROLL_UP = sa.text("""
    WITH sure AS MATERIALIZED (
        SELECT v.version AS name,
               (v.metrics #>> '{val,without_labels,confident_from}')::real AS from_here
          FROM versions v)
    INSERT INTO prediction_rollups AS r (hour, version, label, n, confidence_sum, entropy_sum,
                                         latency_ms_sum, labelled, correct, confident)
    SELECT date_bin('1 hour', at, '2000-01-01 00:00+00'), version, label, count(*),
           coalesce(sum((CASE WHEN confidence <> 'NaN' THEN least(confidence, 1e6) END
                         * 16777216.0)::bigint), 0)
               ::float8 / 16777216.0,
           coalesce(sum((CASE WHEN entropy <> 'NaN' THEN least(entropy, 1e6) END
                         * 16777216.0)::bigint), 0)
               ::float8 / 16777216.0,
           coalesce(sum((CASE WHEN latency_ms <> 'NaN' THEN least(latency_ms, 1e9) END
                         * 16777216.0)::bigint), 0)
               ::float8 / 16777216.0,
           count(true_label), count(*) FILTER (WHERE true_label = label),
           CASE WHEN max(sure.from_here) IS NOT NULL
                THEN count(*) FILTER (WHERE confidence >= sure.from_here
                                        AND confidence < 'Infinity') END
      FROM predictions
      LEFT JOIN sure ON sure.name = predictions.version
     WHERE at >= :start AND at < :until
     GROUP BY 1, 2, 3
        ON CONFLICT (hour, version, label) DO UPDATE
       SET n = excluded.n,
           confidence_sum = excluded.confidence_sum,
           entropy_sum = excluded.entropy_sum,
           latency_ms_sum = excluded.latency_ms_sum,
           labelled = excluded.labelled,
           correct = excluded.correct,
           confident = excluded.confident
""")

_COUNT = sa.text("""
    SELECT coalesce(sum(n), 0)
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until
""")

_FINGERPRINT = sa.text("""
    SELECT md5(coalesce(string_agg(concat_ws(' ', hour, version, label, n, confidence_sum,
                                             entropy_sum), ',' ORDER BY hour, version, label), ''))
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until
""")

_LABEL_COUNTS = sa.text("""
    SELECT label, sum(n)::bigint
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until AND version = :version
     GROUP BY label
""")

# One hour that was not counted leaves the day without a share.
_SURENESS = sa.text("""
    SELECT label, sum(n)::bigint AS n, sum(confidence_sum) / sum(n) AS confidence,
           CASE WHEN count(confident) = count(*) THEN sum(confident) / sum(n) END AS confident
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until AND version = :version
     GROUP BY label
    HAVING sum(n) > 0
""")

_BY_DAY = sa.text("""
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, version, label, sum(n)::bigint AS n,
           sum(confidence_sum) / sum(n) AS confidence, sum(entropy_sum) / sum(n) AS entropy,
           sum(latency_ms_sum) / sum(n) AS latency_ms, sum(labelled)::bigint AS labelled,
           sum(correct)::bigint AS correct
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until
     GROUP BY 1, 2, 3
     ORDER BY 1, 2, 3
""")

_TOTALS = sa.text("""
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, sum(n)::bigint AS n
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until
     GROUP BY 1
""")

_BY_HOUR = sa.text("""
    SELECT hour, sum(n)::bigint AS n, sum(latency_ms_sum) / sum(n) AS latency_ms
      FROM prediction_rollups
     WHERE hour >= :start AND hour < :until
     GROUP BY 1
     ORDER BY 1
""")


def roll_up(connection: Connection, day: date) -> int:
    """Sum a day's predictions by hour, version and label, and return how many there were."""
    start, until = day_bounds(day)
    database.allow_long_statements(connection)
    connection.execute(_ROLL_UP, {"start": start, "until": until})
    return int(connection.execute(_COUNT, {"start": start, "until": until}).scalar_one())


def fingerprint(connection: Connection, day: date) -> str:
    """Return a digest of a day's sums, but for what true labels say: other predictions, another."""
    start, until = day_bounds(day)
    return str(connection.execute(_FINGERPRINT, {"start": start, "until": until}).scalar_one())


def label_counts(connection: Connection, day: date, version: str) -> dict[str, int]:
    """Return how often a version predicted each label on a day, as far as it is rolled up."""
    asked = _range(day, day) | {"version": version}
    return {label: int(n) for label, n in connection.execute(_LABEL_COUNTS, asked)}


def sureness(connection: Connection, day: date, version: str) -> dict[str, Sureness]:
    """Return how sure a version was of its answers on a day, by predicted label."""
    found = connection.execute(_SURENESS, _range(day, day) | {"version": version})
    return {
        label: Sureness(int(n), float(confidence), None if share is None else float(share))
        for label, n, confidence, share in found
    }


def by_day(connection: Connection, first: date, last: date) -> list[DayTraffic]:
    """Return the traffic of each day from `first` to `last`, by version and predicted label."""
    return [DayTraffic(*row) for row in connection.execute(_BY_DAY, _range(first, last))]


def by_hour(connection: Connection, first: date, last: date) -> list[HourTraffic]:
    """Return the traffic of each hour that had any, from `first` to `last`."""
    return [HourTraffic(*row) for row in connection.execute(_BY_HOUR, _range(first, last))]


def totals(connection: Connection, first: date, last: date) -> dict[date, int]:
    """Return how many predictions each day from `first` to `last` had; days without are absent."""
    return {day: int(n) for day, n in connection.execute(_TOTALS, _range(first, last))}


def _range(first: date, last: date) -> dict[str, Any]:
    return {"start": day_bounds(first)[0], "until": day_bounds(last)[1]}
