"""Lets callers in: on this machine, whoever sits at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import g

from dashboard.door.caller import OWNER

if TYPE_CHECKING:
    from flask import Flask


def let_owner_in(server: Flask) -> None:
    """Let every request of `server` be one of the machine's owner."""

    @server.before_request
    def enter() -> None:
        g.caller = OWNER
