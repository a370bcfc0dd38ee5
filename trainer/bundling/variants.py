"""Coarser and faster variants of a graph: made, held against float32, kept or dropped.

`int8` for a CPU and `fp16` for a GPU are made of the exported graph, and each answers the whole
validation split. The rule is the owner's: no class may lose more than one point of recall. It is
taken by the letter, also where a class has few images: of 60, one that is lost is 1.7 points, and
drops the variant. The verdict states how many images there were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.bundle import files, sentinels
from core.bundle.half_precision import to_half
from core.bundle.manifest import Manifest
from core.bundle.runner import Runner
from core.bundle.trial import LEAST_QUANTISED_AGREEMENT
from core.bundle.variants import (
    FILES,
    INT8,
    VARIANTS,
    VariantName,
    Verdict,
    distance,
    kept,
    require_kept,
)
from core.errors import BundleError, UsageError, WeakspotError
from core.evaluation import Evaluation, Progress, evaluate
from core.stats import calibration, classification
from core.store.images import Sample
from trainer.bundling.quantize import to_int8

MOST_LOST: Final = 0.01  # of a class's recall

_BATCH: Final = 16

Made = dict[VariantName, bytes | Verdict]


def make(
    model: bytes, names: Sequence[VariantName], images: Callable[[], NDArray[np.uint8]]
) -> Made:
    """Return the bytes of each variant, or the verdict on one that cannot be made.

    Args:
        model: The exported graph.
        names: Which variants.
        images: Gives those to calibrate with, real, preprocessed, of all classes, uint8
            (n, H, W, 3).
    """
    made: Made = {}
    for name in names:
        try:
            if name == INT8:
                made[name] = to_int8(model, images())
            else:
                made[name] = to_half(model, Path("model.onnx"))
        except BundleError as error:
            made[name] = _dropped(name, f"it cannot be made: {error}")
    return made


def judge_all(
    folder: Path, made: Made, exact: Evaluation, on_progress: Progress | None = None
) -> dict[VariantName, Verdict]:
    """Return the verdict on each variant that was made, or was to be made.

    Args:
        folder: A bundle that holds them.
        made: What `make` gave.
        exact: What the graph in float32 said of the validation images, with its logits.
        on_progress: Told about images.
    """
    return {
        name: one if isinstance(one, Verdict) else judge(folder, name, exact, on_progress)
        for name, one in made.items()
    }


def judge(
    folder: Path, name: VariantName, exact: Evaluation, on_progress: Progress | None = None
) -> Verdict:
    """Return whether a variant that lies in a bundle's folder may serve.

    Args:
        folder: The bundle; what its manifest says of the variant is not looked at.
        name: Which variant.
        exact: What the graph in float32 said of the images, with its logits.
        on_progress: Told about images.
    """
    try:
        runner = Runner.open_variant(folder, name)
        coarse = evaluate(runner, exact.samples, on_progress=_named(name, on_progress))
    except WeakspotError as error:
        return _dropped(name, f"it does not run: {error}")
    try:
        found = compare(runner.labels, exact, coarse)
    except UsageError as error:
        return _dropped(name, str(error))
    rounded = name != INT8 and runner.device == "cpu"
    computed_by = f"{runner.engine}, from numbers in half precision" if rounded else runner.engine
    return replace(found, file=FILES[name], computed_by=computed_by)


def recheck(
    folder: Path, samples: Sequence[Sample], on_progress: Progress | None = None
) -> dict[VariantName, Verdict]:
    """Return anew, from labelled images, whether each variant of a bundle may serve.

    Args:
        folder: The bundle.
        samples: The validation images, as far as they are still there.
        on_progress: Told about images.

    Raises:
        BundleError: The bundle is not what it should be.
    """
    names = _kept(files.verify(folder))
    if not names:
        return {}
    exact = evaluate(Runner.open(folder, "cpu"), samples, on_progress=_named("fp32", on_progress))
    return {name: judge(folder, name, exact, on_progress) for name in names}


def recheck_on_own(folder: Path) -> dict[VariantName, Verdict]:
    """Return what can be said of each variant by the bundle's own images, which have no labels.

    As when a service loads it: it must give the answers of float32 to nearly all of them, and no
    logit may be further off than was measured when it was made.

    Raises:
        BundleError: The bundle is not what it should be, or a variant does not run.
    """
    manifest = files.verify(folder)
    real = sentinels.read(folder, manifest)
    found: dict[VariantName, Verdict] = {}
    for name in _kept(manifest):
        runner = Runner.open_variant(folder, name)
        parts = np.array_split(real.images, -(-len(real.images) // _BATCH))
        logits = np.concatenate([runner.run(part).logits for part in parts])
        agreement = float((logits.argmax(axis=1) == real.logits.argmax(axis=1)).mean())
        furthest = float(np.abs(logits - real.logits).max())
        allowed = sentinels.ALLOWED_COARSE_DIFFERENCE + distance(require_kept(manifest, name))
        holds = agreement >= LEAST_QUANTISED_AGREEMENT and furthest <= allowed
        found[name] = Verdict(
            kept=holds,
            reason=f"{agreement:.0%} of the bundle's own images get the answer of float32, and a "
            f"logit is off by {furthest:.2f} at most (allowed {allowed:.2f})",
            file=FILES[name],
            n=len(real.images),
            agreement=agreement,
            largest_logit_difference=furthest,
            computed_by=runner.engine,
        )
    return found


def _kept(manifest: Manifest) -> list[VariantName]:
    return [name for name in VARIANTS if kept(manifest, name)]


def compare(labels: Sequence[str], exact: Evaluation, coarse: Evaluation) -> Verdict:
    """Return the verdict on answers, beside those of the graph in float32 to the same images.

    Raises:
        UsageError: They are not about the same images, or there are none.
    """
    if exact.samples != coarse.samples or not exact.samples:
        raise UsageError("a variant is judged by the images that both answered, and needs some")
    if exact.logits is None or coarse.logits is None:
        raise UsageError("a variant is judged by its logits, and there are none")
    recalls = [
        classification.per_class_recall(each.predicted, exact.labels, len(labels))
        for each in (exact, coarse)
    ]
    counts = np.bincount(exact.labels, minlength=len(labels)).tolist()
    drops = [
        before - after if before is not None and after is not None else None
        for before, after in zip(*recalls, strict=True)
    ]
    drop, worst = max((lost, i) for i, lost in enumerate(drops) if lost is not None)
    good, reason = _rule(labels, counts, (worst, drop))
    return Verdict(
        kept=good,
        reason=reason,
        file="",
        n=len(exact.samples),
        top1=classification.top1(coarse.predicted, exact.labels),
        fp32_top1=classification.top1(exact.predicted, exact.labels),
        agreement=float((coarse.predicted == exact.predicted).mean()),
        worst_class=labels[worst],
        worst_drop=drop,
        worst_n=counts[worst],
        per_class=dict(zip(labels, recalls[1], strict=True)),
        ece=calibration.expected_calibration_error(coarse.probabilities, exact.labels),
        fp32_ece=calibration.expected_calibration_error(exact.probabilities, exact.labels),
        largest_logit_difference=float(np.abs(exact.logits - coarse.logits).max()),
    )


def _rule(
    labels: Sequence[str], counts: Sequence[int], worst: tuple[int, float]
) -> tuple[bool, str]:
    """Return whether a variant is kept, and why."""
    place, drop = worst
    unseen = [label for label, n in zip(labels, counts, strict=True) if not n]
    if unseen:
        return False, f"no labelled image of {unseen[0]} says what that class would lose"
    told = f"{labels[place]} loses {100 * drop:.1f} points ({round(drop * counts[place])} of its "
    told += f"{counts[place]} images)"
    # A hundredth is no binary fraction.
    if drop > MOST_LOST + 1e-9:
        return False, f"{told}, more than {100 * MOST_LOST:.0f}"
    if drop > 0:
        return True, f"{told}, and no class more than {100 * MOST_LOST:.0f}"
    return True, "no class loses anything"


def _dropped(name: VariantName, reason: str) -> Verdict:
    return Verdict(kept=False, reason=reason, file=FILES[name])


def _named(name: str, on_progress: Progress | None) -> Callable[[str, int, int], None]:
    def tell(_: str, done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(f"validation images in {name}", done, total)

    return tell
