"""A head on a frozen backbone: features computed once and kept, then a logistic regression.

The backbone never changes, so its answer to an image never does: one pass over the pool (a
second over the mirrored training images stands in for variation), and heads are fitted in
seconds. All features are held in memory: 8 KB an image for a ResNet50.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.images.preprocess import Recipe
from trainer.fitting.fit import FitReport, autocast, has_bfloat16, in_channels_last, torch_device
from trainer.fitting.loss import Loss
from trainer.fitting.module import as_images
from trainer.images.dataset import Pixels, Progress
from trainer.networks.architectures import Network, weights_bytes

# From strong to weak, for features whose mean squared distance from their mean is 1.
WEIGHT_DECAYS = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7)

_BATCH = 32
_ITERATIONS = 150


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Where features come from, and where they are kept.

    Attributes:
        network: Whose backbone is asked.
        recipe: How its images were resized; part of what the kept features are known by.
        folder: Of the kept features.
        device: `auto`, `cpu` or `cuda`.
    """

    network: Network
    recipe: Recipe
    folder: Path
    device: str

    def features(
        self, pixels: Pixels, *, mirrored: bool = False, on_progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the pooled features of all images, float32 (n, width); kept ones where known."""
        kept = self.folder / f"{self._key(mirrored=mirrored)}.npz"
        digests, known = self._read(kept)
        rows = {digest: row for row, digest in enumerate(digests)}
        wanted = [sample.sha256 for sample in pixels.samples]
        new = np.array([p for p, digest in enumerate(wanted) if digest not in rows], dtype=np.int64)
        if len(new):
            fresh = self._computed(pixels, new, mirrored=mirrored, on_progress=on_progress)
            known = np.concatenate([known, fresh])
            digests = [*digests, *(wanted[place] for place in new)]
            rows = {digest: row for row, digest in enumerate(digests)}
            self._write(kept, digests, known)
        return known[[rows[digest] for digest in wanted]]

    def _read(self, kept: Path) -> tuple[list[str], NDArray[np.float32]]:
        try:
            os.utime(kept)  # trainer.run_folder removes what nobody has used for long
        except OSError:
            if not kept.exists():
                return [], np.empty((0, self.network.width), dtype=np.float32)
        with np.load(kept, allow_pickle=False) as file:
            return file["digests"].tolist(), file["features"]

    def _write(self, kept: Path, digests: list[str], features: NDArray[np.float32]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".tmp-{os.getpid()}")
        with unfinished.open("wb") as file:
            np.savez(file, digests=np.array(digests), features=features)
        unfinished.replace(kept)

    @torch.no_grad()
    def _computed(
        self,
        pixels: Pixels,
        places: NDArray[np.int64],
        *,
        mirrored: bool,
        on_progress: Progress | None,
    ) -> NDArray[np.float32]:
        place = torch_device(self.device)
        in_channels_last(self.network).eval().to(place)
        features = np.empty((len(places), self.network.width), dtype=np.float32)
        for start in range(0, len(places), _BATCH):
            chosen = places[start : start + _BATCH]
            images = as_images(torch.from_numpy(pixels.take(chosen)).to(place))
            with autocast(place):
                answer = self.network.features(images.flip(3) if mirrored else images)
            features[start : start + len(chosen)] = answer.float().cpu().numpy()
            if on_progress:
                what = "computing features, mirrored" if mirrored else "computing features"
                on_progress(what, start + len(chosen), len(places))
        return features

    def _key(self, *, mirrored: bool) -> str:
        weights = weights_bytes(self.network.backbone.state_dict())
        facts = {
            "weights": hashlib.sha256(weights).hexdigest(),
            "mean": self.network.mean.flatten().tolist(),
            "std": self.network.std.flatten().tolist(),
            "recipe": self.recipe.to_dict(),
            "bfloat16": has_bfloat16(torch_device(self.device)),
            "mirrored": mirrored,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class HeadData:
    """What a head is fitted on.

    Attributes:
        features: Of the training images, float32 (n, width).
        labels: Their class numbers, int64 (n,).
        weights: How much each counts, float64 (n,).
        val_features: Of the validation images, float32 (m, width).
        val_labels: Their class numbers, int64 (m,).
        loss: What is minimised on the training images.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    val_features: NDArray[np.float32]
    val_labels: NDArray[np.int64]
    loss: Loss = field(default_factory=Loss)


def fit_head(
    network: Network,
    data: HeadData,
    *,
    weight_decays: Sequence[float] = WEIGHT_DECAYS,
    on_progress: Progress | None = None,
) -> FitReport:
    """Fit the network's head by multinomial logistic regression, in place.

    Features are centred and scaled by one number, which the head then takes over; the weight
    decay with the lowest validation cross-entropy is chosen along the path from strong to weak,
    each fit starting from the one before.

    Args:
        network: Whose head is replaced.
        data: Features and labels.
        weight_decays: To choose from, strongest first.
        on_progress: Told about fits, at each step of each; what it raises ends them.
    """
    started = time.monotonic()
    features, val_features = torch.from_numpy(data.features), torch.from_numpy(data.val_features)
    labels, val_labels = torch.from_numpy(data.labels), torch.from_numpy(data.val_labels)
    weights = torch.from_numpy(data.weights / data.weights.mean()).float()
    centre = features.mean(0)
    scale = (features - centre).square().sum(1).mean().sqrt().clamp_min(1e-12)
    inputs, val_inputs = (features - centre) / scale, (val_features - centre) / scale
    head = torch.zeros(network.width + 1, network.head.out_features)
    best, best_loss, chosen = head, float("inf"), weight_decays[0]

    def tell(done: int) -> None:
        if on_progress:
            on_progress("fitting the head", done, len(weight_decays))

    for place, decay in enumerate(weight_decays):

        def training_loss(head: Tensor, place: int = place) -> Tensor:
            tell(place)
            return (data.loss(_logits(head, inputs), labels) * weights).mean()

        head = _regression(head, training_loss, decay)
        loss = float(functional.cross_entropy(_logits(head, val_inputs), val_labels))
        if loss < best_loss:
            best, best_loss, chosen = head, loss, decay
    tell(len(weight_decays))
    with torch.no_grad():
        network.head.weight.copy_((best[:-1] / scale).T)
        network.head.bias.copy_(best[-1] - centre / scale @ best[:-1])
    logits = _logits(best, val_inputs)
    return FitReport(
        epochs=0,
        best_epoch=0,
        val_accuracy=float((logits.argmax(1) == val_labels).float().mean()),
        val_logits=logits.numpy(),
        seconds=time.monotonic() - started,
        head_decay=chosen,
    )


def _regression(start: Tensor, loss: Callable[[Tensor], Tensor], decay: float) -> Tensor:
    """Return slopes and, in the last row, intercepts of the head with the least loss."""
    head = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [head], max_iter=_ITERATIONS, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def total() -> Tensor:
        optimizer.zero_grad()
        value = loss(head) + decay / 2 * head[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(total)
    return head.detach()


def _logits(head: Tensor, inputs: Tensor) -> Tensor:
    return inputs @ head[:-1] + head[-1]
