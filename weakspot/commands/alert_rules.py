"""`weakspot alerts rules`: what is judged and who hears of it: shown, changed, and its history."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from core.errors import UsageError
from core.settings import AlertSettings, MonitorSettings
from core.store import alert_policy, alert_rules, images, registry
from core.store.alert_policy import AlertRules
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
    text = json.dumps(before.rules.shown(), indent=2, ensure_ascii=False)
    edited = _edited(text)
    if edited == text:
        raise UsageError("nothing was changed, and nothing was saved")
    with front.open_store() as engine, transaction(engine) as connection:
        # From the version that was shown: what somebody else set meanwhile is not overwritten.
        written = _write(connection, _json(edited), before, follows=before.version, note=note)
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
    rules = alert_policy.parse(data, before=before.rules)
    _check_classes(connection, rules)
    _check_addresses(rules)
    return alert_rules.write(
        connection, rules, by=front.user(), now=front.clock().now(), note=note, follows=follows
    )


def _check_classes(connection: Connection, rules: AlertRules) -> None:
    """Refuse classes that nobody knows: a misspelt one would silently stay as it was."""
    champion = registry.champion(connection)
    known = {*(champion.labels if champion else ()), *images.labels(connection)}
    for label, field in rules.classes_named().items():
        if known and label not in known:
            near = get_close_matches(label, sorted(known), n=3, cutoff=0.5)
            hint = f"; did you mean: {', '.join(near)}?" if near else ""
            raise UsageError(f"{field}: no class is called {label!r}{hint}")


def _check_addresses(rules: AlertRules) -> None:
    """Refuse webhooks that could never be sent to, now rather than at the first alert."""
    from monitor.messages import addresses

    allowed = addresses.read_networks(front.read(AlertSettings).networks)
    for i, channel in enumerate(rules.channels):
        why = addresses.objection_to_url(channel.url, allowed)
        if why is not None:
            raise UsageError(
                f"channels[{i}].url: {why}; to allow it, set WEAKSPOT_ALERTS_NETWORKS here and "
                "where the monitor runs"
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
        return _json(sys.stdin.read())
    try:
        return _json(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        # The words of a JSON error name line and column, and no value.
        raise UsageError(f"the rules are no JSON: {error}") from error
    if not isinstance(data, dict):
        raise UsageError("the rules are a JSON object; weakspot alerts rules show --json has one")
    return data


def _summary(found: RulesVersion) -> dict[str, Any]:
    return {"version": found.version, "at": found.at, "by": found.by, "note": found.note}


def _print(found: RulesVersion, *, as_json: bool) -> None:
    rules = found.rules.shown()
    note = f": {found.note}" if found.note else ""
    head = f"version {found.version}, set by {found.by} on {found.at:%Y-%m-%d %H:%M} UTC{note}"
    front.emit(
        {**_summary(found), "rules": rules},
        as_json=as_json,
        text=f"{head}\n{json.dumps(rules, indent=2, ensure_ascii=False)}",
    )
