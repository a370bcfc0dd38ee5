"""The model card: what a person should know of a version before relying on it, as Markdown.

Its headings are those of Mitchell et al., with the metadata block that model hubs read. `card` is
what lies in the bundle as `MODEL_CARD.md`: all that was known when the bundle was written. The
gate examines a bundle that is finished, so its verdict, and every move of the alias, come after:
`afterwards` says those, and `weakspot model card` prints both.

Names from outside (classes, the model's own) are shown as they are, and none is obeyed: they are
escaped for Markdown, or stand as code. Nothing here needs torch.

References:
    Mitchell et al. (2019), Model Cards for Model Reporting, FAT*.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.escaping import for_chat, for_markdown, one_line
from core.stats.proportions import jeffreys

if TYPE_CHECKING:
    from core.bundle.manifest import Manifest
    from core.store.images import Sample
    from core.store.registry import Move

NO_USE_STATED = (
    "Its owner has not stated one (`intended_use` of the run's configuration). It names the one "
    "class, of those below, that a picture most resembles."
)
_OWN_LIMITS = (
    "It knows the classes below and no others: a picture of anything else is given one of them.",
    "The figures below hold for pictures like those of the test split. For other cameras, places "
    "or times they promise nothing, which is why its answers are examined every day.",
    "A class with few test images has a wide interval; what lies inside it cannot be told apart.",
    "It was not examined for harm to people, nor against pictures made to deceive it.",
)

_SIDES = ("train", "val", "test")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_LONGEST_VALUE = 400
_TEXTS = frozenset({"intended_use", "limits"})  # have sections of their own
_ELSEWHERE = frozenset({"config", "passes"})  # shown above, or too long for a page


@dataclass(frozen=True, slots=True)
class Facts:
    """What the card says beyond the manifest.

    Attributes:
        images: Images of the snapshot by label and side: `{label: {"train": n, ...}}`.
        test: What the test split showed of each label, in the form of `Manifest.reference`.
        snapshot_at: When the list of images was frozen.
        parent: The version it was fine-tuned from.
        code_version: Of the code that trained it.
    """

    images: Mapping[str, Mapping[str, int]]
    test: Mapping[str, Any]
    snapshot_at: datetime
    parent: str | None
    code_version: str


def count(samples: Iterable[Sample]) -> dict[str, dict[str, int]]:
    """Return how many images there are by label and side."""
    counted: dict[str, dict[str, int]] = {}
    for (label, side), n in Counter((each.label, each.split) for each in samples).items():
        counted.setdefault(label, {})[side] = n
    return counted


def card(manifest: Manifest, facts: Facts) -> str:
    """Return the card that goes into the bundle."""
    config: Mapping[str, Any] = manifest.training.get("config", {})
    parts = [
        _metadata(manifest),
        f"# {_name(manifest.name)} {_name(manifest.version)}",
        *_details(manifest, facts),
        "## Intended use",
        _owners_words(config.get("intended_use")) or NO_USE_STATED,
        "## Limits",
        *filter(None, [_owners_words(config.get("limits"))]),
        "\n".join(f"- {limit}" for limit in _OWN_LIMITS),
        *_data(manifest, facts),
        *_training(manifest, config),
        "## Evaluation",
        "Recall with its 95 % Jeffreys interval; precision depends on the split's mix of classes.",
        *_side("Test split", manifest.metrics.get("test", {}), facts.test),
        *_side("Validation split", manifest.metrics.get("val", {}), manifest.reference),
        *_calibration(manifest),
        *_variants(manifest),
        "## The gate's verdict",
        "A bundle never changes, and is examined when it is finished: this card was written "
        f"before. `weakspot model card {manifest.version}` prints the verdict.",
    ]
    return "\n\n".join(parts) + "\n"


def afterwards(result: Mapping[str, Any] | None, moves: Sequence[Move]) -> str:
    """Return what is known since the card was written.

    Args:
        result: Of the job that made the version, the verdict under `gate`; None where it was not
            made by a retraining.
        moves: Moves of the alias to this version.
    """
    verdict = (result or {}).get("gate")
    parts = ["## Since this card was written"]
    if verdict is None:
        parts.append("No exam: the gate examines what a retraining made, and has no verdict here.")
    else:
        parts += _verdict(verdict)
    told = [
        f"- {_day(move.at)}: champion, by {_name(move.by)}: {_name(move.reason)}" for move in moves
    ]
    parts.append("\n".join(told) or "It has never been the champion.")
    return "\n\n".join(parts) + "\n"


def _metadata(manifest: Manifest) -> str:
    lines = ["---", "library_name: onnx", "pipeline_tag: image-classification", "tags: [weakspot]"]
    if _HUB_NAME.fullmatch(manifest.architecture):
        lines.append(f"base_model: {_quoted(manifest.architecture)}")
    top1 = manifest.metrics.get("test", {}).get("top1")
    if top1 is not None:
        lines += [
            "model-index:",
            f"- name: {_quoted(f'{manifest.name} {manifest.version}')}",
            "  results:",
            "  - task: {type: image-classification}",
            f"    dataset: {{type: weakspot-snapshot, name: {_quoted(manifest.snapshot)}}}",
            f"    metrics: [{{type: accuracy, value: {top1:.6f}}}]",
        ]
    return "\n".join([*lines, "---"])


def _details(manifest: Manifest, facts: Facts) -> list[str]:
    recipe = manifest.recipe
    return [
        "## Model details",
        _table(
            ("what", "value"),
            [
                ("architecture", _code(_without_folders(manifest.architecture))),
                ("classes", str(len(manifest.labels))),
                ("input", f"RGB, {recipe.height} x {recipe.width}, {_code(recipe.to_dict())}"),
                ("made", _moment(manifest.created_at)),
                ("fine-tuned from", _code(facts.parent) if facts.parent else "no other version"),
                ("code", _code(facts.code_version)),
            ],
        ),
    ]


def _data(manifest: Manifest, facts: Facts) -> list[str]:
    rows = [
        (_name(label), *(str(facts.images.get(label, {}).get(side, 0)) for side in _SIDES))
        for label in manifest.labels
    ]
    sums = [sum(each.get(side, 0) for each in facts.images.values()) for side in _SIDES]
    frozen = f"Frozen {_moment(facts.snapshot_at)} as snapshot {_code(manifest.snapshot)}: "
    return [
        "## Data",
        frozen + "the SHA-256 over every image's own digest, label and side. No test image was "
        "learnt from, or used to choose between passes.",
        _table(("class", *_SIDES), [*rows, ("all", *map(str, sums))]),
    ]


def _training(manifest: Manifest, config: Mapping[str, Any]) -> list[str]:
    facts = {key: value for key, value in manifest.training.items() if key not in _ELSEWHERE}
    return [
        "## Training",
        _table(
            ("setting", "value"),
            [
                (_code(key), _code(_without_folders(value)))
                for key, value in config.items()
                if key not in _TEXTS
            ],
        ),
        "What came of it:",
        _table(("fact", "value"), [(_code(key), _code(value)) for key, value in facts.items()]),
    ]


def _side(title: str, metrics: Mapping[str, Any], counts: Mapping[str, Any]) -> list[str]:
    """Return one split's figures: as a whole, then class by class."""
    if not metrics:
        return [f"### {title}", "The pool had no images on this side."]
    whole = ", ".join(
        f"{name} {_figure(metrics.get(name))}" for name in ("top1", "macro_f1", "auroc", "ece")
    )
    heads = ("class", "n", "right", "recall", "95 % interval", "precision", "taken most for")
    return [f"### {title}", f"{metrics.get('n', 0)} images: {whole}.", _table(heads, _rows(counts))]


