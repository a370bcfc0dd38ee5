"""The challenger's process as the service sees it: started, asked, ended.

The service's memory, its Python lock and its cores stay the champion's; a picture goes over a
pipe, and a line of JSON comes back. Every wait ends when the service stops.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.bundle.trial import child_environment
from core.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_TICK_S = 0.25  # how soon a stop is noticed
_END_S = 5.0
_PIECE = 65_536
_WRITE, _READ = select.POLLOUT, select.POLLIN


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the process is waited for; it computes only while the machine has nothing to do.

    Attributes:
        load_s: Until it is ready.
        answer_s: Until it has answered one picture.
    """

    load_s: float = 180.0
    answer_s: float = 60.0


class Challenger:
    """A challenger in a process of its own, verified, loaded and ready.

    Args:
        folder: Its bundle.
        digest: Of the bundle, as registered.
        stopping: Ends every wait when it is set.
        patience: How long is waited.

    Raises:
        BundleError: It is not what was registered, or cannot be loaded.
        GivenUpError: The service stops.
    """

    def __init__(
        self,
        folder: Path,
        digest: str,
        *,
        stopping: threading.Event,
        patience: Patience | None = None,
    ) -> None:
        self._stopping = stopping
        self._patience = patience or Patience()
        self._heard = b""
        self._process = _started(folder, digest)
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        assert self._process.stdout is not None  # noqa: S101 - likewise
        self._to, self._back = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        try:
            self._hear(self._patience.load_s)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def ask(self, image: NDArray[np.uint8]) -> tuple[str, float]:
        """Return the likeliest label of one picture, and its probability.

        Args:
            image: uint8 (H, W, 3), preprocessed by the bundle's recipe.

        Raises:
            BundleError: The process has failed, or does not answer.
            GivenUpError: The service stops.
        """
        begun = time.monotonic()
        left = memoryview(image.tobytes())
        while left:
            self._wait(begun + self._patience.answer_s, to_write=True)
            try:
                left = left[os.write(self._to, left[:_PIECE]) :]
            except BrokenPipeError:
                break  # its last words say why
        answer = self._hear(self._patience.answer_s)
        return str(answer["label"]), float(answer["probability"])

    def hang_up(self) -> None:
        """Ask for nothing more: the process ends by itself, as when this one is gone."""
        if self._process.stdin:
            self._process.stdin.close()

    def ended_with(self, *, within_s: float) -> int | None:
        """Return the exit code, waiting for it a while; None where the process lives on."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(within_s)
        return None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            # What is still to be written has nowhere to go.
            with suppress(OSError):
                if pipe:
                    pipe.close()
        self.ended_with(within_s=_END_S)

    def _hear(self, patience_s: float) -> dict[str, Any]:
        """Return the next line that the process says."""
        until = time.monotonic() + patience_s
        while b"\n" not in self._heard:
            self._wait(until, to_write=False)
            piece = os.read(self._back, _PIECE)
            if not piece:
                raise BundleError(self._ended())
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise BundleError("its process has said what is no answer") from error
        if "error" in said:
            raise BundleError(str(said["error"]))
        return said

    def _wait(self, until: float, *, to_write: bool) -> None:
        """Return when the pipe is ready."""
        # Not `select`: that knows no descriptors above 1,023, and a service may have many more.
        look = select.poll()
        look.register(self._to if to_write else self._back, _WRITE if to_write else _READ)
        while not look.poll(1000 * _TICK_S):
            if self._stopping.is_set():
                raise GivenUpError
            if time.monotonic() > until:
                raise BundleError("its process has not answered in time; is the machine ever idle?")

    def _ended(self) -> str:
        code = self.ended_with(within_s=_END_S)
        if code is None:
            return "its process closed its pipes"
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        return f"its process ended by {how} and said nothing"


def _started(folder: Path, digest: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-B", "-m", "service.shadow.answering"]
    try:
        return subprocess.Popen(
            [*command, str(folder.absolute()), digest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(1),
            # Ctrl-C reaches every process of a terminal; this one ends with its service.
            start_new_session=True,
        )
    except OSError as error:
        raise BundleError(f"no process can be started for it: {error}") from error


class GivenUpError(Exception):
    """The service stops."""
