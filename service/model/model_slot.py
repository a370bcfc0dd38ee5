"""The one place that holds the version that serves.

A request takes what is here once and keeps it to its end, so an answer, its row and the resize
of its picture all belong to one version, whatever is promoted meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.bundle.manifest import Manifest
from core.bundle.trial import Trial
from core.errors import BundleError
from core.images.preprocess import Recipe


class Described(Protocol):
    """What is known of a version by those who do not run it themselves."""

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself."""
        ...

    @property
    def engine(self) -> str:
        """What computes it, really."""
        ...

    @property
    def device(self) -> str:
        """Where."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the outputs."""
        ...

    @property
    def version(self) -> str:
        """The version that answers."""
        ...

    @property
    def recipe(self) -> Recipe:
        """How a picture becomes this model's input."""
        ...


@dataclass(frozen=True, slots=True)
class Serving:
    """A version, loaded and warm.

    Attributes:
        runner: What answers; the batcher of this process takes it.
        trial: Why it is computed by the engine that it is.
        name: Name of the model that it is a version of.
        digest: Of its bundle, as registered.
        loaded_at: Since when it serves here.
    """

    runner: Described
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

    def empty(self, reason: str) -> None:
        """Let nothing serve any more, and say why."""
        self._serving = None
        self.explain(reason)

    def explain(self, reason: str) -> None:
        """Say why nothing serves, for as long as nothing does."""
        self.reason = reason


class ToldSlot(ModelSlot):
    """A slot whose changes are told.

    Attributes:
        on_change: Told of a version that serves from now on, or of the reason why none does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_change: Callable[[Serving | str], None] = lambda _: None

    def swap(self, serving: Serving) -> None:
        """Let another version serve from the next request on."""
        super().swap(serving)
        self.on_change(serving)

    def explain(self, reason: str) -> None:
        """Say why nothing serves, for as long as nothing does."""
        changed = reason != self.reason
        super().explain(reason)
        if changed:
            self.on_change(reason)
