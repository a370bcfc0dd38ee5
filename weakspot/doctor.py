"""`weakspot doctor`: checks the installation; every finding names its fix."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Annotated

import typer

from core.errors import WeakspotError
from core.settings import HomeSettings
from core.store import alert_rules, outbox, registry
from core.store.database import open_database, transaction
from weakspot import front

_LEAST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        check: What was looked at.
        ok: Whether it is as it should be.
        detail: What was seen.
        fix: What to do; empty when nothing is.
    """

    check: str
    ok: bool
    detail: str
    fix: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check the installation; every finding names its fix."""
    home = front.settings()
    checks: list[Callable[[HomeSettings], Finding]] = [
        _programs,
        _runtime,
        _disk,
        _clock,
        _database_and_model,
        _messages,
    ]
    findings = [check(home) for check in checks]
    lines = [
        f"{'ok  ' if finding.ok else 'FIX '} {finding.check:12} {finding.detail}"
        + (f"\n     -> {finding.fix}" if finding.fix else "")
        for finding in findings
    ]
    passed = all(finding.ok for finding in findings)
    front.emit(
        {"ok": passed, "findings": [asdict(finding) for finding in findings]},
        as_json=as_json,
        text="\n".join(lines),
    )
    raise typer.Exit(0 if passed else 1)


def _programs(_: HomeSettings) -> Finding:
    needed = {
        "service": ("fastapi", "uvicorn"),
        "monitor": ("apscheduler", "evidently"),
        "trainer": ("torch", "transformers", "lightning", "onnx"),
        "dashboard": ("dash", "waitress"),
    }
    missing = [
        program
        for program, modules in needed.items()
        if any(importlib.util.find_spec(module) is None for module in modules)
    ]
    detail = "all four can start here" if not missing else f"not installed: {', '.join(missing)}"
    # A machine that runs one program on purpose is not ill.
    fix = f"to have them: pip install 'weakspot[{','.join(missing)}]'" if missing else ""
    return Finding("programs", True, detail, fix)


def _runtime(_: HomeSettings) -> Finding:
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if not installed:
        return Finding(
            "onnxruntime",
            False,
            "not installed: no model can be opened",
            "pip install 'weakspot[cpu]', or 'weakspot[gpu]' beside an NVIDIA GPU",
        )
    if len(installed) == 2:
        return Finding(
            "onnxruntime",
            False,
            "onnxruntime and onnxruntime-gpu overwrite each other",
            "pip uninstall both, then install one: 'weakspot[cpu]' or 'weakspot[gpu]'",
        )
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    return Finding("onnxruntime", True, f"{_version(installed[0])} with {providers}")


def _disk(home: HomeSettings) -> Finding:
    folder = home.home.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", False, detail, "free at least 2 GB, or set WEAKSPOT_HOME elsewhere")
    return Finding("disk", True, detail)


def _clock(home: HomeSettings) -> Finding:
    if home.clock_file is None:
        return Finding("clock", True, "the system's own")
    return Finding(
        "clock",
        False,
        f"shifted by {home.clock_file}",
        "unset WEAKSPOT_CLOCK_FILE outside demonstrations",
    )


def _database_and_model(home: HomeSettings) -> Finding:
    try:
        with (
            open_database(home.database_url, home.postgres) as engine,
            transaction(engine) as connection,
        ):
            champion = registry.champion(connection)
    except WeakspotError as error:
        return Finding(
            "database", False, str(error), "see docs/runbook.md, 'Postgres does not answer'"
        )
    model = f"champion {champion.version}" if champion else "no champion yet: weakspot train"
    return Finding("database", True, f"answers, schema is right, {model}")


def _messages(home: HomeSettings) -> Finding:
    try:
        with (
            open_database(home.database_url, home.postgres) as engine,
            transaction(engine) as connection,
        ):
            counts = outbox.counts(connection)
            rules = alert_rules.latest(connection)
    except WeakspotError:
        return Finding("alerts", True, "not looked at: the database does not answer")
    channels = rules.rules.channels if rules else ()
    if counts["dead"]:
        return Finding(
            "alerts",
            False,
            f"{counts['dead']} messages were given up",
            "weakspot alerts outbox says why; --retry NUMBER tries again",
        )
    if any(not channel.url.startswith(("http", "env:")) for channel in channels) and (
        importlib.util.find_spec("apprise") is None
    ):
        return Finding("alerts", False, "Apprise is missing", "pip install 'weakspot[alerts]'")
    heard = f"{len(channels)} channels" if channels else "told to nobody but the log"
    return Finding("alerts", True, f"{heard}, {counts['waiting']} messages wait")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
