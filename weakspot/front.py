"""What every verb of the command does at its front door: settings, store, output, errors.

Exit codes are 0 for done, 1 for a check that failed and 2 for wrong usage. With `--json` a
verb prints one object on stdout and nothing else there, also when it fails:
`{"error": "CatalogError", "detail": "..."}`. Progress and messages go to stderr.

Logging is left to the programs that run for long; a verb speaks through `emit`.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from uuid import UUID

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from core.clock import Clock, open_clock
from core.errors import UsageError, WeakspotError
from core.settings import HomeSettings

if TYPE_CHECKING:
    from sqlalchemy import Engine

OnProgress = Callable[[str, int, int], None]
AnySettings = TypeVar("AnySettings", bound=BaseSettings)

DONE, FAILED, MISUSED = 0, 1, 2

_PIPE_WIDTH = 100  # columns of a table that no terminal shows


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process; an error of ours becomes a message and an exit code.

    Args:
        app: The command.
        arguments: Words after the command's name; None takes this process's own.

    Raises:
        SystemExit: Always: 0, 1 or 2, or whatever code the verb left with.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(words)
    except WeakspotError as error:
        if "--json" in words:
            emit({"error": type(error).__name__, "detail": str(error)}, as_json=True, text="")
        typer.echo(f"weakspot: {visible(str(error))}", err=True)
        sys.exit(MISUSED if isinstance(error, UsageError) else FAILED)
    sys.exit(DONE)


def settings() -> HomeSettings:
    """Read the settings that all programs share, with the home as an absolute path.

    Raises:
        UsageError: A variable of the environment or of `.env` is out of range.
    """
    home = read(HomeSettings)
    return home.model_copy(update={"home": home.home.expanduser().resolve()})


def read(kind: type[AnySettings], **given: object) -> AnySettings:
    """Read a program's settings; what was `given` on the command line comes first, unless None.

    Raises:
        UsageError: A variable of the environment or of `.env` is out of range.
    """
    try:
        chosen: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
        return kind(**chosen)
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        raise UsageError(describe_validation(error, prefix=prefix)) from error


def describe_validation(error: ValidationError, *, prefix: str) -> str:
    """Name each variable that does not fit and why, without repeating its value: it may be secret.

    Args:
        error: What pydantic found.
        prefix: What the variables' names begin with.
    """
    faults = [
        f"{prefix}{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    ]
    return "; ".join(faults) + " (see docs/settings.md)"


def user() -> str:
    """Return the name under which a person's deeds by hand are recorded."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"user {os.getuid()}"


def clock() -> Clock:
    """Return the clock that this machine's programs live by."""
    return open_clock(settings().clock_file)


@contextmanager
def open_store(home: HomeSettings | None = None) -> Generator[Engine]:
    """Open the database: the owner's, or the embedded one, which is started where it rests.

    Args:
        home: Settings already read; None reads them here.
    """
    from core.store.database import open_database

    home = home or settings()
    with open_database(home.database_url, home.postgres, on_progress=say) as engine:
        yield engine


def say(message: str) -> None:
    """Tell a person at a terminal, on stderr, what is being waited for."""
    if sys.stderr.isatty():
        Console(stderr=True).print(visible(message), style="dim", markup=False, highlight=False)


def emit(obj: object, as_json: bool, text: RenderableType) -> None:
    """Print what the verb found: one JSON object, or the same for people.

    Args:
        obj: A mapping or dataclass; moments, paths and NumPy numbers in it are fine.
        as_json: Which of the two to print.
        text: Plain text, or anything that rich renders.
    """
    if as_json:
        typer.echo(json.dumps(obj, default=_plain, allow_nan=False))
    elif isinstance(text, str):
        typer.echo(visible(text))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = _PIPE_WIDTH
        console.print(text)


def jsonable(obj: object) -> Any:
    """Return `obj` as JSON would hold it: dictionaries, lists, text, numbers."""
    return json.loads(json.dumps(obj, default=_plain, allow_nan=False))


def progress(as_json: bool = False) -> AbstractContextManager[OnProgress]:
    """Return a context whose value draws a bar on stderr: (stage in words, done, total).

    Nothing is drawn where stderr is no terminal. It may be called from any thread.

    Args:
        as_json: Wipe the bars away at the end, leaving the terminal to the object.
    """
    return _bars(transient=as_json)


@contextmanager
def _bars(*, transient: bool) -> Generator[OnProgress]:
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, Any] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(visible(stage), total=total or None)
        bars.update(tasks[stage], completed=done, total=total or None)

    with bars:
        yield on_progress


def visible(text: str) -> str:
    r"""Return text that is safe for a terminal: what would steer it is written as an escape.

    Example:
        >>> print(visible("cat\x1b[2J.png"))
        cat\x1b[2J.png
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"
        else character
        for character in text
    )


def _plain(value: Any) -> Any:
    """Return what JSON can hold for a value that it does not know."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date):  # a datetime is a date, too
        return value.isoformat()
    if isinstance(value, (Path, UUID)):
        return str(value)
    for converter in ("tolist", "item"):
        if hasattr(value, converter):
            return getattr(value, converter)()
    raise TypeError(f"{type(value).__name__} has no JSON form")
