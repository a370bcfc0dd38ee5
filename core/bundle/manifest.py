"""What a bundle says about itself: `manifest.json`.

The manifest names every other file of the bundle with its digest, so the SHA-256 of the
manifest stands for the whole folder. A `Manifest` that exists is valid: it is checked when it
is made, whoever makes it. Whether the files keep the manifest's promises is asked in
`core.bundle.files`, and whether the model does, in `core.bundle.runner`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, cast

from core.errors import BundleError, UsageError
from core.images.preprocess import Recipe

MANIFEST = "manifest.json"
# Raised when an older Weakspot could no longer read what a newer one writes. A bundle without
# variants is written in the first format, which every Weakspot reads.
FORMAT = 2
_WITHOUT_VARIANTS = 1

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts of one version.

    Attributes:
        name: What the classifier is called, the same for all its versions.
        version: This version, e.g. `v3`; also the name of the bundle's folder.
        labels: The classes, in the order of the model's outputs; at least two.
        recipe: How a picture becomes the model's input.
        temperature: What the graph divides its logits by; kept for the record, never applied
            outside the graph.
        architecture: The backbone, e.g. `microsoft/resnet-50`.
        created_at: When the bundle was made, aware.
        snapshot: SHA-256 of the frozen list of images that this version learnt from.
        training: The run's settings, as JSON.
        metrics: `{"val": {...}, "test": {...}}`, as JSON.
        reference: For each label what the validation split showed:
            `{label: {"n": int, "correct": int, "confused": {label: int}}}`.
        files: SHA-256 of each other file of the folder; filled in by `core.bundle.files.write`.
        variants: What was found of each variant of the graph that was made, as JSON
            (core.bundle.variants); empty where none was.

    Raises:
        BundleError: A fact is missing or impossible; the message names it.
    """

    name: str
    version: str
    labels: tuple[str, ...]
    recipe: Recipe
    temperature: float
    architecture: str
    created_at: datetime
    snapshot: str
    training: dict[str, Any]
    metrics: dict[str, Any]
    reference: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict[str, str])
    variants: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _require(bool(self.name), "its name is empty")
        _require(is_plain_name(self.version), f"version {self.version!r} is no plain folder name")
        _require(len(self.labels) >= 2, f"it has {len(self.labels)} labels and needs two or more")
        _require(len(set(self.labels)) == len(self.labels), "a label occurs twice")
        _require(all(self.labels), "a label is empty")
        _require(
            math.isfinite(self.temperature) and self.temperature > 0,
            f"temperature {self.temperature} is not above 0",
        )
        _require(bool(self.architecture), "its architecture is empty")
        _require(self.created_at.tzinfo is not None, f"created_at {self.created_at} has no zone")
        _require(_is_digest(self.snapshot), f"snapshot {self.snapshot!r} is no SHA-256")
        _check_reference(self.reference, self.labels)
        _check_files(self.files)
        _check_variants(self.variants)

    def to_json(self) -> str:
        """Return the manifest as the text of `manifest.json`: the same facts, the same text.

        Raises:
            BundleError: A fact cannot be said in JSON, such as a metric that is NaN.
        """
        facts: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        facts["format"] = FORMAT if self.variants else _WITHOUT_VARIANTS
        if not self.variants:
            del facts["variants"]
        facts["recipe"] = self.recipe.to_dict()
        facts["created_at"] = self.created_at.astimezone(UTC).isoformat()
        try:
            text = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"the manifest of {self.version} holds what JSON cannot: {error}; "
                "leave out a metric that could not be computed"
            ) from error
        return text + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Return the manifest that `to_json` wrote.

        Raises:
            BundleError: It is no JSON, of another format, or a fact is missing or impossible.
        """
        try:
            parsed: object = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{MANIFEST} is no JSON: {error}") from error
        facts = _mapping(parsed, MANIFEST)
        if facts.get("format") not in {FORMAT, _WITHOUT_VARIANTS}:
            raise BundleError(
                f"{MANIFEST} has format {facts.get('format')!r} and this Weakspot reads "
                f"{_WITHOUT_VARIANTS} to {FORMAT}; use the Weakspot that wrote it, or a newer one"
            )
        if facts["format"] == _WITHOUT_VARIANTS:
            _require("variants" not in facts, "it holds variants, which format 1 does not know")
            facts["variants"] = dict[str, Any]()
        _check_keys(facts)
        return cls(
            name=_text(facts, "name"),
            version=_text(facts, "version"),
            labels=_labels(facts["labels"]),
            recipe=_recipe(facts["recipe"]),
            temperature=_number(facts, "temperature"),
            architecture=_text(facts, "architecture"),
            created_at=_moment(facts["created_at"]),
            snapshot=_text(facts, "snapshot"),
            training=_mapping(facts["training"], "training"),
            metrics=_mapping(facts["metrics"], "metrics"),
            reference=_mapping(facts["reference"], "reference"),
            files=cast("dict[str, str]", _mapping(facts["files"], "files")),
            variants=_mapping(facts["variants"], "variants"),
        )


def is_plain_name(name: object) -> bool:
    """Return whether a name can be a file's or folder's, inside its folder and nowhere else."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise BundleError(f"the bundle's manifest is wrong: {complaint}")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _is_digest(digest: object) -> bool:
    return isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None


