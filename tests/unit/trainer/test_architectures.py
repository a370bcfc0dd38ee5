"""Any image classifier becomes a backbone, and a bundle becomes a network again."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedModel,
    ResNetBackbone,
    ResNetConfig,
    ViTConfig,
    ViTForImageClassification,
)

from core.errors import BundleError, TrainingError
from core.images.preprocess import Recipe
from tests.training import tiny_backbone
from trainer.networks.architectures import Network, load, load_bundle, stages, weights_bytes

IMAGES = torch.rand(2, 3, 32, 32) * 255


def _saved(model: PreTrainedModel, folder: Path, **processing: object) -> str:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processing))
    return str(folder)


def _vit(folder: Path, patch_size: int | tuple[int, int] = 16) -> str:
    config = ViTConfig(
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=32,
        patch_size=patch_size,
        num_labels=7,
    )
    size = {"height": 32, "width": 32}
    return _saved(ViTForImageClassification(config), folder, size=size, image_mean=[0.5] * 3)


def _convnext(folder: Path) -> str:
    config = ConvNextConfig(
        hidden_sizes=[4, 8, 12, 16], depths=[1, 1, 1, 1], drop_path_rate=0.0, num_labels=7
    )
    return _saved(
        ConvNextForImageClassification(config), folder, size={"shortest_edge": 224}, crop_pct=0.875
    )


class TestLoad:
    """A backbone by folder."""

    def test_answers_pooled_features_in_place_of_classes(self, tmp_path: Path):
        """The head is ours, whatever the backbone was trained to tell apart."""
        backbone = load(str(tiny_backbone(tmp_path)), image_size=32)

        network = backbone.network(classes=4).eval()

        assert network.features(IMAGES).shape == (2, 16)
        assert network(IMAGES).shape == (2, 4)

    def test_takes_transformers_too(self, tmp_path: Path):
        """Not only ResNets end in a linear layer."""
        backbone = load(_vit(tmp_path))

        assert backbone.width == 12
        assert backbone.mean == (0.5, 0.5, 0.5)
        assert backbone.recipe == Recipe(32, 32, resize=None)

    def test_takes_the_weights_of_a_backbone_without_classifier(self, tmp_path: Path):
        """A checkpoint that `AutoBackbone` wrote: all of its numbers, none of them random."""
        config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        written = ResNetBackbone(config)
        written.save_pretrained(tmp_path)

        loaded = load(str(tmp_path), image_size=32).model.state_dict()

        assert all(
            torch.equal(loaded[f"resnet.{name}"], each)
            for name, each in written.state_dict().items()
        )

    def test_refuses_weights_that_are_not_the_architectures(self, tmp_path: Path):
        """What is lacking would be filled in with random numbers, without a word."""
        folder = tiny_backbone(tmp_path)
        weights = load_file(folder / "model.safetensors")
        save_file({f"other.{name}": each for name, each in weights.items()},
                  folder / "model.safetensors", metadata={"format": "pt"})  # fmt: skip

        with pytest.raises(TrainingError, match=r"9\d % of its numbers would be random.*scratch"):
            load(str(folder))

    def test_names_the_package_that_a_backbone_takes(self, tmp_path: Path):
        """The models of timm come through transformers, and take timm."""
        config = {"model_type": "timm_wrapper", "architecture": "resnet18", "num_classes": 7}
        (tmp_path / "config.json").write_text(json.dumps(config))

        with pytest.raises(TrainingError, match=r"a package that is not installed: .*timm"):
            load(str(tmp_path), from_scratch=True)

    def test_reads_a_recipe_that_is_told_by_crop_percentage(self, tmp_path: Path):
        """ConvNeXt and older ResNets say 224 and mean: scale to 256, cut out 224."""
        assert load(_convnext(tmp_path)).recipe == Recipe(224, 224, resize=256)

    def test_reads_a_recipe_that_is_told_by_crop_size(self, tmp_path: Path):
        """The usual form, with another filter."""
        processing = {
            "size": {"shortest_edge": 40},
            "do_center_crop": True,
            "crop_size": {"height": 32, "width": 32},
            "resample": 3,
        }
        folder = tiny_backbone(tmp_path)
        (folder / "preprocessor_config.json").write_text(json.dumps(processing))

        assert load(str(folder)).recipe == Recipe(32, 32, resize=40, interpolation="bicubic")

    def test_falls_back_to_the_recipe_of_imagenet(self, tmp_path: Path):
        """A folder without a preprocessor's configuration is no error."""
        assert load(str(tiny_backbone(tmp_path))).recipe == Recipe(224, 224, resize=256)

    def test_an_image_size_overrules_the_backbones_own(self, tmp_path: Path):
        """Small pictures gain nothing from being blown up."""
        backbone = load(str(tiny_backbone(tmp_path)), image_size=64)

        assert backbone.recipe == Recipe(64, 64, resize=64)

    def test_the_default_needs_no_network_from_scratch(self):
        """A machine that is cut off can still train."""
        assert load("microsoft/resnet-50", from_scratch=True, image_size=64).width == 2048

    def test_from_scratch_takes_the_architecture_only(self, tmp_path: Path):
        """Random weights, yet the shape of the folder's model."""
        folder = str(tiny_backbone(tmp_path))
        kept, fresh = load(folder).model, load(folder, from_scratch=True).model

        name = "resnet.embedder.embedder.convolution.weight"

        assert kept.state_dict()[name].shape == fresh.state_dict()[name].shape
        assert not torch.equal(kept.state_dict()[name], fresh.state_dict()[name])

    def test_says_that_a_backbone_cannot_be_had(self, tmp_path: Path):
        """No folder and no hub: the owner learns which name was meant."""
        with pytest.raises(TrainingError, match="no-such-folder"):
            load(str(tmp_path / "no-such-folder"))

    def test_interpolates_a_transformers_positions_for_another_size(self, tmp_path: Path):
        """They are made for one size; what is learnt there is a start for any other."""
        network = load(_vit(tmp_path), image_size=48).network(4).eval()

        assert network.features(torch.rand(2, 3, 48, 48)).shape == (2, 12)

    def test_refuses_a_size_that_the_backbone_does_not_take(self, tmp_path: Path):
        """Positions of patches that are not square are known at their own size only."""
        with pytest.raises(TrainingError, match="does not take images of 48 x 48"):
            load(_vit(tmp_path, patch_size=(16, 8)), image_size=48)

    def test_takes_the_size_from_the_model_where_no_preprocessor_says_it(self, tmp_path: Path):
        """A model trained at 32 x 32 is no use at 224."""
        folder = Path(_vit(tmp_path))
        (folder / "preprocessor_config.json").unlink()

        assert load(str(folder)).recipe == Recipe(32, 32, resize=32)

    def test_takes_a_model_that_never_had_a_classifier(self, tmp_path: Path):
        """DINOv3 comes as features alone."""
        config = DINOv3ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            image_size=32,
            patch_size=8,
        )
        DINOv3ViTModel(config).save_pretrained(tmp_path)

        backbone = load(str(tmp_path))

        assert backbone.network(4).eval()(IMAGES).shape == (2, 4)
        assert len(stages(backbone.model)[1]) == 2


