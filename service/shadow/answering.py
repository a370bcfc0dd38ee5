"""The challenger's own process: `python -m service.shadow.answering`, started by a service.

It takes the lowest priority and a limit on memory, verifies and loads the bundle, says that it is
ready, and answers one picture after the other, until the service that started it is gone. What a
hostile or broken graph does happens here, and disturbs nobody.

Pictures come as raw bytes on stdin, each as many as the recipe says; answers leave as lines of
JSON. Everything heavy is imported when the priority is taken already.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from core.errors import WeakspotError

if TYPE_CHECKING:
    from core.bundle.runner import Runner

_MEMORY_BYTES: Final = 8_000_000_000  # of address space, as when a bundle is tried out
_LOWEST_PRIORITY: Final = 19


def main(arguments: list[str]) -> int:
    """Answer until nobody asks any more; return the exit code."""
    _step_back()
    asked = os.fdopen(os.dup(0), "rb")
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    # Whatever a runtime prints must not be taken for an answer.
    os.dup2(2, 1)
    try:
        runner = _load(Path(arguments[0]), arguments[1])
        _say(said, {"version": runner.version})
        _answer(runner, asked, said)
    except (WeakspotError, MemoryError) as error:
        words = str(error) or "it needs more memory than its process may take"
        with suppress(BrokenPipeError):
            _say(said, {"error": words})
        return 1
    except BrokenPipeError:
        return 0
    return 0


def _load(folder: Path, digest: str) -> Runner:
    """Return the bundle, checked as before it may serve: digests, signature, its own images."""
    from core.bundle import engines, files
    from core.bundle.runner import Runner
    from core.bundle.sessions import Threads
    from core.errors import BundleError

    found = files.digest(folder)
    if found != digest:
        raise BundleError(
            f"{folder} is not the bundle that was registered: its digest begins with {found[:12]}, "
            f"the registered one with {digest[:12]}"
        )
    # The engine that the gate examines by, on the processor: a GPU is the champion's alone.
    return Runner.open(folder, "cpu", Threads(1, 1, (1,)), engine=engines.REFERENCE)


def _answer(runner: Runner, asked: BinaryIO, said: BinaryIO) -> None:
    import numpy as np

    shape = (1, runner.recipe.height, runner.recipe.width, 3)
    size = int(np.prod(shape))
    while len(data := asked.read(size)) == size:
        probabilities = runner.run(np.frombuffer(data, np.uint8).reshape(shape)).probabilities[0]
        best = int(probabilities.argmax())
        _say(said, {"label": runner.labels[best], "probability": float(probabilities[best])})


def _say(said: BinaryIO, content: dict[str, Any]) -> None:
    said.write(json.dumps(content).encode() + b"\n")


def _step_back() -> None:
    """Let everything else on this machine compute first, and keep memory within bounds."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    with suppress(OSError):
        os.nice(_LOWEST_PRIORITY)
    if sys.platform == "linux":
        # Gives way the moment anything else wants the core, where nice waits for its slice's end.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # The runtime's own threads may not end; everything is said.
    os._exit(code)
