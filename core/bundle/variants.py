"""The variants of a bundle's graph: how each was held against it, and whether it may serve.

A variant is the same network, computed more coarsely for the sake of speed: `int8` in integers of
8 bits, on a CPU, and `fp16` in half precision, on a GPU. Whoever makes one compares it with the
graph in float32, image by image, and writes what was found into the manifest. One that was found
too coarse is not in the bundle, and its verdict says why. Nothing is compared here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, cast, get_args

from core.bundle.manifest import Manifest
from core.errors import BundleError, UsageError

VariantName = Literal["int8", "fp16"]
INT8: Final[VariantName] = "int8"
FP16: Final[VariantName] = "fp16"
VARIANTS: Final[tuple[VariantName, ...]] = get_args(VariantName)
DEFAULT_VARIANTS: Final = "int8,fp16"

FILES: Final[dict[VariantName, str]] = {"int8": "model.int8.onnx", "fp16": "model.fp16.onnx"}


def wanted(spec: str) -> tuple[VariantName, ...]:
    """Return the variants that are named, as in `int8,fp16`, in their own order.

    Raises:
        UsageError: One of them is unknown.

    Example:
        >>> wanted("fp16, int8")
        ('int8', 'fp16')
    """
    words = {word.strip() for word in spec.split(",")} - {""}
    unknown = sorted(words - set(VARIANTS))
    if unknown:
        raise UsageError(f"variant {unknown[0]!r} is unknown; write any of {', '.join(VARIANTS)}")
    return tuple(name for name in VARIANTS if name in words)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a variant, beside the graph in float32 on the same images.

    Attributes:
        kept: Whether it may serve; then its file is in the bundle.
        reason: Why, in words.
        file: Name of its file.
        n: Labelled images that both answered; 0 where it could not be made.
        top1: Share of them that the variant names rightly.
        fp32_top1: Share that the graph in float32 names rightly.
        agreement: Share that both give the same answer.
        worst_class: The class that loses most; None without images.
        worst_drop: What it loses of its recall, 0.01 for one point.
        worst_n: Its images.
        per_class: Recall of the variant for each label; None for one without images.
        ece: Expected calibration error of the variant.
        fp32_ece: That of the graph in float32.
        largest_logit_difference: Over all images and classes.
        computed_by: What computed the variant.
    """

    kept: bool
    reason: str
    file: str
    n: int = 0
    top1: float | None = None
    fp32_top1: float | None = None
    agreement: float | None = None
    worst_class: str | None = None
    worst_drop: float | None = None
    worst_n: int = 0
    per_class: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    ece: float | None = None
    fp32_ece: float | None = None
    largest_logit_difference: float | None = None
    computed_by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as the manifest holds it."""
        return asdict(self)


def verdict(manifest: Manifest, name: VariantName) -> Verdict | None:
    """Return what the manifest says of a variant; None where it says nothing.

    Raises:
        BundleError: It is no verdict.
    """
    found = manifest.variants.get(name)
    if found is None:
        return None
    facts = cast("Mapping[str, Any]", found)
    # A later Weakspot may have found more; what this one does not know it does not need.
    known = {each.name for each in fields(Verdict)}
    try:
        return Verdict(**{key: value for key, value in facts.items() if key in known})
    except TypeError as error:
        raise BundleError(
            f"what bundle {manifest.version} says of its variant {name} is no verdict: {error}"
        ) from error


def kept(manifest: Manifest, name: VariantName) -> bool:
    """Say whether a bundle has a variant that was found good enough to serve."""
    return FILES[name] in manifest.files and bool(
        manifest.variants.get(name, {"kept": False})["kept"]
    )


def require_not_dropped(manifest: Manifest, name: VariantName) -> None:
    """Refuse a variant that was found too coarse.

    Raises:
        BundleError: It was; the message says why.
    """
    found = verdict(manifest, name)
    if found is not None and not found.kept:
        raise BundleError(f"bundle {manifest.version} may not serve in {name}: {found.reason}")


def require_kept(manifest: Manifest, name: VariantName) -> Verdict:
    """Return the verdict of a variant that may serve.

    Raises:
        BundleError: It may not, or the bundle has none; the message says which.
    """
    require_not_dropped(manifest, name)
    found = verdict(manifest, name)
    if found is None:
        raise BundleError(
            f"bundle {manifest.version} has no variant {name}; train with {name} among "
            "WEAKSPOT_TRAINER_VARIANTS"
        )
    return found


def distance(found: Verdict) -> float:
    """Return the largest logit difference of a verdict.

    Raises:
        BundleError: It states none that could be one.
    """
    told = found.largest_logit_difference
    if not isinstance(told, int | float) or not math.isfinite(told) or told < 0:
        raise BundleError(f"the verdict on {found.file} has no logit difference, but {told!r}")
    return float(told)
