"""Who asks: known from the request, and asked for wherever something is shown or changed."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, has_request_context

from core.errors import ForbiddenError
from core.store.keys import SCOPES


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: As it stands in the audit and in labels: `key:` and the name of the key, as the
            service writes it, or `dashboard` for whoever sits at this machine.
        scopes: What that key may do; some of core.store.keys.SCOPES. `admin` may do everything.
    """

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Say whether this is allowed."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def shown(self) -> str:
        """The name as the page shows it."""
        return self.name.removeprefix("key:")

    def require(self, scope: str) -> None:
        """Go on only where this is allowed.

        Raises:
            ForbiddenError: It is not.
        """
        if not self.may(scope):
            raise ForbiddenError(
                f"{self.shown} may not do that: the key lacks the scope {scope}; sign in with one "
                f"that has it (weakspot keys create NAME --scopes read,{scope})"
            )


# Whoever sits at this machine, where the dashboard runs without keys.
OWNER = Caller("dashboard", frozenset(SCOPES))
NOBODY = Caller("nobody", frozenset())


def current() -> Caller:
    """Return who made the request that is being answered; nobody where the door let none in."""
    return g.get("caller", NOBODY) if has_request_context() else NOBODY
