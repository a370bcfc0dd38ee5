"""What is frozen does not move, and what is thawed does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import TrainingError, UsageError
from tests.training import tiny_backbone
from trainer.config import RetrainOptions, RunConfig
from trainer.fitting.module import ClassifierModule, FitOptions
from trainer.networks.architectures import Network, load
from trainer.networks.freezing import freeze_stages, frozen_modules, gradual_stages, learning_stages


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A tiny network of two stages."""
    return load(str(tiny_backbone(tmp_path)), image_size=16).network(3)


def _learning(network: Network) -> set[str]:
    """Return which parts learn: `embedder`, `stages.0`, `stages.1`, `head`."""
    parts = ("embedder.embedder", "stages.0", "stages.1", "head")
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    return {part for part in parts for name in names if part in name}


class TestFreezeStages:
    """`stages:N`."""

    def test_lets_the_last_stage_and_the_head_learn(self, network: Network):
        """What comes before stays as it was trained."""
        freeze_stages(network, 1)

        assert _learning(network) == {"stages.1", "head"}

    def test_lets_the_head_learn_alone(self, network: Network):
        """Where a gradual thaw begins."""
        freeze_stages(network, 0)

        assert _learning(network) == {"head"}

    def test_nothing_is_frozen_without_a_number(self, network: Network):
        """The default trains everything."""
        freeze_stages(network, 1)
        freeze_stages(network, None)

        assert not list(frozen_modules(network))

    def test_refuses_more_stages_than_there_are(self, network: Network):
        """The message says how many there are."""
        with pytest.raises(TrainingError, match="has 2 stages"):
            freeze_stages(network, 3)


class TestGradual:
    """One stage more with each pass."""

    def test_thaws_from_the_head_to_the_stem(self, network: Network):
        """The stem comes with the first stage, as the last of all."""
        thawed: list[set[str]] = []
        for epoch in range(4):
            freeze_stages(network, gradual_stages(network, epoch))
            thawed.append(_learning(network))

        everything = {"embedder.embedder", "stages.0", "stages.1", "head"}
        assert thawed == [{"head"}, {"head", "stages.1"}, everything, everything]

    def test_moves_what_is_thawed_and_nothing_else(self, network: Network):
        """The optimiser knows all parts from the start, and must leave frozen ones alone."""
        options = FitOptions(3, 1e-2, gradual=True, trainable_stages=0, weight_decay=0.1)
        module = ClassifierModule(network, options, counts=np.array([2, 2, 2]))
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
        images, labels = torch.rand(6, 3, 16, 16) * 255, torch.tensor([0, 1, 2, 0, 1, 2])
        moved: list[set[str]] = []
        for epoch in range(2):
            freeze_stages(network, gradual_stages(network, epoch))
            before = {name: p.detach().clone() for name, p in network.named_parameters()}
            optimizer.zero_grad()
            module.loss(network(images), labels).mean().backward()
            optimizer.step()
            parts = ("embedder.embedder", "stages.0", "stages.1", "head")
            moved.append(
                {
                    part
                    for part in parts
                    for name, p in network.named_parameters()
                    if part in name and not torch.equal(p, before[name])
                }
            )

        assert moved == [{"head"}, {"head", "stages.1"}]

    def test_is_over_when_a_champion_is_retrained(self):
        """One pass of a retraining would otherwise move the head alone."""
        options = RetrainOptions().fit_options({"freeze": "gradual"})

        assert (options.gradual, options.trainable_stages) == (False, None)


class TestLearningStages:
    """The words of `--freeze`."""

    @pytest.mark.parametrize(
        ("spec", "stages"), [("none", None), ("backbone", None), ("stages:2", 2), ("gradual", 0)]
    )
    def test_are_read(self, spec: str, stages: int | None):
        """Four forms, and no other."""
        assert learning_stages(spec) == stages

    @pytest.mark.parametrize("spec", ["all", "stages:0", "stages:x", "stages"])
    def test_others_are_refused(self, spec: str):
        """Before anything is loaded."""
        with pytest.raises(UsageError, match="write none, backbone, stages:N or gradual"):
            RunConfig(freeze=spec)
