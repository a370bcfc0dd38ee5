"""Which bundle a verb works with, and what computes it: given, or found and measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from core.bundle import engines, trial
from core.bundle.engines import EngineName
from core.bundle.runner import Runner
from core.bundle.sessions import Device, Threads
from core.errors import BundleError, UsageError
from core.store import registry
from core.store.database import transaction
from weakspot import front

_TRIAL_S = 0.5  # for each engine; enough to tell them apart


@dataclass(frozen=True, slots=True)
class Wish:
    """How a bundle is to be opened.

    Attributes:
        device: Where it is to run.
        engine: What is to compute it; None takes the fastest that agrees.
        callers: Model calls at a time.
        batch_size: Images a call.
    """

    device: Device
    engine: EngineName | None
    callers: int
    batch_size: int


def find(version: str | None, bundle: Path | None) -> Path:
    """Return the bundle's folder: that one, the version's, or the champion's.

    Raises:
        UsageError: Both are given.
        NotFoundError: No such version is registered.
        BundleError: There is no champion yet.
    """
    if version and bundle:
        raise UsageError("give --version or --bundle, not both")
    if bundle:
        return bundle
    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version) if version else registry.champion(connection)
    if found is None:
        raise BundleError("there is no champion yet; run: weakspot train, or give --bundle")
    return Path(found.uri)


def known_engine(name: str) -> EngineName | None:
    """Return the engine of that name; None for `auto`.

    Raises:
        UsageError: There is none.
    """
    if name == "auto":
        return None
    for engine in engines.ENGINES:
        if engine == name:
            return engine
    raise UsageError(f"--engine {name} is unknown; choose auto, {', '.join(engines.ENGINES)}")


def known_device(name: str) -> Device:
    """Return the device of that name.

    Raises:
        UsageError: There is none.
    """
    for device in get_args(Device):
        if device == name:
            return device
    raise UsageError(f"--device {name} is unknown; choose {', '.join(get_args(Device))}")


def open_runner(folder: Path, wish: Wish) -> Runner:
    """Open a bundle with the engine that is wished for, or the fastest that agrees.

    Raises:
        BundleError: It cannot be opened; the message says why.
    """
    engine, tried = wish.engine, False
    if engine is None:
        front.say("timing the engines...")
        task = trial.Task(wish.device, wish.callers, wish.batch_size, _TRIAL_S)
        engine, tried = trial.try_out(folder, task).engine, True
    threads = Threads(1, wish.callers, (wish.batch_size,))
    return Runner.open(folder, wish.device, threads, engine=engine, tried=tried)
