"""Searches as Optuna keeps them: opened in Postgres, numbered among processes, and summed up.

Optuna has tables of its own, in the schema `optuna` of our database; it makes them itself, and no
migration of ours touches them. core.store.trials reads them for whoever shows a search.

References:
    Akiba et al. (2019), Optuna: A Next-generation Hyperparameter Optimization Framework, KDD.
    Li et al. (2018), Hyperband, JMLR 18(185).
    Watanabe, Bansal, Hutter (2023), PED-ANOVA, IJCAI: the importance of options.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, exc

from core.errors import StoreError, UsageError
from core.store import trials
from trainer.search.search_space import Space

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import Engine

SamplerName = Literal["tpe", "random", "grid"]

_HEARTBEAT_S = 5
_GRACE_S = 30
_MOST_RETRIES = 2
_REDUCTION = 3  # Hyperband lets a third of the trials live on
_LOCK = 0x77656D74  # of all advisory locks of this database, ours
_MOST_PROCESSES = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search goes about it.

    Attributes:
        name: What it is known by; the same name goes on with it.
        trials: How many shall be complete or pruned in all, by all processes together. Each
            process ends the trial it is at, so that there may be a few more.
        sampler: `tpe` learns from earlier trials, `random` does not, `grid` takes each
            combination once.
        timeout_s: After so long no trial is begun; None for no end.
        prune: Whether trials that lag behind are ended early.
        seed: Of the sampler.
    """

    name: str
    trials: int
    sampler: SamplerName = "tpe"
    timeout_s: float | None = None
    prune: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UsageError(f"trials is {self.trials}; a search takes 1 or more")
        if not self.name.strip():
            raise UsageError("a search needs a name")


@contextmanager
def opened(engine: Engine, plan: Plan, space: Space, *, epochs: int) -> Generator[optuna.Study]:
    """Give the search of that name, begun or gone on with.

    Args:
        engine: The database.
        plan: Name, sampler and seed.
        space: What is searched; a grid needs its values.
        epochs: Most passes of a trial.

    Raises:
        UsageError: Optuna is not installed, or the space is no grid where one is wanted.
        StoreError: Postgres is away.
    """
    _require_optuna()
    import optuna

    with _translated(), _autocommitting(engine) as connection, _seat(connection, plan.name) as seat:
        storage = _storage(engine)
        try:
            study = optuna.create_study(
                study_name=plan.name, storage=storage, direction="maximize", load_if_exists=True
            )
            made = len(study.get_trials(deepcopy=False))
            # No other process of this search has this seed, and no earlier one had it.
            seed = int(np.random.SeedSequence([plan.seed, seat, made]).generate_state(1)[0])
            study.sampler = _sampler(plan.sampler, space, seed)
            study.pruner = _pruner(plan, epochs)
            yield study
        finally:
            storage.engine.dispose()


def ended() -> tuple[Any, ...]:
    """Return the states that count as a trial made: complete, or pruned."""
    from optuna.trial import TrialState

    return TrialState.COMPLETE, TrialState.PRUNED


def enough(most: int) -> Callable[..., None]:
    """Return what ends the search, in every process, when so many trials are made."""
    from optuna.study import MaxTrialsCallback

    return MaxTrialsCallback(most, states=ended())


@contextmanager
def alone(engine: Engine) -> Generator[Connection]:
    """Let one process at a time begin a search: two would make its tables, and its facts, twice."""
    with _autocommitting(engine) as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        try:
            yield connection
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})


def note(study: optuna.Study, **facts: Any) -> None:
    """Keep facts with the search, beside those kept before."""
    noted: dict[str, Any] = study.user_attrs.get(trials.FACTS, {})
    study.set_user_attr(trials.FACTS, noted | facts)


def importance(study: optuna.Study) -> dict[str, float]:
    """Return how much each option mattered (PED-ANOVA), in shares; empty where none can be told."""
    from optuna.importance import get_param_importances

    done = study.get_trials(deepcopy=False, states=ended()[:1])
    if len({each.value for each in done}) < 2:
        return {}
    try:
        found = get_param_importances(study)
    except (RuntimeError, ValueError):
        return {}
    return {name: float(share) for name, share in found.items()}


def _require_optuna() -> None:
    try:
        import optuna
    except ImportError as error:
        raise UsageError("a search needs one package more: pip install 'weakspot[tune]'") from error
    # What it would print of each trial, the caller is told. Without any handler Python would
    # print each failed trial's traceback.
    optuna.logging.disable_default_handler()
    _require_silence(logging.getLogger("optuna"))


def _require_silence(logger: logging.Logger) -> None:
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _storage(engine: Engine) -> optuna.storages.RDBStorage:
    """Return Optuna's storage in its own schema, with what it needs made there."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    with alone(engine) as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {trials.SCHEMA}"))
        return RDBStorage(
            engine.url.render_as_string(hide_password=False),
            engine_kwargs={
                "pool_pre_ping": True,
                "connect_args": {"options": f"-c search_path={trials.SCHEMA} -c timezone=UTC"},
            },
            heartbeat_interval=_HEARTBEAT_S,
            grace_period=_GRACE_S,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(
                max_retry=_MOST_RETRIES, inherit_intermediate_values=True
            ),
        )


def _sampler(name: SamplerName, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    if name == "grid":
        return samplers.GridSampler(space.grid(), seed=seed)
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Trials under way elsewhere count as bad ones, so that two do not look at one place.
        return samplers.TPESampler(seed=seed, constant_liar=True)


def _pruner(plan: Plan, epochs: int) -> optuna.pruners.BasePruner:
    from optuna import pruners

    return pruners.HyperbandPruner(1, epochs, _REDUCTION) if plan.prune else pruners.NopPruner()


@contextmanager
def _autocommitting(engine: Engine) -> Generator[Connection]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@contextmanager
def _seat(connection: Connection, name: str) -> Generator[int]:
    """Give this process the lowest number that no other process of the search has."""
    for seat in range(_MOST_PROCESSES):
        keys = {"key": _LOCK, "place": f"{name} {seat}"}
        if connection.execute(_SIT, keys).scalar_one():
            break
    else:
        raise StoreError(f"{_MOST_PROCESSES} processes are at {name!r} already")
    try:
        yield seat
    finally:
        connection.execute(_RISE, keys)


@contextmanager
def _translated() -> Generator[None]:
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (StorageInternalError, exc.DBAPIError, exc.TimeoutError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(f"the search could not be kept: {said}") from error


# The server forgets these locks with the connection, so a process that dies leaves its seat.
_SIT = sa.text("SELECT pg_try_advisory_lock(:key, hashtext(:place))")
_RISE = sa.text("SELECT pg_advisory_unlock(:key, hashtext(:place))")
