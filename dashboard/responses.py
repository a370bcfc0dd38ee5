"""What every answer of the dashboard carries: headers that keep the page to itself, and gzip.

Dash sends none of these by itself. No script, style, picture or request may come from or go to
another host; scripts are our own files plus those inline ones whose digest is named.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask, Response

_SMALLEST_BYTES = 1_000
_COMPRESSIBLE = ("text/", "application/json", "application/javascript", "image/svg+xml")
_IMMUTABLE = "/_dash-component-suites/"


def install(server: Flask, script_hashes: Sequence[str]) -> None:
    """Let every answer of `server` carry the headers, and be compressed where that is asked for.

    Args:
        server: The Flask application.
        script_hashes: Digests of the inline scripts that may run, quoted as the policy wants them.
    """
    headers = _headers(content_policy(script_hashes))

    @server.after_request
    def finish(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return _compressed(response)


def content_policy(script_hashes: Sequence[str]) -> str:
    """Return the content security policy.

    Mantine and Plotly write style elements, so inline styles are let through. Plotly draws its
    exports through `blob:` addresses.
    """
    scripts = " ".join(["'self'", *script_hashes])
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }


def _compressed(response: Response) -> Response:
    if not _may_compress(response):
        return response
    response.direct_passthrough = False  # A file of assets/ would be streamed as it lies.
    body = response.get_data()
    if len(body) < _SMALLEST_BYTES:
        return response
    # The bundles of Dash and Plotly carry their version in the address and never change.
    packed = _pack_once(body) if request.path.startswith(_IMMUTABLE) else gzip.compress(body, 5)
    response.set_data(packed)
    response.headers["Content-Encoding"] = "gzip"
    response.headers.add("Vary", "Accept-Encoding")
    return response


def _may_compress(response: Response) -> bool:
    return (
        response.status_code == 200
        and "gzip" in request.accept_encodings
        and "Content-Encoding" not in response.headers
        and (response.content_type or "").startswith(_COMPRESSIBLE)
    )


@lru_cache(maxsize=64)
def _pack_once(body: bytes) -> bytes:
    return gzip.compress(body, 6)