def _check_reference(reference: Mapping[str, Any], labels: tuple[str, ...]) -> None:
    odd = sorted(set(labels) ^ set(reference))
    _require(not odd, f"reference and labels differ in {odd}; n is 0 where nothing was counted")
    for label, counts in reference.items():
        counted = _mapping(counts, f"reference of {label}")
        confused = _mapping(counted.get("confused"), f"confusions of {label}")
        numbers: list[object] = [counted.get("n"), counted.get("correct"), *confused.values()]
        _require(all(map(_is_count, numbers)), f"reference of {label} holds what is no count")
        n, correct, *mistakes = cast("list[int]", numbers)
        _require(
            correct + sum(mistakes) <= n,
            f"reference of {label}: {correct} right and {sum(mistakes)} confused exceed n = {n}",
        )
        strangers = sorted(set(confused) - set(labels))
        _require(not strangers, f"{label} is confused with {strangers}, which are no labels")


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _check_files(files: Mapping[str, str]) -> None:
    for name, digest in files.items():
        _require(is_plain_name(name) and name != MANIFEST, f"{name!r} is no plain file name")
        _require(_is_digest(digest), f"{digest!r}, the digest of {name}, is no SHA-256")


def _check_variants(variants: Mapping[str, Any]) -> None:
    for name, found in variants.items():
        verdict = _mapping(found, f"variant {name}")
        _require(
            isinstance(verdict.get("kept"), bool), f"variant {name}: kept is not true or false"
        )


def _check_keys(facts: Mapping[str, Any]) -> None:
    expected = {each.name for each in fields(Manifest)} | {"format"}
    lacking, unknown = sorted(expected - set(facts)), sorted(set(facts) - expected)
    _require(not lacking, f"it lacks {lacking}")
    _require(not unknown, f"it holds {unknown}, which format {FORMAT} does not know")


def _mapping(value: object, name: str) -> dict[str, Any]:
    _require(isinstance(value, dict), f"{name} is no JSON object")
    return cast("dict[str, Any]", value)


def _text(facts: Mapping[str, Any], key: str) -> str:
    _require(isinstance(facts[key], str), f"{key} is no text")
    return cast("str", facts[key])


def _number(facts: Mapping[str, Any], key: str) -> float:
    value: object = facts[key]
    _require(isinstance(value, int | float) and not isinstance(value, bool), f"{key} is no number")
    return float(cast("float", value))


def _labels(value: object) -> tuple[str, ...]:
    _require(isinstance(value, list), "labels are no list")
    labels = cast("list[object]", value)
    _require(all(isinstance(label, str) for label in labels), "a label is no text")
    return tuple(cast("list[str]", labels))


def _recipe(value: object) -> Recipe:
    try:
        return Recipe.from_dict(_mapping(value, "recipe"))
    except UsageError as error:
        raise BundleError(f"the bundle's manifest is wrong: {error}") from error


def _moment(value: object) -> datetime:
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise BundleError(
            f"the bundle's manifest is wrong: created_at {value!r} is no moment"
        ) from error
