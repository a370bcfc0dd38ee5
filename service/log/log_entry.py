"""What the prediction log writes down for one answer, and its form on the local disk.

JSON, never pickle: a spool may lie for days and be read by another release, or by a person. The
embedding is base64 of the very bytes Postgres gets, so a spooled row and a stored one are equal.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from core.errors import RefusedRowError
from core.store import halfvec
from core.store.idempotency import Kept
from core.store.predictions import Prediction

_NUL = "\\u0000"
_KEPT_FIRST = b'{"kept":{'
_NAMES = [field.name for field in fields(Prediction)]
_MOMENTS = ("at", "labelled_at")


@dataclass(frozen=True, slots=True)
class Entry:
    """A prediction, and what is kept of its answer under an Idempotency-Key."""

    prediction: Prediction
    kept: Kept | None = None


def encode(entry: Entry) -> bytes:
    """Return an entry as JSON.

    Raises:
        RefusedRowError: Postgres would refuse it for ever: NUL, half a character, NaN. It must
            not be answered, for the spool could never be emptied of it.
    """
    content: dict[str, Any] = {}
    if entry.kept is not None:
        content["kept"] = kept_to_json(entry.kept)
    content["prediction"] = _prediction_to_json(entry.prediction)
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        payload = text.encode()
    except (ValueError, TypeError) as error:  # UnicodeEncodeError is a ValueError
        raise RefusedRowError(f"the prediction cannot be written down: {error}") from error
    if _NUL in text and _has_nul(content):
        raise RefusedRowError("the prediction cannot be written down: it has NUL in a text")
    return payload


def decode(payload: bytes) -> Entry:
    """Return the entry that `encode` was given.

    Raises:
        ValueError: It is no entry of this release.
    """
    try:
        content = json.loads(payload)
        kept = content.get("kept")
        return Entry(
            _prediction_from_json(content["prediction"]),
            kept_from_json(kept) if kept is not None else None,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an entry of this release: {error!r}") from error


def has_key(payload: bytes) -> bool:
    """Say whether an encoded entry has an Idempotency-Key, without decoding it."""
    return payload.startswith(_KEPT_FIRST)


def _prediction_to_json(prediction: Prediction) -> dict[str, Any]:
    content = {name: getattr(prediction, name) for name in _NAMES}
    content["id"] = str(prediction.id)
    for name in _MOMENTS:
        content[name] = content[name].isoformat() if content[name] else None
    if prediction.embedding is not None:
        raw = halfvec.to_binary(prediction.embedding)
        content["embedding"] = base64.b64encode(raw).decode()
    return content


def _prediction_from_json(content: dict[str, Any]) -> Prediction:
    known = {name: content[name] for name in _NAMES}
    known["id"] = UUID(known["id"])
    for name in _MOMENTS:
        known[name] = datetime.fromisoformat(known[name]) if known[name] else None
    if known["embedding"] is not None:
        known["embedding"] = halfvec.from_binary(base64.b64decode(known["embedding"]))
    return Prediction(**known)


def kept_to_json(kept: Kept) -> dict[str, Any]:
    """Return what is kept of an answer, as JSON holds it."""
    return {
        "caller": kept.caller,
        "key": kept.key,
        "request_sha256": kept.request_sha256.hex(),
        "prediction": str(kept.prediction),
        "answer": kept.answer,
        "at": kept.at.isoformat(),
    }


def kept_from_json(content: dict[str, Any]) -> Kept:
    """Return what `kept_to_json` was given."""
    return Kept(
        caller=content["caller"],
        key=content["key"],
        request_sha256=bytes.fromhex(content["request_sha256"]),
        prediction=UUID(content["prediction"]),
        answer=content["answer"],
        at=datetime.fromisoformat(content["at"]),
    )


def _has_nul(content: Any) -> bool:
    if isinstance(content, str):
        return "\0" in content
    if isinstance(content, dict):
        return any(_has_nul(each) for pair in content.items() for each in pair)
    return isinstance(content, list) and any(map(_has_nul, content))
