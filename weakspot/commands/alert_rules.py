"""`weakspot alerts rules`: what is judged and who hears of it: shown, changed, and its history."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from core import rule_setting
from core.errors import UsageError
from core.settings import AlertSettings, MonitorSettings
from core.store import alert_rules
from core.store.alert_rules import RulesVersion
from core.store.database import transaction
from weakspot import front

rules_app = typer.Typer(help="What is judged, and who hears of it: rules in versions.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Note = Annotated[str, typer.Option(help="Why, for the history.")]


@rules_app.command()
def show(
    version: Annotated[
        int | None, typer.Option(min=1, help="An older version; the latest when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the rules, without what opens anything: addresses and secrets are hidden."""
    with front.open_store() as engine, transaction(engine) as connection:
        current = _current(connection)
        found = alert_rules.get(connection, version) if version else current
    _print(found, as_json=as_json)


@rules_app.command("set")
def set_rules(
    file: Annotated[
        str | None,
        typer.Argument(help="JSON as `show --json` prints under `rules`; - for stdin."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="False class-alarms accepted per 30 days.")
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="Accuracy asked for where there is no reference.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A class that is not to be flagged; again for more.")
    ] = None,
    take_in: Annotated[
        list[str] | None, typer.Option(help="A class that is to be flagged again.")
    ] = None,
    follows: Annotated[
        int | None, typer.Option(min=1, help="Refuse when the latest version is another.")
    ] = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Set the rules: all of them from a file, or some by options; they hold from today on."""
    with front.open_store() as engine, transaction(engine) as connection:
        current = _current(connection)
        data = _read(file) if file is not None else current.rules.shown()
        data |= {k: v for k, v in (("budget", budget), ("floor", floor)) if v is not None}
        if leave_out or take_in:
            left = dict.fromkeys([*data.get("left_out", []), *(leave_out or [])])
            data["left_out"] = [label for label in left if label not in (take_in or [])]
        written = _write(connection, data, current, follows=follows, note=note)
    _print(written, as_json=as_json)


@rules_app.command()
def edit(note: Note = "", as_json: Json = False) -> None:
    """Open the rules in $EDITOR; what is left hidden stays as it is."""
    with front.open_store() as engine, transaction(engine) as connection:
        before = _current(connection)
    text = rule_setting.written(before.rules)
    edited = _edited(text)
    if edited == text:
        raise UsageError("nothing was changed, and nothing was saved")
    with front.open_store() as engine, transaction(engine) as connection:
        # From the version that was shown: what somebody else set meanwhile is not overwritten.
        written = _write(
            connection, rule_setting.read(edited), before, follows=before.version, note=note
        )
    _print(written, as_json=as_json)


@rules_app.command()
def history(as_json: Json = False) -> None:
    """List the versions, the newest first: who, when and why."""
    with front.open_store() as engine, transaction(engine) as connection:
        _current(connection)
        found = alert_rules.history(connection)
    front.emit(
        {"versions": [_summary(each) for each in found]},
        as_json=as_json,
        text="\n".join(
            f"{each.version:4}  {each.at:%Y-%m-%d %H:%M} UTC  {each.by:16} {each.note}"
            for each in found
        ),
    )


def _current(connection: Connection) -> RulesVersion:
    """Return the latest rules; what the environment says becomes the first of them."""
    from monitor.__main__ import initial_rules

    wanted = initial_rules(front.read(MonitorSettings), front.read(AlertSettings))
    return alert_rules.adopt(connection, wanted, now=front.clock().now(), renew=False)


def _write(
    connection: Connection,
    data: dict[str, Any],
    before: RulesVersion,
    *,
    follows: int | None,
    note: str,
) -> RulesVersion:
    return rule_setting.write(
        connection,
        data,
        before,
        networks=front.read(AlertSettings).networks,
        by=front.user(),
        now=front.clock().now(),
        note=note,
        follows=follows,
    )


def _edited(text: str) -> str:
    """Return a text as a person leaves it in their editor."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="weakspot-") as folder:
        file = Path(folder) / "alert-rules.json"
        file.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*editor, str(file)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(
                f"the editor {editor[0]} did not end well; set EDITOR, or use a file and `set`"
            ) from error
        return file.read_text(encoding="utf-8")


def _read(file: str) -> dict[str, Any]:
    if file == "-":
        return rule_setting.read(sys.stdin.read())
    try:
        return rule_setting.read(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def _summary(found: RulesVersion) -> dict[str, Any]:
    return {"version": found.version, "at": found.at, "by": found.by, "note": found.note}


def _print(found: RulesVersion, *, as_json: bool) -> None:
    rules = found.rules.shown()
    note = f": {found.note}" if found.note else ""
    head = f"version {found.version}, set by {found.by} on {found.at:%Y-%m-%d %H:%M} UTC{note}"
    front.emit(
        {**_summary(found), "rules": rules},
        as_json=as_json,
        text=f"{head}\n{rule_setting.written(found.rules)}",
    )
