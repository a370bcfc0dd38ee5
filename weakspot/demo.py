"""`weakspot demo`: the whole story on sample data, in a home of its own, told in minutes."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from core import logs
from core.errors import UsageError
from core.settings import HomeSettings
from core.store import embedded, keys
from core.store.database import open_database, transaction
from dashboard.door.rules import keys_are_needed
from weakspot import demo_story, front
from weakspot.demo_story import Plan, Summary
from weakspot.supervisor import Program, Supervisor, child_environment, run_until_signal

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Plan", "Summary", "run"]

_MARKER = ".weakspot-demo"


def run(outer: HomeSettings, plan: Plan, *, stay: bool, as_json: bool) -> bool:
    """Tell the story in a home of its own below `outer`; return whether all of it happened.

    Args:
        outer: The caller's home: the sample set is kept there, and the story's home made anew.
        plan: How it is told.
        stay: Keep everything running afterwards, until Ctrl-C.
        as_json: Print the summary as one JSON object.

    Raises:
        UsageError: A database is named, or the story's home is somebody else's.
    """
    if outer.database_url is not None:
        raise UsageError("the demo has a database of its own; unset WEAKSPOT_DATABASE_URL")
    started = time.monotonic()
    home = _fresh_home(outer.home / "demo")
    needs_key = keys_are_needed(plan.host, None)
    os.environ.update(_environment(home, needs_key=needs_key))
    settings = front.settings()
    # The story tells what happens; the programs' own words are in their logs.
    logs.configure("ERROR", settings.log_format)
    say = Console(stderr=True, highlight=False).print
    with (
        open_database(None, settings.postgres, on_progress=front.say) as engine,
        Supervisor(environment=child_environment({}), logs=home / "logs") as supervisor,
    ):
        if needs_key:
            said = "To sign in to the dashboard, which other machines reach"
            say(f"{said}: {_new_key(engine)}", soft_wrap=True)
        story = demo_story.Story(engine, settings, plan, supervisor, say)
        summary = story.tell(outer.home / "sample-set")
        summary.seconds = round(time.monotonic() - started, 1)
        front.emit(asdict(summary), as_json=as_json, text=_closing(summary, story.dashboard))
        if stay:
            supervisor.start(Program("monitor", ["monitor"]))
            say("Everything keeps running; Ctrl-C stops it.")
            run_until_signal()
    return summary.told()


def _fresh_home(home: Path) -> Path:
    """Empty the story's home, so that a second run starts clean; refuse what is not ours."""
    if home.exists() and any(home.iterdir()):
        if not (home / _MARKER).exists():
            raise UsageError(f"{home} was not made by the demo; move it away, or set WEAKSPOT_HOME")
        embedded.stop(home / "postgres")
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARKER).touch()
    return home


def _environment(home: Path, *, needs_key: bool) -> dict[str, str]:
    """Return the settings of the story's programs, this one included."""
    return {
        "WEAKSPOT_HOME": str(home),
        "WEAKSPOT_CLOCK_FILE": str(home / "clock"),
        "WEAKSPOT_TRAINER_GATE_MARGIN": str(demo_story.GATE_MARGIN),
        # When the gate asks for more images, the next day brings them.
        "WEAKSPOT_MONITOR_COOL_DOWN_DAYS": "1",
        # A few dozen new pictures beside 4,000 old ones.
        "WEAKSPOT_TRAINER_WEAK_WEIGHT": "10",
        # Half a minute each, and at 64 x 64 there is little to be gained.
        "WEAKSPOT_TRAINER_VARIANTS": "",
        # Pictures of a public set may lie on the disk until somebody has labelled them.
        "WEAKSPOT_SERVICE_KEEP_SHARE": "0.3",
        "WEAKSPOT_SERVICE_REQUIRE_KEYS": "false",
        "WEAKSPOT_DASHBOARD_REQUIRE_KEYS": str(needs_key),
        "DO_NOT_TRACK": "1",
    }


def _new_key(engine: Engine) -> str:
    """Return the text of a key that opens everything there is in the story."""
    with transaction(engine) as connection:
        grant = keys.Grant(["admin"])
        return keys.create(connection, "visitor", grant, by="demo", now=datetime.now(UTC))[1]


def _closing(summary: Summary, dashboard: str) -> str:
    if not summary.told():
        return (
            "The story did not end as planned; what happened:\n"
            f"{json.dumps(asdict(summary), indent=2)}\nThe dashboard shows it: {dashboard}"
        )
    waited = (summary.alarm_day or 0) - summary.fault_day + 1
    return (
        f"{summary.planted_class} was spoilt on day {summary.fault_day}, and flagged after "
        f"{waited} day{'s' if waited > 1 else ''}; {summary.champion_after} replaced "
        f"{summary.champion_before}. {summary.predictions_logged} of "
        f"{summary.predictions_answered} answered predictions are in Postgres. "
        f"{summary.seconds:.0f} s in all.\nThe dashboard tells it: {dashboard}"
    )
