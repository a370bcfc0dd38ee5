"""The champion learns on, and the point between its old and its new weights is chosen.

A champion whose backbone was frozen gets its head fitted anew on kept features; any other is
fine-tuned, as far as its own training reached. Either way the answer is a network at one point of
the path between the two states.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import TrainingError
from trainer.fitting import interpolate
from trainer.fitting.fit import FitReport, OnEpoch, fit, predict_logits
from trainer.fitting.head import FeatureSource, HeadData, fit_head
from trainer.fitting.interpolate import Point
from trainer.fitting.kept_memory import memory_kept
from trainer.fitting.module import FitOptions
from trainer.images.dataset import Progress, Sides
from trainer.networks.architectures import Network

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Aim:
    """What the chosen point must do.

    Attributes:
        flagged: Numbers of the classes it is to repair.
        margin: Drop of any other class's recall that is too much.
        overall_margin: Drop over all images that is too much.
        alphas: Points of the path that are looked at.
    """

    flagged: Sequence[int]
    margin: float
    overall_margin: float
    alphas: Sequence[float] = interpolate.ALPHAS


@dataclass(frozen=True, slots=True)
class Tuned:
    """What became of a fine-tune; the network itself is left at the chosen point.

    Attributes:
        chosen: The point.
        path: All points looked at.
        val_logits: What the network says of the validation images there, float32 (n, K).
        passes: The figures of each pass, in order; none where a head alone was fitted.
    """

    chosen: Point
    path: tuple[Point, ...]
    val_logits: NDArray[np.float32]
    passes: tuple[dict[str, float], ...] = ()


def learn(
    network: Network,
    sides: Sides,
    *,
    freeze: str,
    options: FitOptions,
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> FitReport:
    """Train the network in place, its head alone where the backbone is frozen.

    After each pass a checkpoint is left in the folder of the sides, and gone on from when the
    same is asked for again.

    Raises:
        TrainingError: Loss or gradient are not finite, the device is not there, or memory is
            not enough.
    """
    with _memory_told(options, sides), memory_kept():
        if freeze == "backbone":
            started = time.monotonic()
            data = _head_data(network, sides, options, on_progress)
            report = fit_head(network, data, on_progress=on_progress)
            # Computing the features is what such a run takes; the fit is a moment of it.
            return replace(report, seconds=time.monotonic() - started)
        if options.head_first:
            # A random head's first gradients would spoil the features that it is to rest on
            # (Kumar et al. 2022). It is the same head again when a run is gone on with.
            fit_head(
                network,
                _head_data(network, sides, options, on_progress),
                on_progress=on_progress,
            )
        return fit(
            network,
            sides,
            options=options,
            on_progress=on_progress,
            on_epoch=on_epoch,
            resume=True,
        )


def finetune(  # noqa: PLR0913 - each is named by its caller
    network: Network,
    sides: Sides,
    aim: Aim,
    *,
    freeze: str,
    options: FitOptions,
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> Tuned:
    """Let the champion's network learn on, and leave it at the best point of the path back.

    Args:
        network: The champion's; changed in place.
        sides: What it learns from and is chosen by.
        aim: What the chosen point must do.
        freeze: `none`, `backbone` or `stages:N`, as the champion was trained.
        options: How it learns.
        on_progress: Told about steps and points.
        on_epoch: Told about each pass; a head alone is fitted without any.
    """
    champion = _copied(network)
    answers = _answers(network, sides, freeze, options, on_progress)
    before = answers(champion)
    report = learn(
        network,
        sides,
        freeze=freeze,
        options=options,
        on_progress=on_progress,
        on_epoch=on_epoch,
    )
    tuned = _copied(network)
    names = [name for name, _ in network.named_parameters()]
    points: list[Point] = []
    logits: dict[float, NDArray[np.float32]] = {}
    for number, alpha in enumerate(aim.alphas):
        logits[alpha] = answers(interpolate.between(champion, tuned, alpha, learnt=names))
        points.append(
            interpolate.measure(
                alpha,
                champion=before.argmax(axis=1),
                challenger=logits[alpha].argmax(axis=1),
                labels=sides.val.labels,
                flagged=aim.flagged,
            )
        )
        if on_progress:
            on_progress("choosing the point of interpolation", number + 1, len(aim.alphas))
    chosen = interpolate.choose(points, margin=aim.margin, overall_margin=aim.overall_margin)
    network.load_state_dict(interpolate.between(champion, tuned, chosen.alpha, learnt=names))
    return Tuned(chosen, tuple(points), logits[chosen.alpha], report.passes)


@contextmanager
def _memory_told(options: FitOptions, sides: Sides) -> Generator[None]:
    """Say what to do when there is no memory left; torch has no error of its own on a CPU."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_shortage = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_shortage and "can't allocate memory" not in str(error):
            raise
        size = f"{sides.recipe.height} x {sides.recipe.width}"
        raise TrainingError(
            f"memory is not enough for steps of {options.batch_size} images of {size}; take a "
            "smaller --batch-size, --image-size or backbone"
        ) from error


def _head_data(
    network: Network, sides: Sides, options: FitOptions, on_progress: Progress | None
) -> HeadData:
    source = FeatureSource(network, sides.recipe, sides.features, options.device)
    features = [source.features(sides.train, on_progress=on_progress)]
    if options.augment.flip:
        features.append(source.features(sides.train, mirrored=True, on_progress=on_progress))
    return HeadData(
        np.concatenate(features),
        np.tile(sides.train.labels, len(features)),
        np.tile(sides.weights, len(features)),
        source.features(sides.val, on_progress=on_progress),
        sides.val.labels,
        options.loss(np.bincount(sides.train.labels, minlength=network.head.out_features)),
    )


def _answers(
    network: Network,
    sides: Sides,
    freeze: str,
    options: FitOptions,
    on_progress: Progress | None,
) -> Callable[[Mapping[str, Tensor]], NDArray[np.float32]]:
    """Return what tells a state's logits for the validation images."""
    if freeze == "backbone":
        # The backbone stays as it is, so that its features answer for every state.
        source = FeatureSource(network, sides.recipe, sides.features, options.device)
        features = torch.from_numpy(source.features(sides.val, on_progress=on_progress))

        def of_features(state: Mapping[str, Tensor]) -> NDArray[np.float32]:
            head = features @ state["head.weight"].cpu().T + state["head.bias"].cpu()
            return head.numpy()

        return of_features

    def of_images(state: Mapping[str, Tensor]) -> NDArray[np.float32]:
        network.load_state_dict(state)
        return predict_logits(network, sides.val, device=options.device)

    return of_images


def _copied(network: Network) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
