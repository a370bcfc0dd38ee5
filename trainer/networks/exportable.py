"""Whether a backbone can be exported at all, asked before hours are spent on training it."""

from __future__ import annotations

from typing import Any, cast

from core.errors import TrainingError
from core.images.preprocess import Recipe
from trainer.networks import export
from trainer.networks.architectures import Network

# Families whose export a test proves: asking them again would cost seconds in every run.
PROVEN = frozenset(
    {
        "convnext",
        "convnextv2",
        "dinov2",
        "dinov3_convnext",
        "dinov3_vit",
        "efficientnet",
        "mobilenet_v1",
        "mobilenet_v2",
        "regnet",
        "resnet",
        "rt_detr_resnet",
        "swin",
        "vit",
    }
)


def require_exportable(network: Network, recipe: Recipe) -> None:
    """Export the untrained network of a family that no test proves, and throw the file away.

    Raises:
        TrainingError: torch cannot export it.
    """
    family = cast("Any", network.backbone).config.model_type
    if family in PROVEN:
        return
    try:
        graph = export.served_graph(network, 1.0)
        export.to_onnx(graph, height=recipe.height, width=recipe.width)
    except TrainingError as error:
        raise TrainingError(
            f"backbones of the family {family!r} cannot be served, so it is not trained: {error}"
        ) from error