class TestNetwork:
    """Normalisation, backbone, head."""

    def test_normalises_bytes_as_the_backbone_was_trained(self, tmp_path: Path):
        """The same numbers as (x / 255 - mean) / std outside."""
        network = load(str(tiny_backbone(tmp_path)), image_size=32).network(3).eval()
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

        by_hand = network.backbone((IMAGES / 255 - mean) / std).logits

        assert torch.allclose(network.features(IMAGES), by_hand, atol=1e-5)


class TestLoadBundle:
    """The champion's network, from its bundle."""

    @pytest.fixture
    def network(self, tmp_path: Path) -> Network:
        """A network with three classes."""
        return load(str(tiny_backbone(tmp_path)), image_size=32).network(3).eval()

    def _write(self, network: Network, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(network.config(["A", "B", "C"])))
        (folder / "weights.safetensors").write_bytes(weights_bytes(network.state_dict()))

    def test_is_the_network_that_was_written(self, network: Network, tmp_path: Path):
        """A retraining starts from exactly what serves."""
        self._write(network, tmp_path / "v1")

        loaded = load_bundle(tmp_path / "v1", 3).eval()

        assert torch.equal(loaded(IMAGES), network(IMAGES))

    def test_refuses_weights_for_other_classes(self, network: Network, tmp_path: Path):
        """Weights and labels that do not belong together are noticed."""
        self._write(network, tmp_path / "v1")

        with pytest.raises(BundleError, match="cannot be loaded"):
            load_bundle(tmp_path / "v1", 4)

    def test_refuses_a_pickle_in_place_of_the_weights(self, network: Network, tmp_path: Path):
        """Nothing in a bundle is executed."""
        self._write(network, tmp_path / "v1")
        torch.save({"x": torch.zeros(1)}, tmp_path / "v1" / "weights.safetensors")

        with pytest.raises(BundleError, match="cannot be loaded"):
            load_bundle(tmp_path / "v1", 3)


class TestHub:
    """A backbone by its name on a hub."""

    def test_says_of_which_commit_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """The newest of today is another one tomorrow."""
        commit = "a" * 40
        place = tmp_path / "hub" / "models--org--tiny"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text(commit)
        folder = tiny_backbone(tmp_path)
        shutil.copytree(folder, place / "snapshots" / commit)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

        assert load("org/tiny", image_size=32).commit == commit
        assert load("org/tiny", revision=commit, image_size=32).commit == commit
        assert load(str(folder), image_size=32).commit is None
        with pytest.raises(TrainingError, match="no hub that can be reached"):
            load("org/tiny", revision="b" * 40, image_size=32)


class TestStages:
    """What `stages:N` counts."""

    def test_are_a_resnets_stages(self, tmp_path: Path):
        """Not the blocks inside one, though those lie in lists too."""
        name, modules = stages(load(str(tiny_backbone(tmp_path))).model)

        assert (name, len(modules)) == ("resnet.encoder.stages", 2)

    def test_are_a_transformers_layers(self, tmp_path: Path):
        """Where there are no stages, layers are counted."""
        _, modules = stages(load(_vit(tmp_path)).model)

        assert len(modules) == 2

    def test_a_model_without_any_says_what_to_do(self):
        """It can be frozen as a whole only."""
        with pytest.raises(TrainingError, match="none or backbone"):
            stages(torch.nn.Linear(2, 2))
