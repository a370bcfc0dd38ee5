"""The network: any image-classification backbone, with a head for the pool's own classes.

A backbone comes from `AutoModelForImageClassification`, by hub name or folder; its own last
linear layer is taken out, so that what it answers are pooled features, and ours is put on top.
Models whose classifier does not end in one linear layer over the classes are refused. A
retraining loads the champion from its bundle folder: configuration and safetensors, no pickles.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from core.errors import BundleError, TrainingError
from core.images.preprocess import Interpolation, Recipe

DEFAULT_BACKBONE = "microsoft/resnet-50"

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_INTERPOLATIONS: dict[int, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}


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
        self.register_buffer("mean", torch.tensor(mean).mul(255).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).mul(255).view(1, 3, 1, 1))

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features, (N, width), of images (N, 3, H, W) valued 0 to 255."""
        return self.backbone((images - self.mean) / self.std).logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, classes), of images (N, 3, H, W) valued 0 to 255."""
        return self.head(self.features(images))

    def config(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the backbone's configuration with these labels, ready for JSON."""
        config = cast("Any", self.backbone).config
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
    """

    model: nn.Module
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    recipe: Recipe

    def network(self, classes: int) -> Network:
        """Return this backbone under a fresh head."""
        return Network(self.model, width=self.width, classes=classes, mean=self.mean, std=self.std)


def load(
    backbone: str,
    *,
    from_scratch: bool = False,
    image_size: int | None = None,
    resize: int | None = None,
) -> Backbone:
    """Load a backbone by hub name or folder.

    Args:
        backbone: What `from_pretrained` takes.
        from_scratch: Take the architecture only, with random weights; the default ResNet50
            then needs no network.
        image_size: Side of the square input in pixels; None takes the backbone's own.
        resize: Short side before the crop; None takes the backbone's own, or `image_size`.

    Raises:
        TrainingError: It cannot be had, does not end in a linear layer over its classes, or
            does not accept images of that size.
    """
    with _quiet_transformers():
        model = _from_config(_config(backbone)) if from_scratch else _pretrained(backbone)
        processing = _processing(backbone) if not _is_built_in(backbone, from_scratch) else {}
    width = _cut_head(model, backbone)
    recipe = _recipe(processing, image_size, resize)
    _check_input(model, backbone, recipe, width)
    return Backbone(
        model,
        width,
        tuple(processing.get("image_mean") or _IMAGENET_MEAN),
        tuple(processing.get("image_std") or _IMAGENET_STD),
        recipe,
    )


def load_bundle(folder: Path, classes: int) -> Network:
    """Load the network of a bundle: the champion a retraining starts from.

    Raises:
        BundleError: Configuration and weights are missing or do not fit each other.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_tensors((folder / "weights.safetensors").read_bytes())
        with _quiet_transformers():
            model = _from_config(_config_from_dict(config))
        network = Network(model, width=_cut_head(model, str(folder)), classes=classes)
        network.load_state_dict(tensors)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
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


def _config(backbone: str) -> Any:
    from transformers import AutoConfig, ResNetConfig

    if backbone == DEFAULT_BACKBONE:
        return ResNetConfig()
    try:
        return AutoConfig.from_pretrained(backbone)
    except (OSError, ValueError) as error:
        raise _unavailable(backbone) from error


def _config_from_dict(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**config)


def _from_config(config: Any) -> nn.Module:
    from transformers import AutoModelForImageClassification

    return AutoModelForImageClassification.from_config(config, dtype=torch.float32)


def _pretrained(backbone: str) -> nn.Module:
    from transformers import AutoModelForImageClassification

    try:
        # Half-precision weights on disk are no reason to train in half precision.
        return AutoModelForImageClassification.from_pretrained(backbone, dtype=torch.float32)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unavailable(backbone) from error


def _unavailable(backbone: str) -> TrainingError:
    return TrainingError(
        f"backbone {backbone!r} is no folder that holds an image classifier, and no hub that can "
        "be reached has one of that name; name a folder, or train the default from scratch"
    )


def _cut_head(model: nn.Module, backbone: str) -> int:
    """Replace the last linear layer over the classes by the identity; return its width."""
    classes = int(cast("Any", model).config.num_labels)
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


def _processing(backbone: str) -> dict[str, Any]:
    """Return the backbone's preprocessor_config.json; empty where there is none."""
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(backbone, "preprocessor_config.json")
    except OSError:
        return {}
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}


def _recipe(processing: Mapping[str, Any], image_size: int | None, resize: int | None) -> Recipe:
    if image_size is not None:
        return Recipe(image_size, image_size, resize=resize or image_size, interpolation="bilinear")
    interpolation: Interpolation = _INTERPOLATIONS.get(processing.get("resample", 2), "bilinear")
    size = processing.get("size", {"shortest_edge": 256})
    short = size.get("shortest_edge") if isinstance(size, dict) else size
    if short is None:
        # Models of this kind see the whole picture, squashed to their own size.
        return Recipe(size["height"], size["width"], resize=resize, interpolation=interpolation)
    crop = processing.get("crop_size") if processing.get("do_center_crop", True) else None
    if isinstance(crop, dict):
        height, width = crop["height"], crop["width"]
    elif crop is not None or not processing:
        height = width = crop or 224
    else:
        # ConvNeXt's way of saying it: `size` is what comes out, `crop_pct` what was cut off.
        height = width = short
        short = round(short / processing.get("crop_pct", 1))
    return Recipe(height, width, resize=resize or short, interpolation=interpolation)


def _check_input(model: nn.Module, backbone: str, recipe: Recipe, width: int) -> None:
    try:
        with torch.inference_mode():
            answer = model.eval()(torch.zeros(1, 3, recipe.height, recipe.width)).logits
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"backbone {backbone!r} does not take images of {recipe.height} x {recipe.width}: "
            f"{error}; leave the image size to the backbone"
        ) from error
    if answer.shape != (1, width):
        raise TrainingError(
            f"backbone {backbone!r} answers features of shape {tuple(answer.shape)}, not "
            f"(1, {width}): its last linear layer is not its last step"
        )


@contextmanager
def _quiet_transformers() -> Generator[None]:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
