"""A head on kept features minimises the loss that the run asks for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import tiny_backbone, tiny_sides
from trainer.fitting.finetune import learn
from trainer.fitting.head import HeadData, fit_head
from trainer.fitting.loss import Loss
from trainer.fitting.module import FitOptions
from trainer.images.imbalance import Sampling, logit_offset
from trainer.networks.architectures import Network, load

COUNTS = np.array([90, 30, 10])


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
