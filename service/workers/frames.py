"""What the engine process and its fronts say to each other: kinds of frames, and their fields.

A frame is its kind, the length of what follows, and that. Numbers are packed by `struct`, longer
things are JSON or UTF-8, never pickle: a front reads what strangers send, and what it says is not
to be believed further than it reaches.
"""

from __future__ import annotations

import enum
import json
import struct
from typing import Any, Final

from core.errors import BundleError, OverloadedError
from service.door.rates import Allowance

HEAD: Final = struct.Struct("<BI")  # kind, bytes that follow
PLACE: Final = struct.Struct("<II")  # number of the version, slot of its block
ANSWER: Final = struct.Struct("<II5d")  # place; confidence, margin, entropy, queue_s, infer_s
FAILURE: Final = struct.Struct("<IIBI")  # place, whose fault, Retry-After; the words follow
QUESTION: Final = struct.Struct("<IB")  # its number, topic; the rest follows
REPLY: Final = struct.Struct("<I")  # the question's number; the rest follows
VERSION: Final = struct.Struct("<I")  # number of a version

_RATE = struct.Struct("<I")
_ALLOWANCE = struct.Struct("<?4I")
_GUESS = struct.Struct("<I?")


class Kind(enum.IntEnum):
    """Whatever one process says to the other."""

    # By the engine process:
    SETUP = 1  # JSON, and the board's file
    SERVING = 2  # JSON, and the file of the version's block
    REASON = 3  # why nothing serves
    ANSWERED = 4
    FAILED = 5
    CONNECTION = 6  # an accepted socket
    # By a front:
    READY = 20  # it takes connections
    LEAVING = 21  # it takes no more
    BROKEN = 22  # it cannot start; why
    SUBMIT = 23
    ABANDON = 24
    RELEASE = 25
    LEAVE = 26  # the line of an Idempotency-Key
    # By either:
    QUESTION = 40
    REPLY = 41
    KEPT = 42  # answers under their Idempotency-Keys


class Topic(enum.IntEnum):
    """What one process may ask the other."""

    RATE = 1  # of a key, to the engine process
    GUESS = 2  # a wrong key, to the engine process
    PAGE = 3  # the metrics of all, to the engine process
    NUMBERS = 4  # the metrics of a front, to it
    TURN = 5  # with an Idempotency-Key, to the engine process; the reply comes with the turn


class Fault(enum.IntEnum):
    """Why there is no answer."""

    OVERLOADED = 1
    BUNDLE = 2
    OTHER = 3
    ABANDONED = 4  # nobody waits for it


def frame(kind: Kind, content: bytes = b"") -> bytes:
    """Return one frame."""
    return HEAD.pack(kind, len(content)) + content


def failure(place: tuple[int, int], error: BaseException) -> bytes:
    """Return the content of a FAILED frame."""
    retry_after_s = error.retry_after_s if isinstance(error, OverloadedError) else 0
    return FAILURE.pack(*place, _fault_of(error), retry_after_s) + str(error).encode(
        errors="replace"
    )


def error_of(fault: int, words: str, retry_after_s: int) -> Exception:
    """Return the error that a FAILED frame tells of."""
    if fault == Fault.OVERLOADED:
        return OverloadedError(words, retry_after_s=retry_after_s)
    if fault == Fault.BUNDLE:
        return BundleError(words)
    return RuntimeError(words)


def _fault_of(error: BaseException) -> Fault:
    if isinstance(error, OverloadedError):
        return Fault.OVERLOADED
    return Fault.BUNDLE if isinstance(error, BundleError) else Fault.OTHER


def pack_rate(key: str, per_minute: int) -> bytes:
    """Return the question whether a key may ask once more."""
    return _RATE.pack(per_minute) + key.encode()


def unpack_rate(content: bytes) -> tuple[str, int]:
    """Return the key, and the requests a minute that it is allowed."""
    (per_minute,) = _RATE.unpack_from(content)
    return content[_RATE.size :].decode(), per_minute


def pack_allowance(allowance: Allowance) -> bytes:
    """Return what is left of a key's rate."""
    return _ALLOWANCE.pack(
        allowance.granted, allowance.quota, allowance.left, allowance.full_s, allowance.wait_s
    )


def unpack_allowance(content: bytes) -> Allowance:
    """Return what `pack_allowance` was given."""
    return Allowance(*_ALLOWANCE.unpack(content))


def pack_guess(wait_s: int, locked: bool) -> bytes:
    """Return what a wrong key led to."""
    return _GUESS.pack(wait_s, locked)


def unpack_guess(content: bytes) -> tuple[int, bool]:
    """Return what `pack_guess` was given."""
    wait_s, locked = _GUESS.unpack(content)
    return wait_s, locked


def pack_json(content: dict[str, Any]) -> bytes:
    """Return an object as JSON."""
    return json.dumps(content, separators=(",", ":")).encode()


def unpack_json(content: bytes) -> dict[str, Any]:
    """Return the object that `pack_json` was given."""
    found: dict[str, Any] = json.loads(content)
    return found
