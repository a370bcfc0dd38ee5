"""`run.yaml`: a run described completely, kept with the version it made, and read again.

A file holds one run (options by name), a list of runs, or a grid: under `grid` every option has
a list of values, and every combination of them is a run. Options are the fields of `RunConfig`.

    backbone: microsoft/resnet-50
    freeze: backbone
    grid: {label_smoothing: [0, 0.1], image_size: [160, 224]}

What a file does not hold is the pool: a run made again learns from the images of its own day. The
snapshot that the version learnt from is named in the first lines.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from core.errors import UsageError
from trainer.config import MEANINGLESS_FOR_HEAD, RunConfig

NAME = "run.yaml"
MOST_RUNS = 200

# What the command calls them, where that is another name.
_OTHER_NAMES = {"classes": "labels", "max_per_class": "limit_per_class"}
_FIELDS = tuple(each.name for each in fields(RunConfig))
_HEAD = "# Repeats this run on the pool as it is then: weakspot train --config run.yaml\n"
_SNAPSHOT = "# Made of the images of snapshot {}.\n"


def text(config: Mapping[str, Any], *, snapshot: str = "") -> str:
    """Return what `read` takes: every option of a run, in the order of `RunConfig`.

    Args:
        config: As the registry keeps it; what it does not say stands at its default.
        snapshot: Digest of the images it learnt from; empty where there are none yet.
    """
    whole = {
        each.name: config.get(each.name, None if each.default is MISSING else each.default)
        for each in fields(RunConfig)
    } | {name: value for name, value in config.items() if name not in _FIELDS}
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in whole.items()}
    said = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    # A name with an odd separator in it is written so that it is read as another.
    if not all(character.isprintable() or character == "\n" for character in said):
        said = yaml.safe_dump(plain, sort_keys=False)
    return _HEAD + (_SNAPSHOT.format(snapshot) if snapshot else "") + said


def configs(
    path: Path | None, *, given: Mapping[str, Any], otherwise: Mapping[str, Any]
) -> list[RunConfig]:
    """Return the runs that a file asks for; without a file, the one that is given.

    Args:
        path: The file; None for none.
        given: Options that come before the file's; those that are None were not given.
        otherwise: Options where neither says anything.

    Raises:
        UsageError: The file cannot be read, names an option that there is not, or a value does
            not fit its option.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    asked = [{}] if path is None else read(path)
    runs: list[RunConfig] = []
    for options in asked:
        if "backbone" in chosen and options.get("backbone") != chosen["backbone"]:
            options.pop("revision", None)  # it is of the file's backbone
        for each in _combinations(options, chosen, path):
            config = _config({**otherwise, **each, **chosen}, path)
            if config not in runs:
                runs.append(config)
            if len(runs) > MOST_RUNS:
                raise UsageError(f"{path} asks for more than {MOST_RUNS} runs, the most of a group")
    _require_meaning(runs, path)
    return runs


def read(path: Path) -> list[dict[str, Any]]:
    """Return the options of each run of a file, by their names in `RunConfig`; grids as they are.

    Raises:
        UsageError: It cannot be read, or names an option that there is not.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as YAML: {error}") from error
    several = content if isinstance(content, list) else [content]
    if not several or not all(isinstance(each, dict) for each in several):
        raise UsageError(
            f"{path} must hold options by name, such as `epochs: 3`, or a list of such"
        )
    return [_named(each, path) for each in several]


def differing(runs: Sequence[RunConfig]) -> list[str]:
    """Return the options in which runs differ, in the order of `RunConfig`."""
    return [name for name in _FIELDS if len({getattr(run, name) for run in runs}) > 1]


def _require_meaning(runs: Sequence[RunConfig], path: Path | None) -> None:
    """Refuse a group of heads on kept features that differ in what no such head looks at."""
    idle = [name for name in differing(runs) if name in MEANINGLESS_FOR_HEAD]
    if not idle or any(run.freeze != "backbone" for run in runs):
        return
    said = {name: getattr(runs[0], name) for name in idle}
    if len({replace(run, **said) for run in runs}) < len(runs):
        raise UsageError(
            f"{path}: {idle[0]} means nothing to freeze backbone, whose head is fitted to its "
            "optimum: it makes the same version twice; vary another option, or freeze fewer stages"
        )


def _named(options: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in options.items():
        name = _field(str(key), path)
        if name in named:
            raise UsageError(f"{path} says {name} twice")
        named[name] = value
    if "grid" in named:
        grid = named["grid"]
        if not isinstance(grid, dict) or not all(isinstance(v, list) and v for v in grid.values()):
            raise UsageError(f"{path}: grid must give each option a list of values")
        named["grid"] = {_field(str(key), path): values for key, values in grid.items()}
    return named


def _field(key: str, path: Path) -> str:
    name = key.replace("-", "_")
    name = _OTHER_NAMES.get(name, name)
    if name in {*_FIELDS, "grid"}:
        return name
    if name == "retraining":
        raise UsageError(f"{path} is of a retraining, which is asked for by: weakspot retrain")
    near = difflib.get_close_matches(name, [*_FIELDS, "grid"], n=1, cutoff=0)[0]
    raise UsageError(f"{path}: there is no option {key!r}; the nearest is {near!r}")


def _combinations(
    options: Mapping[str, Any], chosen: Mapping[str, Any], path: Path | None
) -> Iterable[dict[str, Any]]:
    """Yield the options of every run of one entry; an option that is chosen needs no grid."""
    grid = {k: v for k, v in options.get("grid", {}).items() if k not in chosen}
    if "grid" in grid:
        raise UsageError(f"{path}: a grid has no grid in it")
    fixed = {name: value for name, value in options.items() if name != "grid"}
    for values in itertools.product(*grid.values()):
        yield fixed | dict(zip(grid, values, strict=True))


def _config(options: dict[str, Any], path: Path | None) -> RunConfig:
    if isinstance(options.get("labels"), str):
        options["labels"] = [part.strip() for part in options["labels"].split(",")]
    try:
        return TypeAdapter(RunConfig).validate_python(options)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"][:1])
        raise UsageError(
            f"{f'{path}: ' if path else ''}{name} is {fault['input']!r}: {fault['msg']}"
        ) from error
