"""The headers that every answer carries, whoever wrote it.

Nothing of ours is framed, sniffed, cached or run by a browser. There are no CORS headers: pages
of other origins may not read what the service says.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

NO_CONTENT_RUNS: Final = "default-src 'none'; frame-ancestors 'none'"

SAFE_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", NO_CONTENT_RUNS.encode()),
    (b"cache-control", b"no-store"),
)


def policy_of_page(html: str) -> str:
    """Return the content security policy of a page of ours: its own scripts, and no others.

    Inline scripts are allowed by their hashes, so that one that was smuggled in does not run.
    """
    inline = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inline]
    scripts = " ".join(["'self'", *(f"'sha256-{each}'" for each in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
