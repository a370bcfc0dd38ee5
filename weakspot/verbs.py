"""A group of verbs, each imported when it is typed.

`weakspot --help` lists what there is from a table, and `weakspot jobs list` imports what jobs
need. So no verb waits for the libraries of another, and adding a verb slows none down.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


@dataclass(frozen=True, slots=True)
class Verb:
    """A line of the table.

    Attributes:
        place: Module and name of the function, or of the `Typer` of a group: `module:name`.
        panel: Under which heading it is listed.
        line: What the list says of it: the first line of its own help.
    """

    place: str
    panel: str
    line: str

    def load(self) -> Any:
        """Import the module and return the function or the `Typer`."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


class VerbGroup(TyperGroup):
    """What `typer.Typer(cls=...)` is given, with the table as `verbs`."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, *, commands: Any = None, **named: Any) -> None:
        super().__init__(**named)
        self.commands = _Commands(self.verbs, dict(commands or {}))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the verbs from the table, importing none."""
        whole = self.commands
        self.commands = {name: _listed(name, verb) for name, verb in self.verbs.items()}
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = whole


class _Commands(MutableMapping[str, Any]):
    """Commands by name: those of the table are made when they are asked for."""

    def __init__(self, verbs: Mapping[str, Verb], made: dict[str, Any]) -> None:
        self._verbs = verbs
        self._made = made

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, self._verbs[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        yield from {**self._verbs, **self._made}

    def __len__(self) -> int:
        return len({*self._verbs, *self._made})


def _listed(name: str, verb: Verb) -> TyperCommand:
    return TyperCommand(name=name, help=verb.line, rich_help_panel=verb.panel)


def _command(name: str, verb: Verb) -> Any:
    what = verb.load()
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    if isinstance(what, typer.Typer):
        alone.add_typer(what, name=name, rich_help_panel=verb.panel)
    else:
        alone.command(name, rich_help_panel=verb.panel)(what)
    return get_group(alone).commands[name]
