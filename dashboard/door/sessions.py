"""Sessions: a signed cookie says which key somebody signed in with, and until when that counts.

Nothing is kept here: the cookie names the key's id, never its text, and every request asks the
keyring whether that key still opens anything. A session ends twelve hours after it was last used,
a week after the sign-in in any case, and with its key. Signing out takes the cookie from the
browser; a copy that somebody made of it before counts on until then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from itsdangerous import BadData, URLSafeSerializer

if TYPE_CHECKING:
    from core.store.keys import Key

IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)

_RENEWED_AFTER = timedelta(hours=1)
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in.

    Attributes:
        key: Id of the key.
        since: When.
        until: From when it does not count any more.
    """

    key: str
    since: datetime
    until: datetime


def begun(key: Key, now: datetime) -> Session:
    """Return the session of somebody who signs in at `now`."""
    now = now.replace(microsecond=0)
    return Session(key.id, now, now + IDLE)


def prolonged(session: Session, now: datetime) -> Session | None:
    """Return a session as it goes on after a request at `now`; None where it goes on as it is."""
    until = min(now.replace(microsecond=0) + IDLE, session.since + LONGEST)
    return replace(session, until=until) if until - session.until >= _RENEWED_AFTER else None


class Signer:
    """Turns sessions into the text of a cookie, and back.

    Args:
        secret: What they are signed with.
    """

    def __init__(self, secret: bytes) -> None:
        self._serializer: Any = URLSafeSerializer(
            secret,
            salt="weakspot dashboard session",
            signer_kwargs={"digest_method": hashlib.sha256},
        )
        # Browsers send the cookies of all ports of a machine to each: two homes are told apart.
        self.mark = hashlib.sha256(b"name of the cookie" + secret).hexdigest()[:8]

    def text_of(self, session: Session) -> str:
        """Return what stands in the cookie."""
        moments = (session.since, session.until)
        return self._serializer.dumps([session.key, *[int(each.timestamp()) for each in moments]])

    def session_of(self, text: str, now: datetime) -> Session | None:
        """Return the session that a cookie stands for; None when it is not ours, or over."""
        if len(text) > _LONGEST_TEXT:
            return None
        try:
            said: Any = self._serializer.loads(text)
            session = Session(
                str(said[0]), *[datetime.fromtimestamp(each, UTC) for each in said[1:3]]
            )
        except (BadData, TypeError, ValueError, IndexError, OverflowError, OSError):
            return None
        return session if now < session.until else None