def _rows(counts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    named: dict[str, int] = {}  # how often each class was the answer
    for label, each in counts.items():
        for answer, n in {label: each["correct"], **each["confused"]}.items():
            named[answer] = named.get(answer, 0) + n
    low, high = jeffreys(
        [each["correct"] for each in counts.values()], [each["n"] for each in counts.values()]
    )
    rows: list[tuple[str, ...]] = []
    for place, (label, each) in enumerate(counts.items()):
        n, right = each["n"], each["correct"]
        worst = max(each["confused"].items(), key=lambda pair: pair[1], default=None)
        rows.append(
            (
                _name(label),
                str(n),
                str(right),
                _percent(right, n),
                f"{100 * low[place]:.1f} to {100 * high[place]:.1f} %" if n else "-",
                _percent(right, named.get(label, 0)),
                f"{_name(worst[0])} ({worst[1]})" if worst else "-",
            )
        )
    return rows


def _calibration(manifest: Manifest) -> list[str]:
    sides = [
        f"{side} {_figure(manifest.metrics.get(side, {}).get('ece'))}" for side in ("test", "val")
    ]
    return [
        "## Calibration",
        f"Logits are divided by a temperature of {manifest.temperature:.3f}, fitted on the "
        f"validation split. Expected calibration error: {', '.join(sides)}.",
    ]


def _variants(manifest: Manifest) -> list[str]:
    """Return which coarser graphs the bundle has, and why it lacks others; nothing without any."""
    if not manifest.variants:
        return []
    rows = [
        (_name(name), "kept" if found.get("kept") else "dropped", _name(str(found.get("reason"))))
        for name, found in manifest.variants.items()
    ]
    return ["## Variants of the graph", _table(("variant", "verdict", "why"), rows)]


def _verdict(verdict: Mapping[str, Any]) -> list[str]:
    """Return the gate's decision, its reasons and its counts, as the job keeps them."""
    rows = [
        (
            _name(str(each.get("label", ""))),
            *(str(each.get(name, "-")) for name in ("n", "gained", "lost")),
            *(_points(each.get(name)) for name in ("difference", "low", "high")),
            str(each.get("verdict", "-")),
        )
        for each in (verdict.get("overall"), *verdict.get("classes", ()))
        if each
    ]
    heads = ("class", "images", "gained", "lost", "points", "lower", "upper", "verdict")
    return [
        f"The gate's decision: **{_name(str(verdict.get('decision', 'unknown')))}**.",
        "\n".join(f"- {_name(str(why), 1000)}" for why in verdict.get("reasons", ())),
        _table(heads, rows),
        _terms(verdict),
    ]


def _terms(verdict: Mapping[str, Any]) -> str:
    """Return what the flagged classes showed, and what the exam allowed."""
    names = "look alpha margin overall_margin ece ece_by_chance max_ece latency_ratio"
    told = {name: _brief(verdict.get(name)) for name in (*names.split(), "max_latency_ratio")}
    terms = (
        "Look {look}, alpha {alpha}; drop allowed, as a share: {margin} of a class, "
        "{overall_margin} of all.\n- Calibration error {ece} ({ece_by_chance} by chance), at most "
        "{max_ece}; latency {latency_ratio} of the champion's, at most {max_latency_ratio}."
    )
    shown = [
        f"{_name(str(each['label']))}: p = {_brief(each['p'])} by McNemar's exact test, "
        f"{_brief(each['adjusted_p'])} after Holm"
        for each in verdict.get("flagged", ())
    ]
    return "\n".join(f"- {line}" for line in (terms.format(**told), *shown))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _name(text: str, longest: int = 200) -> str:
    """Return a name from outside as it may stand in a line, or a cell, of Markdown."""
    escaped = for_markdown(for_chat(one_line(text, longest))).replace("&", "&amp;")
    # Not every reader of Markdown takes a backslash before these.
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;")


def _code(value: object) -> str:
    """Return a value as code, in which nothing is markup; it can be copied as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    shown = one_line(text, _LONGEST_VALUE).replace("`", "ˋ").replace("|", "\\|")
    return f"`{shown}`" if shown.strip() else "-"


def _without_folders(value: object) -> object:
    """Return a path's last part: where things lie on a machine is nobody's business elsewhere."""
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _owners_words(text: object) -> str:
    """Return the owner's own text: its paragraphs, with no markup in them."""
    if not isinstance(text, str):
        return ""
    return "\n".join(_name(line, 2000) if line.strip() else "" for line in text.strip().split("\n"))


def _quoted(text: str) -> str:
    # What JSON writes between quotation marks, YAML reads likewise.
    return json.dumps(one_line(text), ensure_ascii=False)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _brief(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:+.1f}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
