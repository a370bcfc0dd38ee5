"""The network: any image-classification backbone, with a head for the pool's own classes.

A backbone comes from `transformers`, by hub name or folder (trainer.networks.pretrained). The last
linear layer of a classifier is taken out, so that what it answers are pooled features, and ours is
put on top; models without a classifier are taken by their pooled features. Models whose classifier
does not end in one linear layer over the classes are refused. A retraining loads the champion from
its bundle folder: configuration and safetensors, no pickles.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from core.errors import BundleError, TrainingError
from core.images.preprocess import Recipe
from trainer.networks import pretrained
from trainer.networks.pretrained import DEFAULT_BACKBONE, Pooled, quiet_transformers
from trainer.networks.processing import preprocessing, recipe_of

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(nn.Module):
    """Normalisation, backbone and head; what is trained, kept and exported.

    Attributes:
        backbone: The model without its own last layer.
        head: Linear layer from the pooled features to the classes.
        width: How many pooled features there are.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        width: int,
        classes: int,
        mean: Sequence[float] = _IMAGENET_MEAN,
        std: Sequence[float] = _IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = width
        self.head = nn.Linear(width, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        # A transformer's positions are made for one size, and interpolated for any other.
        known = inspect.signature(backbone.forward).parameters
        self._interpolates = "interpolate_pos_encoding" in known
        self.register_buffer("mean", torch.tensor(mean).mul(255).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).mul(255).view(1, 3, 1, 1))

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features, (N, width), of images (N, 3, H, W) valued 0 to 255."""
        normalised = (images - self.mean) / self.std
        if self._interpolates and tuple(images.shape[2:]) != _native_size(self.backbone):
            return self.backbone(normalised, interpolate_pos_encoding=True).logits
        return self.backbone(normalised).logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, classes), of images (N, 3, H, W) valued 0 to 255."""
        return self.head(self.features(images))

    def config(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the backbone's configuration with these labels, ready for JSON."""
        config = _settings(self.backbone)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        # Dates and dtypes among the values become words.
        return json.loads(json.dumps(config.to_dict(), default=str))


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone ready for a head.

    Attributes:
        model: Answers pooled features as `.logits`.
        width: How many features.
        mean: What its pixels, 0 to 1, are centred by.
        std: What they are divided by then.
        recipe: How its images are resized and cropped.
        commit: Of the hub that it came from; None of a folder, or where the hub does not say.
    """

    model: nn.Module
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    recipe: Recipe
    commit: str | None = None

    def network(self, classes: int) -> Network:
        """Return this backbone under a fresh head."""
        return Network(self.model, width=self.width, classes=classes, mean=self.mean, std=self.std)


def load(
    backbone: str,
    *,
    revision: str | None = None,
    from_scratch: bool = False,
    image_size: int | None = None,
    resize: int | None = None,
) -> Backbone:
    """Load a backbone by hub name or folder.

    Args:
        backbone: What `from_pretrained` takes.
        revision: Commit, branch or tag of the hub's; None for its newest.
        from_scratch: Take the architecture only, with random weights; the default ResNet50
            then needs no network.
        image_size: Side of the square input in pixels; None takes the backbone's own.
        resize: Short side before the crop; None takes the backbone's own, or `image_size`.

    Raises:
        TrainingError: It cannot be had, does not end in a linear layer over its classes, or
            does not accept images of that size.
    """
    lacking: set[str] = set()
    is_built_in = _is_built_in(backbone, from_scratch)
    with quiet_transformers():
        # All its files are then of one commit, though the hub may get a new one in between.
        commit = None if is_built_in else pretrained.commit_of(backbone, revision)
        revision = commit or revision
        if from_scratch:
            model = pretrained.from_config(pretrained.config_of(backbone, revision), backbone)
        else:
            model, lacking = pretrained.from_pretrained(backbone, revision)
        processing = {} if is_built_in else preprocessing(backbone, revision)
    width = _cut_head(model, backbone)
    pretrained.require_weights(model, lacking, backbone)
    recipe = recipe_of(processing, _native_size(model), image_size=image_size, resize=resize)
    made = Backbone(
        model,
        width,
        tuple(processing.get("image_mean") or _IMAGENET_MEAN),
        tuple(processing.get("image_std") or _IMAGENET_STD),
        recipe,
        commit,
    )
    _check_input(made, backbone)
    return made


def load_bundle(folder: Path, classes: int) -> Network:
    """Load the network of a bundle: the champion a retraining starts from.

    Raises:
        BundleError: Configuration and weights are missing or do not fit each other.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_tensors((folder / "weights.safetensors").read_bytes())
        with quiet_transformers():
            model = pretrained.from_config(pretrained.config_from_dict(config), str(folder))
        network = Network(model, width=_cut_head(model, str(folder)), classes=classes)
        network.load_state_dict(tensors)
    except (*_UNREADABLE, TrainingError) as error:
        raise BundleError(f"the network in {folder} cannot be loaded: {error}") from error
    return network


def weights_bytes(state: Mapping[str, Tensor]) -> bytes:
    """Return a state dict as safetensors."""
    return save_tensors(
        {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    )


def stages(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return name and modules of the backbone's stages: its weightiest list of modules.

    Raises:
        TrainingError: It has none; it can be frozen as a whole only.
    """
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) > 1
    ]
    if not lists:
        raise TrainingError("this backbone has no stages; use --freeze none or backbone")
    # The outermost of equals comes first in `named_modules`, and max() keeps the first.
    return max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))


def _is_built_in(backbone: str, from_scratch: bool) -> bool:
    return from_scratch and backbone == DEFAULT_BACKBONE


def _settings(model: nn.Module) -> Any:
    return cast("Any", model).config


def _native_size(model: nn.Module) -> tuple[int, int] | None:
    """Return height and width of the images that the model is made for, where it says so."""
    size = getattr(_settings(model), "image_size", None)
    return (size, size) if isinstance(size, int) else size and tuple(size)


def _cut_head(model: nn.Module, backbone: str) -> int:
    """Replace the last linear layer over the classes by the identity; return its width."""
    if isinstance(model, Pooled):
        return model.width
    classes = int(_settings(model).num_labels)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == classes
    ]
    if not found:
        raise TrainingError(
            f"backbone {backbone!r} does not end in a linear layer over its {classes} classes"
        )
    name, linear = found[-1]
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())
    return linear.in_features


def _check_input(made: Backbone, backbone: str) -> None:
    recipe, width = made.recipe, made.width
    try:
        with torch.inference_mode():
            network = made.network(2).eval()
            answer = network.features(torch.zeros(1, 3, recipe.height, recipe.width))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"backbone {backbone!r} does not take images of {recipe.height} x {recipe.width}: "
            f"{error}; leave the image size to the backbone"
        ) from error
    if answer.shape != (1, width):
        raise TrainingError(
            f"backbone {backbone!r} answers features of shape {tuple(answer.shape)}, not "
            f"(1, {width}): its last linear layer is not its last step"
        )
