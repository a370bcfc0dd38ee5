"""A day's predictions summed by predicted label and column: count, mean and spread, in one pass.

What is known of each of thousands of classes without a sample of each. Columns are taken as whole
numbers of 2^-16, so that the sums are exact whatever order a parallel plan takes, and the same
log gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection

from core.clock import day_bounds
from core.images.descriptors import DESCRIPTORS
from core.stats.means import Moments
from core.store import database
from core.store.draws import NUMBERS

COLUMNS = (*DESCRIPTORS, *NUMBERS)
_SCALE = 65_536  # steps to one; what lies beyond +-32,767 is cut off there

_READ = ", ".join(
    [f"nullif((descriptors->>'{name}')::float8, 'NaN') AS {name}" for name in DESCRIPTORS]
    + [f"nullif({name}::float8, 'NaN') AS {name}" for name in NUMBERS]
)
# least and greatest pass over NULL, which here has to stay what it is.
_WHOLE = ", ".join(
    f"CASE WHEN {name} IS NOT NULL "
    f"THEN (greatest(least({name}, 32767), -32767) * {_SCALE})::int4 END AS {name}"
    for name in COLUMNS
)
_SUMS = ", ".join(f"count({name}), sum({name}), var_pop({name})" for name in COLUMNS)

# clock_timestamp() keeps Postgres from folding each query into the one around it, which would read
# every descriptor out of its JSON again for every use of it; workers share the work all the same.
# var_pop of int4 adds up in whole numbers of 128 bits.
_SUM_UP = sa.text(f"""
    SELECT label, {_SUMS}
      FROM (SELECT label, {_WHOLE}, clock_timestamp()
              FROM (SELECT label, {_READ}, clock_timestamp()
                      FROM predictions
                     WHERE at >= :start AND at < :until AND version = :version) AS log) AS whole
     GROUP BY label
""")  # noqa: S608 - made of our own column names alone


def sum_up(connection: Connection, day: date, version: str, labels: Sequence[str]) -> Moments:
    """Return the moments of a day's predictions by label and column, shape (labels, COLUMNS).

    Args:
        connection: Where the log is.
        day: The day, in UTC.
        version: The version that answered.
        labels: The rows' order; predictions of other labels are left out.
    """
    start, until = day_bounds(day)
    database.allow_long_statements(connection)
    asked = {"start": start, "until": until, "version": version}
    places = {label: place for place, label in enumerate(labels)}
    n = np.zeros((len(labels), len(COLUMNS)), dtype=np.int64)
    mean, squares = np.zeros(n.shape), np.zeros(n.shape)
    for label, *sums in connection.execute(_SUM_UP, asked):
        place = places.get(label)
        if place is None:
            continue
        n[place] = sums[0::3]
        # Sums are NULL where a column has no value at all.
        totals = np.array([float(each or 0) for each in sums[1::3]])
        mean[place] = totals / np.maximum(n[place], 1) / _SCALE
        spread = np.array([float(each or 0) for each in sums[2::3]])
        squares[place] = spread * n[place] / _SCALE**2
    return Moments(n, mean, squares)
