"""Every family of backbones goes all the way: loaded, cut, exported, at parity, and back again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from transformers import PreTrainedModel

from trainer.networks.architectures import Network, load, load_bundle, weights_bytes
from trainer.networks.export import check_parity, served_graph, to_onnx
from trainer.networks.freezing import freeze_stages

SIZE = 32
IMAGES = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 255


def _resnet(kind: str) -> PreTrainedModel:
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type=kind, num_labels=7
    )
    return hf.ResNetForImageClassification(config)


def _efficientnet() -> PreTrainedModel:
    config = hf.EfficientNetConfig(
        image_size=SIZE,
        width_coefficient=0.25,
        depth_coefficient=0.3,
        hidden_dim=320,
        kernel_sizes=[3, 3],
        in_channels=[32, 16],
        out_channels=[16, 24],
        depthwise_padding=[],
        strides=[1, 2],
        num_block_repeats=[1, 2],
        expand_ratios=[1, 6],
        num_labels=7,
    )
    return hf.EfficientNetForImageClassification(config)


def _convnext() -> PreTrainedModel:
    config = hf.ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 2], num_stages=2, num_labels=7)
    return hf.ConvNextForImageClassification(config)


def _convnext_v2() -> PreTrainedModel:
    config = hf.ConvNextV2Config(hidden_sizes=[8, 12], depths=[1, 2], num_stages=2, num_labels=7)
    return hf.ConvNextV2ForImageClassification(config)


def _mobilenet_v1() -> PreTrainedModel:
    config = hf.MobileNetV1Config(image_size=SIZE, depth_multiplier=0.25, num_labels=7)
    return hf.MobileNetV1ForImageClassification(config)


def _mobilenet_v2() -> PreTrainedModel:
    config = hf.MobileNetV2Config(image_size=SIZE, depth_multiplier=0.25, num_labels=7)
    return hf.MobileNetV2ForImageClassification(config)


def _regnet() -> PreTrainedModel:
    config = hf.RegNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=4, num_labels=7
    )
    return hf.RegNetForImageClassification(config)


_TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "num_labels": 7,
}


def _vit(patch_size: int | tuple[int, int], image_size: int) -> PreTrainedModel:
    facts = _TRANSFORMER | {"image_size": image_size, "patch_size": patch_size}
    return hf.ViTForImageClassification(hf.ViTConfig(**facts, intermediate_size=24))


def _dinov2() -> PreTrainedModel:
    config = hf.Dinov2Config(**_TRANSFORMER, mlp_ratio=2, patch_size=8)
    return hf.Dinov2ForImageClassification(config)


def _dinov3() -> PreTrainedModel:
    config = hf.DINOv3ViTConfig(**_TRANSFORMER, intermediate_size=24, patch_size=8)
    return hf.DINOv3ViTModel(config)


def _dinov3_convnext() -> PreTrainedModel:
    config = hf.DINOv3ConvNextConfig(hidden_sizes=[8, 8, 12, 12], depths=[1, 1, 1, 1])
    return hf.DINOv3ConvNextModel(config)


def _swin() -> PreTrainedModel:
    config = hf.SwinConfig(
        image_size=SIZE,
        patch_size=4,
        embed_dim=8,
        depths=[1, 2],
        num_heads=[2, 2],
        window_size=4,
        num_labels=7,
    )
    return hf.SwinForImageClassification(config)


def _resnet_backbone() -> PreTrainedModel:
    """A checkpoint of the backbone alone, of a family that has a classifier."""
    config = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    return hf.ResNetBackbone(config)


def _detectors_resnet() -> PreTrainedModel:
    """A backbone that `AutoBackbone` alone knows."""
    config = hf.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    return hf.RTDetrResNetBackbone(config)


FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "resnet, basic": lambda: _resnet("basic"),
    "resnet, bottleneck": lambda: _resnet("bottleneck"),
    "efficientnet": _efficientnet,
    "convnext": _convnext,
    "convnext v2": _convnext_v2,
    "mobilenet v1": _mobilenet_v1,
    "mobilenet v2": _mobilenet_v2,
    "regnet": _regnet,
    "vit, oblong patches": lambda: _vit((16, 8), SIZE),
    "vit, another size": lambda: _vit(8, 48),
    "dinov2": _dinov2,
    "dinov3": _dinov3,
    "dinov3 convnext": _dinov3_convnext,
    "swin": _swin,
    "resnet, backbone alone": _resnet_backbone,
    "resnet, of a detector": _detectors_resnet,
}


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda name: name.replace(", ", "-"))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of one family, as the hub would hand it out."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("family")
    FAMILIES[request.param]().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    """Its network, under weights and statistics by which images differ, as training leaves them."""
    network = load(str(folder), image_size=SIZE).network(3)
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.numel():
            torch.nn.init.kaiming_normal_(parameter)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(8, 3, SIZE, SIZE) * 255)
    return network.eval()


class TestFamily:
    """One family of backbones."""

    def test_comes_back_from_its_bundle(self, network: Network, tmp_path: Path):
        """A retraining starts from configuration and weights alone."""
        (tmp_path / "config.json").write_text(json.dumps(network.config(["A", "B", "C"])))
        (tmp_path / "weights.safetensors").write_bytes(weights_bytes(network.state_dict()))

        again = load_bundle(tmp_path, 3).eval()

        with torch.inference_mode():
            assert torch.allclose(again(IMAGES), network(IMAGES), atol=1e-5)

    def test_can_be_frozen_up_to_its_last_stage(self, network: Network):
        """Some of the backbone learns, and most of it does not."""
        freeze_stages(network, 1)

        learning = [p.requires_grad for p in network.backbone.parameters()]
        assert any(learning)
        assert not all(learning)

    def test_is_exported_at_parity(self, folder: Path, network: Network):
        """At batch 1, 3 and 16: the one proof that the exporter can be trusted with it."""
        images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
        graph = served_graph(network, 1.5)

        said, largest = check_parity(graph, to_onnx(graph, height=SIZE, width=SIZE), images)

        assert largest < 1e-3
        assert np.ptp(said.embedding, axis=0).max() > 1e-3
