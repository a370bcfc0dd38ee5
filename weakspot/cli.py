"""The `weakspot` command: one verb per thing a person wants done."""

import typer

from weakspot import front
from weakspot.commands import bench, examine, monitor, predict, programs, train, tune
from weakspot.commands.alerts import alerts_app
from weakspot.commands.data import data_app
from weakspot.commands.database import db_app
from weakspot.commands.jobs import jobs_app
from weakspot.commands.keys import keys_app
from weakspot.commands.model import model_app
from weakspot.commands.simulate import simulate_app
from weakspot.doctor import doctor

app = typer.Typer(
    name="weakspot",
    help="Watches over every class of a deployed image classifier, and retrains the weak ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_EVERYTHING = "The whole story"
_PROGRAMS = "Programs"
_MODEL = "Data and model"
_EXAMINE = "Examine"
_HOUSE = "House-keeping"

app.command(rich_help_panel=_EVERYTHING)(programs.demo)
app.command(rich_help_panel=_EVERYTHING)(programs.up)
app.command(rich_help_panel=_PROGRAMS)(programs.serve)
app.command(rich_help_panel=_PROGRAMS)(monitor.monitor)
app.command(rich_help_panel=_PROGRAMS)(programs.worker)
app.command(rich_help_panel=_PROGRAMS)(programs.dashboard)
app.add_typer(data_app, name="data", rich_help_panel=_MODEL)
app.command(rich_help_panel=_MODEL)(train.train)
app.command(rich_help_panel=_MODEL)(train.retrain)
app.command(rich_help_panel=_MODEL)(tune.tune)
app.command("trials", rich_help_panel=_MODEL)(tune.show_trials)
app.command(rich_help_panel=_MODEL)(predict.predict)
app.add_typer(jobs_app, name="jobs", rich_help_panel=_MODEL)
app.add_typer(model_app, name="model", rich_help_panel=_MODEL)
app.command(rich_help_panel=_EXAMINE)(examine.validate)
app.command(rich_help_panel=_EXAMINE)(examine.backfill)
app.command(rich_help_panel=_EXAMINE)(examine.drift)
app.command(rich_help_panel=_EXAMINE)(examine.health)
app.add_typer(alerts_app, name="alerts", rich_help_panel=_EXAMINE)
app.add_typer(keys_app, name="keys", rich_help_panel=_HOUSE)
app.add_typer(db_app, name="db", rich_help_panel=_HOUSE)
app.command(rich_help_panel=_HOUSE)(bench.bench)
app.add_typer(simulate_app, name="simulate", rich_help_panel=_HOUSE)
app.command(rich_help_panel=_HOUSE)(doctor)


def main() -> None:
    """Run the command; an error of ours ends with its sentence, never with a traceback."""
    front.run(app)
