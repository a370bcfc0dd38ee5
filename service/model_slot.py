"""The one place that holds the version that serves.

A request takes what is here once and keeps it to its end, so an answer, its row and the resize
of its picture all belong to one version, whatever is promoted meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.bundle.runner import Runner
from core.bundle.trial import Trial
from core.errors import BundleError


@dataclass(frozen=True, slots=True)
class Serving:
    """A version, loaded and warm.

    Attributes:
        runner: What answers.
        trial: Why it is computed by the engine that it is.
        name: Name of the model that it is a version of.
        digest: Of its bundle, as registered.
        loaded_at: Since when it serves here.
    """

    runner: Runner
    trial: Trial
    name: str
    digest: str
    loaded_at: datetime


class ModelSlot:
    """Holds what serves; swapping is one assignment, so no reader ever waits.

    Attributes:
        reason: Why nothing serves, for as long as nothing does.
    """

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self.reason = "no model is loaded yet; try again in a moment"

    def current(self) -> Serving:
        """Return what serves now.

        Raises:
            BundleError: Nothing does; the message says what to do.
        """
        serving = self._serving
        if serving is None:
            raise BundleError(self.reason)
        return serving

    def peek(self) -> Serving | None:
        """Return what serves now, or None."""
        return self._serving

    def swap(self, serving: Serving) -> None:
        """Let another version serve from the next request on."""
        self._serving = serving

    def explain(self, reason: str) -> None:
        """Say why nothing serves, for as long as nothing does."""
        self.reason = reason
