"""The `weakspot` command: one verb per thing a person wants done."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from weakspot import front
from weakspot.verbs import Verb, VerbGroup

_EVERYTHING = "The whole story"
_PROGRAMS = "Programs"
_MODEL = "Data and model"
_EXAMINE = "Examine"
_HOUSE = "House-keeping"


class _Verbs(VerbGroup):
    """What can be typed, in the order in which it is listed."""

    verbs: ClassVar[Mapping[str, Verb]] = {
        "demo": Verb(
            "weakspot.commands.programs:demo",
            _EVERYTHING,
            "Tell the whole story on sample data: train, serve, examine, flag, retrain, promote.",
        ),
        "up": Verb(
            "weakspot.commands.programs:up",
            _EVERYTHING,
            "Start service, monitor, worker and dashboard; Ctrl-C stops all of them.",
        ),
        "serve": Verb(
            "weakspot.commands.programs:serve",
            _PROGRAMS,
            "Answer predictions over HTTP, and keep each one.",
        ),
        "monitor": Verb(
            "weakspot.commands.monitor:monitor",
            _PROGRAMS,
            "Examine every class every day, at the hour that is set.",
        ),
        "worker": Verb(
            "weakspot.commands.programs:worker",
            _PROGRAMS,
            "Carry out the retrainings that are asked for.",
        ),
        "dashboard": Verb(
            "weakspot.commands.programs:dashboard",
            _PROGRAMS,
            "Show the health of each class over time.",
        ),
        "train": Verb(
            "weakspot.commands.train:train",
            _MODEL,
            "Train on the pool, export, check, and register a version.",
        ),
        "retrain": Verb(
            "weakspot.commands.train:retrain",
            _MODEL,
            "Ask for a retraining aimed at a class; a worker picks it up.",
        ),
        "tune": Verb(
            "weakspot.commands.tune:tune",
            _MODEL,
            "Try options of a run on one frozen snapshot, and say which did best.",
        ),
        "trials": Verb(
            "weakspot.commands.tune:show_trials",
            _MODEL,
            "Show a search, as far as it has come.",
        ),
        "predict": Verb(
            "weakspot.commands.predict:predict",
            _MODEL,
            "Answer all images of a folder or CSV; killed and started again, it goes on.",
        ),
        "data": Verb(
            "weakspot.commands.data:data_app",
            _MODEL,
            "The pool of labelled images: fill it, look at it, draw from it, check it.",
        ),
        "jobs": Verb(
            "weakspot.commands.jobs:jobs_app",
            _MODEL,
            "Retrainings and trainings: what waits, what runs, how each ended.",
        ),
        "model": Verb(
            "weakspot.commands.model:model_app",
            _MODEL,
            "The registered versions, and which of them serves.",
        ),
        "validate": Verb(
            "weakspot.commands.examine:validate",
            _EXAMINE,
            "Examine one day: draw, validate, check drift, judge, alert. Again changes nothing.",
        ),
        "backfill": Verb(
            "weakspot.commands.examine:backfill",
            _EXAMINE,
            "Examine a stretch of days, the oldest first.",
        ),
        "drift": Verb(
            "weakspot.commands.examine:drift",
            _EXAMINE,
            "Check one day's predictions against the reference profile.",
        ),
        "health": Verb(
            "weakspot.commands.examine:health",
            _EXAMINE,
            "Say how every class is: state, n, correct, interval, evidence; or --replay days.",
        ),
        "alerts": Verb(
            "weakspot.commands.alerts:alerts_app",
            _EXAMINE,
            "What the monitor has told, and what became of it.",
        ),
        "report": Verb(
            "weakspot.commands.report:report",
            _EXAMINE,
            "Write the week on one page, to be mailed: what is weak, what happened, what was "
            "labelled.",
        ),
        "bench": Verb(
            "weakspot.commands.bench:bench",
            _HOUSE,
            "Time each engine by batch size and threads, and the decoding of photographs.",
        ),
        "doctor": Verb(
            "weakspot.doctor:doctor",
            _HOUSE,
            "Check the installation; every finding names its fix.",
        ),
        "keys": Verb(
            "weakspot.commands.keys:keys_app",
            _HOUSE,
            "The API keys: who may call the service, and what for.",
        ),
        "db": Verb("weakspot.commands.database:db_app", _HOUSE, "The database's schema."),
        "simulate": Verb(
            "weakspot.commands.simulate:simulate_app",
            _HOUSE,
            "What detectors and gate would do, simulated.",
        ),
    }


app = typer.Typer(
    name="weakspot",
    cls=_Verbs,
    help="Watches over every class of a deployed image classifier, and retrains the weak ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _weakspot() -> None:
    """Verbs alone do something."""


def main() -> None:
    """Run the command; an error of ours ends with its sentence, never with a traceback."""
    front.run(app)
