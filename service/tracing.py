"""The caller's trace, followed through our log: `traceparent` of W3C Trace Context.

A valid one is sent back unchanged and stands in every record that is logged of its request; any
other is ignored. Spans of our own are not made.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def follow(offered: str) -> str | None:
    """Note the trace of the request that begins here; return it if it is one."""
    known = offered if _TRACEPARENT.fullmatch(offered) else None
    _current.set(known)
    return known


def log_fields() -> dict[str, str]:
    """Return what a log record says of the trace."""
    known = _current.get()
    return {"traceparent": known} if known else {}
