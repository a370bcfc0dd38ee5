"""Models of `transformers`, by hub name, folder or configuration, with the weights they must have.

An image classifier where the family has one. A family without takes `AutoModel`, whose pooled
output then stands where logits would, or `AutoBackbone`, whose last feature map is averaged: that
is how the backbones of detectors come. A checkpoint that is said to be a backbone's is taken as
such where there is no classifier of its family.

`transformers` fills in what a checkpoint lacks with random numbers, and goes on. Here such a
checkpoint is refused: a training from random weights is asked for by its name.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # the error alone; nothing is unpickled here
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from core.errors import TrainingError

DEFAULT_BACKBONE = "microsoft/resnet-50"

# A mask token that only pretraining used may lack; nobody minds where it is random.
_MOST_LACKING: Final = 0.01


class Pooled(nn.Module):
    """A model without a classifier; its pooled output stands where logits would.

    Attributes:
        config: The model's.
        width: How many features it answers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        sizes = getattr(model, "channels", None) or getattr(model.config, "hidden_sizes", None)
        self.width = int(sizes[-1] if sizes else model.config.hidden_size)

    def forward(self, images: Tensor) -> Any:
        """Return the pooled features of normalised images (N, 3, H, W), as `.logits`."""
        from transformers.modeling_outputs import ImageClassifierOutput

        answer = self.model(images)
        pooled = getattr(answer, "pooler_output", None)
        if pooled is None and (maps := getattr(answer, "feature_maps", None)):
            pooled = maps[-1].mean(dim=(2, 3))
        if pooled is None:
            raise TrainingError(
                f"models of the family {self.config.model_type!r} have neither a classifier nor "
                "pooled features; take another backbone"
            )
        return ImageClassifierOutput(logits=pooled)


def config_of(backbone: str, revision: str | None = None) -> Any:
    """Return the configuration of a backbone by hub name or folder.

    Raises:
        TrainingError: It cannot be had.
    """
    from transformers import AutoConfig, ResNetConfig

    if backbone == DEFAULT_BACKBONE:
        return ResNetConfig()
    with _explained(backbone):
        return AutoConfig.from_pretrained(backbone, revision=revision)


def config_from_dict(config: dict[str, Any]) -> Any:
    """Return the configuration that a bundle keeps as JSON."""
    from transformers import AutoConfig

    return AutoConfig.for_model(**config)


def from_config(config: Any, backbone: str) -> nn.Module:
    """Return a model with random weights.

    Raises:
        TrainingError: It takes a package that is not installed.
    """
    found = _backbone_class(config)
    with _explained(backbone):
        if found is not None:
            model = found._from_config(config, dtype=torch.float32)
        else:
            model = _auto_class(config).from_config(config, dtype=torch.float32)
    return model if _is_classifier(config) else Pooled(model)


def from_pretrained(backbone: str, revision: str | None = None) -> tuple[nn.Module, set[str]]:
    """Return a model with its weights, and the names of those that its checkpoint lacks.

    Args:
        backbone: Hub name or folder.
        revision: Commit, branch or tag of the hub's; None for its newest.

    Raises:
        TrainingError: It cannot be had, or its weights are a pickle of more than numbers.
    """
    from transformers import AutoConfig

    with _explained(backbone):
        config = AutoConfig.from_pretrained(backbone, revision=revision)
        found_class = _backbone_class(config) or _auto_class(config)
        # Half-precision weights on disk are no reason to train in half precision.
        model, found = found_class.from_pretrained(
            backbone, revision=revision, dtype=torch.float32, output_loading_info=True
        )
        lacking = cast("Collection[str]", found["missing_keys"])
    if _is_classifier(config):
        return model, set(lacking)
    return Pooled(model), {f"model.{name}" for name in lacking}


def commit_of(backbone: str, revision: str | None = None) -> str | None:
    """Return the commit of the hub that a backbone is of now; None of a folder.

    Raises:
        TrainingError: No hub that can be reached has it.
    """
    from transformers.utils.hub import cached_file, extract_commit_hash

    if Path(backbone).is_dir():
        return None
    with _explained(backbone):
        path = cached_file(backbone, "config.json", revision=revision)
    return extract_commit_hash(path, None)


def require_weights(model: nn.Module, lacking: Collection[str], backbone: str) -> None:
    """Refuse a model of which the checkpoint held too little; its classifier is cut off by now.

    Raises:
        TrainingError: More than one in a hundred of its numbers would be random.
    """
    sizes = {name: each.numel() for name, each in model.named_parameters()}
    # What has one dimension, a scale or a shift, begins at what does nothing.
    random = [n for n, each in model.named_parameters() if n in lacking and each.ndim > 1]
    share = sum(sizes[name] for name in random) / max(sum(sizes.values()), 1)
    if share > _MOST_LACKING:
        raise TrainingError(
            f"the weights of backbone {backbone!r} are not those of its configuration: "
            f"{100 * share:.0f} % of its numbers would be random, the first {random[0]!r}; take a "
            "checkpoint of this architecture, or begin with random weights by --from-scratch"
        )


@contextmanager
def quiet_transformers() -> Generator[None]:
    """Keep transformers from drawing bars and telling what is told here."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _auto_class(config: Any) -> Any:
    from transformers import AutoModel, AutoModelForImageClassification

    return AutoModelForImageClassification if _is_classifier(config) else AutoModel


def _backbone_class(config: Any) -> Any | None:
    """Return what `AutoBackbone` would make of it, where nothing else is to be preferred.

    Not `AutoBackbone` itself: it asks the hub even about a folder.
    """
    from transformers import AutoBackbone, AutoModel

    if _is_classifier(config) or type(config) not in AutoBackbone._model_mapping:
        return None
    said = (getattr(config, "architectures", None) or [""])[0]
    if type(config) in AutoModel._model_mapping and not said.endswith("Backbone"):
        return None
    return AutoBackbone._model_mapping[type(config)]


def _is_classifier(config: Any) -> bool:
    from transformers import AutoModelForImageClassification

    # The only list that transformers keeps of what it has classifiers for.
    return type(config) in AutoModelForImageClassification._model_mapping


@contextmanager
def _explained(backbone: str) -> Generator[None]:
    """Turn what transformers raises into what somebody can do about it."""
    try:
        yield
    except UnpicklingError as error:  # torch reads numbers out of a pickle, and runs nothing
        raise TrainingError(
            f"the weights of backbone {backbone!r} are a pickle that holds more than numbers, and "
            "are not read; save them as safetensors"
        ) from error
    except ImportError as error:
        first = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"backbone {backbone!r} takes a package that is not installed: {first}"
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(
            f"backbone {backbone!r} is no folder that holds an image classifier, and no hub that "
            "can be reached has one of that name; name a folder, or train the default from scratch"
        ) from error
