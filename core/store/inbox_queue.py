"""Which image of the inbox is asked for next, and who has it meanwhile.

Half of what is asked is `drawn`: in a random order within the day, the newest day first, so that
the labels say what the traffic is like. The other half is what would teach most: labels that look
wrong, pictures on which a challenger differs from the champion, pictures taken for a class that is
short of labels, and close calls. Each image is leased to one desk at a time: a window of somebody's
browser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from core.clock import day_bounds
from core.store import inbox
from core.store.inbox import Item

LEASE = timedelta(minutes=2)

_SKIPPED_FOR = timedelta(days=1)
_SCANNED = 2_000  # newest waiting pictures of a stream that are compared with one another


@dataclass(frozen=True, slots=True)
class Desk:
    """A window in which somebody labels.

    Attributes:
        by: Who, as it stands in the audit and in labels.
        window: Which of their windows.
    """

    by: str
    window: str

    @property
    def holder(self) -> str:
        """As it stands in leases."""
        return f"{self.by}/{self.window}"


@dataclass(frozen=True, slots=True)
class Taken:
    """An image that was leased.

    Attributes:
        item: The image.
        challenger: What a challenger says of it, where that differs from the champion.
    """

    item: Item
    challenger: str | None


_BRING_SUSPECTS = sa.text("""
    INSERT INTO inbox (stream, sha256, at, place, image, version, label, other, top, margin, bytes,
                       added_at, state)
    SELECT 'suspect', i.sha256, s.held_at, 0, i.id, s.version, s.label, s.suggested, '[]', s.margin,
           i.bytes, :now, 'waiting'
      FROM label_suspects s
      JOIN images i ON i.id = s.image AND i.label = s.label
     WHERE s.cleared_at IS NULL
       AND i.purpose <> 'nothing'
     ORDER BY s.margin, s.image
     LIMIT :limit
        ON CONFLICT (sha256) DO UPDATE
       SET stream = 'suspect', at = excluded.at, image = excluded.image, other = excluded.other,
           version = excluded.version, label = excluded.label, margin = excluded.margin,
           top = excluded.top, state = 'waiting', answer = NULL, answered_by = NULL,
           answered_at = NULL, undo = NULL
     WHERE inbox.state <> 'waiting'
""")

_LET_SUSPECTS_GO = sa.text("""
    UPDATE inbox q
       SET state = 'gone'
     WHERE q.stream = 'suspect'
       AND q.state = 'waiting'
       AND NOT EXISTS (SELECT
                         FROM label_suspects s
                         JOIN images i ON i.id = s.image AND i.label = s.label
                        WHERE s.image = q.image
                          AND s.cleared_at IS NULL
                          AND i.purpose <> 'nothing')
""")

_SHARES = sa.text("""
    SELECT count(*) FILTER (WHERE stream = 'drawn') AS drawn, count(*) AS n
      FROM inbox
     WHERE answered_at >= :today OR (state = 'waiting' AND held_until > :now)
""")

_FREE = """
           AND q.id <> ALL(:have)
           AND (q.held_until IS NULL OR q.held_until < :now OR q.holder = :holder)
           AND NOT EXISTS (SELECT FROM inbox_skips s
                            WHERE s.item = q.id AND s.by = :by AND s.at > :skipped_since)
"""

_LEASE = """
    UPDATE inbox
       SET holder = :holder, held_until = :until
     WHERE state = 'waiting'
       AND id = ({choice}
                    FOR UPDATE OF q SKIP LOCKED)
 RETURNING id
"""

_RECENT = """
        SELECT q.id
          FROM (SELECT id
                  FROM inbox
                 WHERE state = 'waiting' AND stream = ANY(:streams)
                 ORDER BY at DESC
                 LIMIT :scanned) AS recent
          JOIN inbox q USING (id)
"""

# SKIP LOCKED lets two desks take side by side; a row that was leased meanwhile is looked at again
# and passed over.
_TAKE_DRAWN = sa.text(
    _LEASE.format(
        choice=f"""{_RECENT}
         WHERE q.state = 'waiting' {_FREE}
         ORDER BY q.holder = :holder DESC NULLS LAST, date_trunc('day', q.at, 'UTC') DESC,
                  q.place, q.id
         LIMIT 1"""
    )
)

# What a challenger says is found by the moment of the prediction, which is indexed.
_TAKE_AIMED = sa.text(
    _LEASE.format(  # put together from constants
        choice=f"""{_RECENT}
          LEFT JOIN LATERAL (SELECT a.label
                               FROM challenger_answers a
                              WHERE a.at = q.at AND a.prediction = q.prediction
                                AND a.label <> a.answered
                              LIMIT 1) AS differs ON true
         WHERE q.state = 'waiting' {_FREE}
           AND (CAST(:label AS text) IS NULL
                OR :label IN (q.label, q.other, differs.label, q.top -> 1 ->> 'label'))
         ORDER BY q.holder = :holder DESC NULLS LAST,
                  CASE WHEN q.stream = 'suspect' THEN 1.5
                       ELSE 1.0 + (differs.label IS NOT NULL)::integer
                                + (q.label = ANY(:wanted))::integer END - q.margin DESC,
                  q.at DESC, q.id
         LIMIT 1"""  # noqa: S608
    )
)

_CHALLENGER = sa.text("""
    SELECT a.label
      FROM challenger_answers a
     WHERE a.at = :at AND a.prediction = :prediction AND a.label <> a.answered
     LIMIT 1
