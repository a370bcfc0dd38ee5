"""`weakspot tune`: a search for better options of a run, in trials on one frozen snapshot.

A search is known by its name and kept in Postgres, each trial as it ends (trainer.search.studies).
Asked for again, it goes on; several processes, on as many machines as have the images, search
together. A trial whose process died is tried again, from its last whole pass where it has a
checkpoint here. Trials that lag behind are ended early by Hyperband. What is compared is the
accuracy on the validation images: the test images stay the gate's, and nothing is registered.

Of equals on few validation images chance decides which is called best, and the best of many is
flattered: its accuracy on images it was not chosen by is lower.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.clock import Clock
from core.errors import TrainingError, UsageError, WeakspotError
from core.images.preprocess import Recipe
from core.store import trials
from core.store.database import transaction
from core.store.trials import Study
from trainer.candidates import Sources, frozen, run_name, trained
from trainer.config import RunConfig
from trainer.fitting.fit import Epoch, use_all_cores
from trainer.images.dataset import Pixels, Progress, Sides, training_weights
from trainer.images.imbalance import Sampling
from trainer.images.snapshot import Snapshot
from trainer.ranks import RAY
from trainer.run_folder import FEATURES, run_folder
from trainer.search import studies
from trainer.search.search_space import Space, run_with
from trainer.search.studies import Plan

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import Engine

__all__ = ["Plan", "best_run", "search"]


_logger = logging.getLogger(__name__)

# What becomes of the best run; a search is gone on with whatever of it has changed.
_NOT_LOOKED_AT = frozenset({"variants", "also", "intended_use", "limits"})


class _LaggingError(TrainingError):
    """This trial is not worth its next pass."""


@dataclass(frozen=True, slots=True)
class _SharedSources(Sources):
    """Sources whose images are decoded once for all trials of one input size."""

    decoded: dict[Recipe, tuple[Pixels, Pixels]] = field(default_factory=dict)
    shared: Path = Path()

    def decode(self, recipe: Recipe, sampling: Sampling, on_progress: Progress | None) -> Sides:
        """Return both sides that are learnt from, decoded by the recipe."""
        if recipe not in self.decoded:
            place = self.shared / "-".join(str(value) for value in recipe.to_dict().values())
            place.mkdir(exist_ok=True)
            sides = Sources(self.snapshot, place, self.runs, {}).decode(
                recipe, sampling, on_progress
            )
            self.decoded[recipe] = sides.train, sides.val
        train, val = self.decoded[recipe]
        weights = training_weights(train, self.snapshot.labels, sampling=sampling)
        return Sides(train, weights, val, recipe, self.folder, self.runs.absolute() / FEATURES)


@dataclass(frozen=True, slots=True)
class _Search:
    """What all trials of one process share."""

    base: RunConfig
    space: Space
    snapshot: Snapshot
    runs: Path
    shared: Path
    decoded: dict[Recipe, tuple[Pixels, Pixels]] = field(default_factory=dict)

    def accuracy(self, trial: optuna.Trial, on_progress: Progress | None) -> float:
        """Carry out one trial and return its accuracy on the validation images."""
        import optuna

        options = self.space.suggest(trial)
        trial.set_user_attr(trials.OPTIONS, options)

        def on_epoch(epoch: Epoch) -> None:
            trial.report(epoch.val_accuracy, epoch.number)
            # After its last pass a trial is complete, and has nothing left to save.
            if epoch.number < epoch.epochs and trial.should_prune():
                raise _LaggingError(f"it lagged behind after pass {epoch.number}")

        try:
            config = run_with(self.base, options)
            torch.manual_seed(config.seed)
            with run_folder(self.runs, run_name(self.snapshot, config)) as folder:
                sources = _SharedSources(
                    self.snapshot, folder, self.runs, {}, self.decoded, self.shared
                )
                _, report = trained(config, sources, on_progress, on_epoch)
        except _LaggingError as error:
            raise optuna.TrialPruned(str(error)) from error
        except WeakspotError as error:
            trial.set_user_attr(trials.ERROR, str(error))
            _logger.warning("trial %d failed: %s", trial.number, error)
            raise
        if not np.isfinite(report.val_logits).all():
            trial.set_user_attr(trials.ERROR, "its answers are no numbers")
            raise TrainingError("its answers are no numbers")
        return report.val_accuracy


def search(  # noqa: PLR0913 - each is named by its caller
    engine: Engine,
    base: RunConfig,
    space: Space,
    plan: Plan,
    *,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
) -> Study:
    """Carry out trials until there are as many as planned, and return all of the search.

    Args:
        engine: The database; the search is kept in its schema `optuna`.
        base: What the options that are not searched are.
        space: What is searched.
        plan: How.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is, when the images are frozen.
        on_progress: Told about stages.

    Raises:
        UsageError: Optuna is not installed, a search of that name looked for something else, or
            a run of it would take several devices.
        TrainingError: The pool gives nothing to train on, or has other images than it had when
            the search began.
        StoreError: Postgres is away.
    """
    if (base.devices, base.nodes) != (1, 1):
        raise UsageError(
            f"a trial takes one device, not {base.devices} on {base.nodes} machines; make several "
            "trials at once with --parallel instead"
        )
    if base.strategy == RAY:
        raise UsageError("a trial is one process; leave strategy ray out, and give --parallel")
    with studies.opened(engine, plan, space, epochs=base.epochs) as study:
        with studies.alone(engine):
            snapshot = _snapshot(engine, study, base, space, clock.now())
        use_all_cores()
        left = plan.trials - len(study.get_trials(deepcopy=False, states=studies.ended()))
        with run_folder(runs, f"train-tune-{snapshot.digest[:16]}") as shared:
            one = _Search(base, space, snapshot, runs, shared)
            if left > 0:
                study.optimize(
                    lambda trial: one.accuracy(trial, _named(on_progress, trial.number)),
                    n_trials=left,
                    timeout=plan.timeout_s,
                    catch=(TrainingError, UsageError),
                    callbacks=[studies.enough(plan.trials)],
                )
        studies.note(study, importance=studies.importance(study))
    with transaction(engine) as connection:
        return trials.study(connection, plan.name) or Study(plan.name, {}, [])


def best_run(found: Study, base: RunConfig) -> RunConfig:
    """Return the run that the best trial was.

    Raises:
        TrainingError: No trial was complete.
    """
    if found.best is None:
        why = next((each.error for each in reversed(found.trials) if each.error), "none has ended")
        raise TrainingError(f"no trial of {found.name!r} was complete; the last one said: {why}")
    return run_with(base, found.best.options)


def _snapshot(
    engine: Engine, study: optuna.Study, base: RunConfig, space: Space, now: datetime
) -> Snapshot:
    """Return the images of this search, frozen when it began.

    Raises:
        UsageError: The search of that name looked for something else.
        TrainingError: Some of its images are gone, or labelled otherwise.
    """
    ours = {"base": _of_trials(asdict(base)), "space": _plain(space.to_dict())}
    noted: dict[str, Any] = study.user_attrs.get(trials.FACTS, {})
    if not noted:
        snapshot = frozen(engine, base, now)
        studies.note(study, **ours, snapshot=snapshot.digest, snapshot_at=now.isoformat())
        return snapshot
    before = noted | {"base": _of_trials(noted["base"])}
    for what, value in ours.items():
        if before[what] != value:
            raise UsageError(
                f"the search {study.study_name!r} was begun with another {what}; give this one "
                "another --name"
            )
    snapshot = frozen(engine, base, datetime.fromisoformat(noted["snapshot_at"]))
    if snapshot.digest != noted["snapshot"]:
        raise TrainingError(
            f"the images of the search {study.study_name!r} have changed since it began (removed, "
            "relabelled or held back); begin another, with another --name"
        )
    return snapshot


def _of_trials(base: dict[str, Any]) -> dict[str, Any]:
    """Return what all trials have in common, without what no trial looks at."""
    return _plain({name: value for name, value in base.items() if name not in _NOT_LOOKED_AT})


def _named(on_progress: Progress | None, number: int) -> Progress | None:
    if on_progress is None:
        return None
    tell = on_progress
    return lambda stage, done, total: tell(f"trial {number}: {stage}", done, total)


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts as JSON gives them back."""
    return json.loads(json.dumps(facts))
