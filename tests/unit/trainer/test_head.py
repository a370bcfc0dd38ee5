"""A head on kept features minimises the loss that the run asks for."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import UsageError
from tests.training import tiny_backbone, tiny_sides
from trainer.config import RunConfig
from trainer.fitting.finetune import learn
from trainer.fitting.fit import Epoch
from trainer.fitting.head import HeadData, fit_head
from trainer.fitting.loss import Loss
from trainer.fitting.module import FitOptions
from trainer.images.imbalance import Sampling, logit_offset
from trainer.networks.architectures import Network, load
from trainer.variation.augment import POLICIES

COUNTS = np.array([90, 30, 10])
_OF_THREE = FitOptions(3, 5e-3, batch_size=8, device="cpu")


class KilledError(Exception):
    """Stands for whatever ended the process."""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A tiny network with three classes."""
    return load(str(tiny_backbone(tmp_path)), image_size=16).network(3)


@pytest.fixture
def data() -> HeadData:
    """Three classes that overlap, one common and one rare."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), COUNTS)
    features = (rng.normal(size=(130, 16)) + labels[:, None] * 0.4).astype(np.float32)
    return HeadData(features, labels, np.ones(130), features, labels)


class TestFitHead:
    """`fit_head`."""

    def test_is_told_step_by_step_and_makes_no_passes(self, network: Network, data: HeadData):
        """A cancel, or SIGTERM, is heard in the midst of a fit."""
        told: list[tuple[str, int, int]] = []

        facts = fit_head(
            network, data, weight_decays=[1.0, 0.1], on_progress=lambda *each: told.append(each)
        ).facts()

        assert told[0] == ("fitting the head", 0, 2)
        assert told[-1] == ("fitting the head", 2, 2)
        assert len(told) > 5
        assert facts.keys() == {"val_accuracy", "head_decay"}


class TestLearn:
    """`learn` with a frozen backbone."""

    def test_reports_stages_and_counts_the_features_time(self, network: Network, tmp_path: Path):
        """They are what such a run takes; a comparison that leaves them out ranks heads."""
        stages: list[str] = []

        def slow(stage: str, _done: int, _total: int) -> None:
            time.sleep(0.2 if stage.startswith("computing features") else 0.0)
            stages.append(stage)

        options = FitOptions(1, 1e-3, device="cpu")
        sides = tiny_sides(tmp_path)
        report = learn(network, sides, freeze="backbone", options=options, on_progress=slow)

        assert {"computing features", "fitting the head"} <= set(stages)
        assert report.seconds > 0.2


class TestHeadFirst:
    """`--head-first`: the head is fitted before everything learns."""

    def test_the_passes_begin_with_the_best_head_of_the_backbone(
        self, network: Network, tmp_path: Path
    ):
        """At a rate that moves nothing, what comes out is the head on a frozen backbone."""
        sides, twin = tiny_sides(tmp_path), copy.deepcopy(network)
        options = FitOptions(1, 1e-12, device="cpu", augment=POLICIES["none"])
        alone = learn(twin, sides, freeze="backbone", options=options)
        report = learn(network, sides, freeze="stages:1", options=replace(options, head_first=True))

        assert (alone.epochs, report.epochs) == (0, 1)
        assert torch.allclose(network.head.weight, twin.head.weight, atol=1e-6)
        assert torch.allclose(network.head.bias, twin.head.bias, atol=1e-6)

    def test_a_run_that_was_killed_is_gone_on_with(self, network: Network, tmp_path: Path):
        """The head is the same again, so the checkpoint is known by it."""
        sides, twin = tiny_sides(tmp_path), copy.deepcopy(network)
        again, options = copy.deepcopy(network), replace(_OF_THREE, head_first=True)
        (tmp_path / "whole").mkdir()
        elsewhere = replace(sides, folder=tmp_path / "whole")
        whole = learn(twin, elsewhere, freeze="none", options=options)

        def end(epoch: Epoch) -> None:
            if epoch.number == 2:
                raise KilledError

        with pytest.raises(KilledError):
            learn(network, sides, freeze="none", options=options, on_epoch=end)
        resumed = learn(again, sides, freeze="none", options=options)

        assert (resumed.resumed_after, whole.resumed_after) == (1, 0)
        assert all(
            torch.equal(one, other)
            for one, other in zip(
                again.state_dict().values(), twin.state_dict().values(), strict=True
            )
        )

    @pytest.mark.parametrize(
        "run",
        [
            {"freeze": "backbone"},
            {"freeze": "gradual"},
            {"from_scratch": True},
            {"devices": 2},
        ],
    )
    def test_is_refused_where_it_means_nothing(self, run: dict[str, Any]):
        """By name, before an hour is spent."""
        with pytest.raises(UsageError, match="head_first"):
            RunConfig(**run, head_first=True)

    def test_random_weights_have_no_statistics_to_keep(self):
        """They come with the weights."""
        with pytest.raises(UsageError, match="keep_statistics"):
            RunConfig(from_scratch=True, keep_statistics=True)


class TestLossOfTheHead:
    """What `--logit-adjustment` and `--label-smoothing` do with a frozen backbone."""

    def test_adjusted_logits_move_the_intercepts_by_the_prior(
        self, network: Network, data: HeadData
    ):
        """Intercepts are free, so the optimum is the plain one with the prior taken off."""
        offset = logit_offset(COUNTS, Sampling("natural"), 1.0)
        plain = fit_head(network, data, weight_decays=[1e-2]).val_logits

        adjusted = fit_head(
            network, replace(data, loss=Loss(offset)), weight_decays=[1e-2]
        ).val_logits

        moved = adjusted - plain + offset
        assert np.abs(moved - moved.mean(axis=1, keepdims=True)).max() < 0.02

    def test_adjusted_logits_find_more_of_the_rare_class(self, network: Network, data: HeadData):
        """Which is what they are for."""
        rare = data.labels == 2
        offset = logit_offset(COUNTS, Sampling("natural"), 1.0)

        found = [
            fit_head(network, replace(data, loss=loss), weight_decays=[0.1]).val_logits.argmax(1)
            for loss in (Loss(), Loss(offset))
        ]

        assert (found[1][rare] == 2).mean() > (found[0][rare] == 2).mean()

    def test_smoothed_labels_make_it_less_sure(self, network: Network, data: HeadData):
        """A share of every label goes to the other classes."""
        sure = [
            torch.from_numpy(
                fit_head(network, replace(data, loss=loss), weight_decays=[1e-5]).val_logits
            )
            .softmax(1)
            .amax(1)
            .mean()
            for loss in (Loss(), Loss(label_smoothing=0.3))
        ]

        assert float(sure[1]) < float(sure[0])
