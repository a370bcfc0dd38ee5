"""The space that a search looks through: options of a run, each with its choices or its range.

A file holds them by name, in YAML:

    learning_rate: {low: 1e-5, high: 1e-3, log: true}
    freeze: [none, "stages:1", backbone]
    image_size: [160, 224]
    weight_decay: {low: 0, high: 0.1}

A list is a choice, `low` and `high` are a range; `log: true` looks at it by orders of magnitude,
`step` in steps. Any option of `RunConfig` may be searched, except those that decide about the
images or the machine: trials of one search must be comparable.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from core.errors import UsageError
from trainer.config import RunConfig

if TYPE_CHECKING:
    from optuna import Trial

# These would make trials of one search incomparable, or have nothing to do with accuracy.
FIXED = frozenset(
    {"name", "labels", "min_per_class", "limit_per_class", "epochs", "device", "devices", "nodes"}
    | {"revision", "strategy", "compile", "variants", "also", "seed", "intended_use", "limits"}
)
SEARCHED = tuple(each.name for each in fields(RunConfig) if each.name not in FIXED)
MOST_CHOICES = 100

_RUN = TypeAdapter(RunConfig)
_WORDS = {"low", "high", "log", "step"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Some values, in no order."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`; whole ones where the option is a whole number.

    Attributes:
        low: The smallest.
        high: The largest.
        log: Whether each order of magnitude is as likely as any other.
        step: Between two numbers; None for any number.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched.

    Attributes:
        options: What each searched option may be, by its name in `RunConfig`.
    """

    options: Mapping[str, Choice | Range]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Return the options of one trial, as its sampler would have them."""
        return {name: _suggested(trial, name, each) for name, each in self.options.items()}

    def grid(self) -> dict[str, list[Any]]:
        """Return every option's values, for a search through all combinations.

        Raises:
            UsageError: An option is a range without steps.
        """
        return {name: _all_of(name, each) for name, each in self.options.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON takes it: the same space, the same text."""
        return {
            name: list(each.values) if isinstance(each, Choice) else asdict(each)
            for name, each in sorted(self.options.items())
        }


def read(path: Path, base: RunConfig) -> Space:
    """Return the space of a file, every value of which makes a run.

    Args:
        path: The file.
        base: What the other options are.

    Raises:
        UsageError: It cannot be read, names an option that is unknown or fixed, or a value does
            not fit its option.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} must hold options by name, such as `freeze: [none, backbone]`")
    return parse(content, base, str(path))


def parse(content: Mapping[Any, Any], base: RunConfig, where: str = "the space") -> Space:
    """Return the space that these words describe; see `read`."""
    options: dict[str, Choice | Range] = {}
    for key, value in content.items():
        name = _known(str(key).replace("-", "_"), where)
        options[name] = _choice(name, value, base, where) if isinstance(value, list) else _range(
            name, value, base, where
        )  # fmt: skip
    return Space(options)


def _known(name: str, where: str) -> str:
    if name in SEARCHED:
        return name
    if name in FIXED:
        raise UsageError(
            f"{where}: {name} is the same for all trials of a search; set it with --config"
        )
    near = difflib.get_close_matches(name, SEARCHED, n=1, cutoff=0)[0]
    raise UsageError(f"{where}: a run has no option {name!r}; the nearest is {near!r}")


def _choice(name: str, values: list[Any], base: RunConfig, where: str) -> Choice:
    if not 1 <= len(values) <= MOST_CHOICES:
        raise UsageError(f"{where}: {name} has {len(values)} choices; 1 to {MOST_CHOICES} can be")
    return Choice(tuple(_fitting(name, value, base, where) for value in values))


def _range(name: str, words: Any, base: RunConfig, where: str) -> Range:
    if not isinstance(words, Mapping) or not {"low", "high"} <= set(words) <= _WORDS:
        raise UsageError(
            f"{where}: {name} must be a list of choices, or a range such as "
            "{low: 1e-5, high: 1e-3, log: true}"
        )
    low, high = (_number(name, words[end], base, where) for end in ("low", "high"))
    log = words.get("log", False)
    step = None if words.get("step") is None else _number(name, words["step"], None, where)
    if (
        not isinstance(log, bool)
        or low >= high
        or (log and low <= 0)
        or (step is not None and step <= 0)
    ):
        raise UsageError(
            f"{where}: {name} from {low} to {high}, log {log}, step {step} is no range; low must "
            "lie below high, and above 0 where log is true"
        )
    if log and step is not None:
        raise UsageError(f"{where}: {name} can have log or step, not both")
    return Range(low, high, log, step)


def _number(name: str, value: Any, base: RunConfig | None, where: str) -> float:
    """Return one end of a range; YAML takes 1e-5 for text, and we do not."""
    fitting = value if base is None else _fitting(name, value, base, where)
    try:
        if isinstance(fitting, int) and not isinstance(fitting, bool):
            return fitting
        return float("nothing" if isinstance(fitting, bool) else fitting)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {name} is {value!r}, which is no number") from error


def _fitting(name: str, value: Any, base: RunConfig, where: str) -> Any:
    """Return a value in its option's own type, after a run with it was found possible."""
    try:
        return getattr(_RUN.validate_python(asdict(base) | {name: value}), name)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UsageError(f"{where}: {name} is {value!r}: {fault['msg']}") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _suggested(trial: Trial, name: str, option: Choice | Range) -> Any:
    if isinstance(option, Choice):
        return trial.suggest_categorical(name, option.values)
    if option.is_whole:
        step = max(int(option.step or 1), 1)
        return trial.suggest_int(name, int(option.low), int(option.high), step=step, log=option.log)
    return trial.suggest_float(name, option.low, option.high, step=option.step, log=option.log)


def _all_of(name: str, option: Choice | Range) -> list[Any]:
    if isinstance(option, Choice):
        return list(option.values)
    if option.step is None:
        raise UsageError(f"a grid needs values: give {name} a list of choices, or a step")
    count = int((option.high - option.low) / option.step + 1e-9) + 1
    return [option.low + number * option.step for number in range(count)]


def run_with(base: RunConfig, options: Mapping[str, Any]) -> RunConfig:
    """Return the run that a trial's options make.

    Raises:
        UsageError: They do not go together.
    """
    return replace(base, **options)
