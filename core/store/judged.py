"""Which state the judged rows are in, as one short text: another text whenever any of it changed.

Counts of classes, states of detectors, flags and health documents change when an exam ends, when
a day is judged or replayed, and at no other moment. Whoever keeps what is read off them keeps it
under this text, and is never out of date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection

# A row that was written anew has another xmin, whatever the clock said. Exams and health documents
# are one a day, so all are looked at; flags may be many, but are only opened and closed. What is
# judged writes its health document in the same transaction.
_MARK = sa.text("""
    SELECT md5(concat_ws('/',
               (SELECT string_agg(concat_ws(' ', id, xmin), ',' ORDER BY id)
                  FROM validations),
               (SELECT string_agg(concat_ws(' ', day, version, xmin), ',' ORDER BY day, version)
                  FROM health_days),
               (SELECT max(id) FROM flags),
               (SELECT count(*) FROM flags WHERE closed_on IS NULL)))
""")


def mark(connection: Connection) -> str:
    """Return the state that the judged rows are in, 32 characters.

    What is read after this in the same transaction is as new as the text says, or newer.
    """
    return connection.execute(_MARK).scalar_one()
