"""A person moves the champion: by the gate's leave, or by force and with a reason.

The loop promotes what its gate has passed. A person may do the same with a version that has passed
against the champion of today; with any other only by force. Every move is in the audit trail, with
who, when and why.
"""

from datetime import datetime

from sqlalchemy import Connection

from core.errors import ConflictError, UsageError
from core.store import jobs, registry

_UNSAID = "by hand"


def promote(  # noqa: PLR0913 - each named by its caller
    connection: Connection,
    version: str,
    *,
    now: datetime,
    by: str,
    reason: str | None = None,
    force: bool = False,
    over: str | None = None,
) -> str | None:
    """Make `version` the champion as a person wants it, and return the one it replaces.

    Args:
        connection: Where the registry is.
        version: Its name.
        now: The present moment.
        by: Who wants it.
        reason: Why; needed with `force`.
        force: Whether it may go without the gate.
        over: The champion it is to replace; None for whichever serves.

    Raises:
        NotFoundError: The version is not registered.
        UsageError: Force without a reason.
        ConflictError: It has not passed the gate against the present champion and is not forced;
            it serves already; or another promotion was faster.
    """
    said = (reason or "").strip()
    if force and not said:
        raise UsageError("a promotion by force needs a reason: it is kept with the move")
    registry.get(connection, version)
    serving = registry.champion(connection)
    name = None if serving is None else serving.version
    if over is not None and over != name:
        raise ConflictError(f"the champion is {name or 'none'} and not {over}; look again")
    passed = name is None or jobs.passed_gate(connection, version, name)
    if not (passed or force or name == version):
        raise ConflictError(
            f"{version} has not passed the gate against the champion {name}; "
            "promote it by force, and with a reason, or let a retraining pass"
        )
    kept = (said or _UNSAID) if passed else f"by force: {said}"
    before = registry.promote(connection, version, now=now, by=by, reason=kept)
    if before != name:
        raise ConflictError("another promotion was faster; look again and retry")
    return before
