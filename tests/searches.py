"""A search for better options as Optuna keeps it, without anything being trained.

search(engine, "rates")     # eight complete, two ended early, one failed, one under way
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from sqlalchemy import Engine

from core.store import trials
from tests.training import tiny_config
from trainer.search import studies
from trainer.search.search_space import parse
from trainer.search.studies import Plan

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "augment": ["none", "light", "strong"],
    "ema": [None, 0.99],
}
EPOCHS = 4

_PRUNED, _FAILED, _RUNNING = (3, 6), 8, 11


def search(
    engine: Engine, name: str = "rates", *, space: dict[str, Any] | None = None, trials_n: int = 12
) -> None:
    """Keep a search whose accuracy is best at a rate of 0.01; its last trial is under way.

    Args:
        engine: Where it is kept.
        name: What it is called.
        space: What is searched; `SPACE` when None.
        trials_n: How many trials it has.
    """
    base = tiny_config("nowhere", epochs=EPOCHS)  # type: ignore[arg-type]
    wanted = parse(space or SPACE, base)
    plan = Plan(name, trials_n, sampler="random", prune=False)
    with studies.opened(engine, plan, wanted, epochs=EPOCHS) as study:
        facts = {"base": {"epochs": EPOCHS}, "space": wanted.to_dict()}
        studies.note(study, **facts, snapshot="0" * 64)
        for number in range(trials_n):
            _make(study, wanted.suggest, number)
        if trials_n > 1:
            studies.note(study, importance=studies.importance(study))


def _make(study: Any, suggest: Any, number: int) -> None:
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # It asks for the heartbeat of optimize().
        trial = study.ask()
    options = suggest(trial)
    trial.set_user_attr(trials.OPTIONS, options)
    if number == _FAILED:
        trial.set_user_attr(trials.ERROR, "the loss is no number at a rate of 0.1; try a lower one")
        study.tell(trial, state=TrialState.FAIL)
        return
    reached = _accuracy(options)
    passes = 1 if number in _PRUNED else 2 if number == _RUNNING else EPOCHS
    for i in range(1, passes + 1):
        trial.report(reached * i / EPOCHS, i)
    if number in _PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
    elif number != _RUNNING:
        study.tell(trial, reached)


def _accuracy(options: dict[str, Any]) -> float:
    """Return an accuracy that falls with the distance of the rate from 0.01."""
    rate = float(options.get("learning_rate", 0.01))
    gained = {"light": 0.03, "strong": 0.01}.get(str(options.get("augment")), 0.0)
    return round(0.9 - 0.1 * abs(math.log10(rate) + 2) + gained, 4)