""")

_RENEW = sa.text("""
    UPDATE inbox
       SET held_until = :until
     WHERE id = ANY(:items) AND state = 'waiting' AND holder = :holder
 RETURNING id
""")

_RELEASE = sa.text("""
    UPDATE inbox
       SET holder = NULL, held_until = NULL
     WHERE id = ANY(:items) AND state = 'waiting' AND holder = :holder
""")

_SKIP = sa.text("""
    INSERT INTO inbox_skips (item, by, at)
    VALUES (:item, :by, :now)
        ON CONFLICT (item, by) DO UPDATE SET at = excluded.at
""")

_WANTED = sa.text("""
    SELECT each ->> 'label'
      FROM (SELECT document -> 'needs_labels' AS asked
              FROM health_days
             ORDER BY day DESC, judged_at DESC
             LIMIT 1) AS latest,
           jsonb_array_elements(latest.asked) AS each
     WHERE (each ->> 'missing')::integer > 0
""")


def wanted(connection: Connection) -> list[str]:
    """Return the classes of which the next exam lacks images, the most urgent first."""
    return list(connection.execute(_WANTED).scalars())


def bring_suspects(connection: Connection, *, now: datetime, limit: int = 500) -> None:
    """Ask about the labels that look wrong by now, and no longer about those that do not."""
    connection.execute(_LET_SUSPECTS_GO)
    connection.execute(_BRING_SUSPECTS, {"now": now, "limit": limit})


def take(
    connection: Connection,
    desk: Desk,
    *,
    now: datetime,
    label: str | None = None,
    have: Sequence[int] = (),
) -> Taken | None:
    """Lease the image whose label is wanted most to a desk; None where nothing waits for it.

    What the desk holds already comes first, so that a page that is loaded anew goes on with it.

    Args:
        connection: Where the inbox is; its transaction must end soon.
        desk: Who asks.
        now: The present moment.
        label: Only images that have to do with this class: called so, or the runner-up, or called
            so by a challenger, or a label that looks wrong. What is chosen by what a model said
            of it is no random draw, so nothing that was drawn is among them.
        have: What the desk has on its screen already.
    """
    values = {
        "holder": desk.holder,
        "by": desk.by,
        "until": now + LEASE,
        "now": now,
        "skipped_since": now - _SKIPPED_FOR,
        "have": list(have),
        "scanned": _SCANNED,
    }
    aimed = {"streams": ["aimed", "suspect"], "label": label, "wanted": wanted(connection)}
    turns = [(_TAKE_AIMED, aimed)]
    if label is None:
        shares = connection.execute(_SHARES, {"today": day_bounds(now.date())[0], "now": now}).one()
        turns.insert(2 * shares.drawn > shares.n, (_TAKE_DRAWN, {"streams": ["drawn"]}))
    for statement, own in turns:
        found = connection.execute(statement, values | own).scalar_one_or_none()
        if found is not None:
            return _taken(connection, found)
    return None


def _taken(connection: Connection, found: int) -> Taken:
    item = inbox.get(connection, found)
    about = {"at": item.at, "prediction": item.prediction}
    differs = connection.execute(_CHALLENGER, about).scalar_one_or_none()
    return Taken(item, differs if item.stream == "aimed" else None)


def renew(
    connection: Connection, desk: Desk, items: Sequence[int], *, now: datetime
) -> frozenset[int]:
    """Hold on to images for as long again; return those that the desk still holds."""
    values = {"items": list(items), "holder": desk.holder, "until": now + LEASE}
    return frozenset(connection.execute(_RENEW, values).scalars())


def release(connection: Connection, desk: Desk, items: Sequence[int]) -> None:
    """Let go of images, so that others may have them."""
    connection.execute(_RELEASE, {"items": list(items), "holder": desk.holder})


def skip(connection: Connection, desk: Desk, item: int, *, now: datetime) -> None:
    """Leave an image to others, and ask this person about it again tomorrow at the earliest."""
    inbox.get(connection, item)
    connection.execute(_SKIP, {"item": item, "by": desk.by, "now": now})
    release(connection, desk, [item])
