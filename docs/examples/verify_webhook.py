"""Is this webhook from our Weakspot, and fresh? Copy this file; it needs nothing but Python.

if not is_genuine(SECRET, headers["Weakspot-Signature"], body, now_s=time.time()):
    return 401
"""

import hashlib
import hmac


def is_genuine(
    secret: str, header: str, body: bytes, *, now_s: float, tolerance_s: float = 300
) -> bool:
    """Say whether a body was signed with the secret, within the last minutes.

    Args:
        secret: The channel's secret.
        header: What `Weakspot-Signature` holds: `t=TIMESTAMP,v1=HEX`.
        body: The body's bytes as they came, not read and written anew.
        now_s: The present moment, in seconds since 1970.
        tolerance_s: How old, or how far ahead, a signature may be.
    """
    fields = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    signed_at, signature = fields.get("t", ""), fields.get("v1", "")
    if not (signed_at.isascii() and signed_at.isdigit()):
        return False
    expected = hmac.new(secret.encode(), signed_at.encode() + b"." + body, hashlib.sha256)
    is_fresh = abs(now_s - int(signed_at)) <= tolerance_s
    return is_fresh and hmac.compare_digest(expected.hexdigest().encode(), signature.encode())
