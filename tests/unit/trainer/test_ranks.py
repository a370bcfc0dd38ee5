"""Many devices share out a training, and come to what one of them comes to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import UsageError
from core.store.images import Sample
from tests.two_ranks import figures
from trainer import ranks
from trainer.config import RunConfig
from trainer.images.dataset import Batches, Pixels
from trainer.ranks import Rank


def _pixels(n: int) -> Pixels:
    samples = tuple(Sample(i, "", f"{i:064x}", "", "train") for i in range(n))
    images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1).repeat(3, axis=3)
    return Pixels(samples, np.zeros(n, dtype=np.int64), images, np.arange(n), ())


def _drawn(n: int, rank: Rank, *, train: bool = True) -> list[list[int]]:
    weights = np.ones(n) if train else None
    batches = Batches(_pixels(n), batch_size=8, weights=weights, seed=3, rank=rank)
    found = [images[:, 0, 0, 0].tolist() for images, _ in batches]
    assert len(found) == len(batches)
    return found


class TestBatches:
    """Who gets which images."""

    def test_two_ranks_have_together_what_one_would_have(self):
        """A step means the same, however many devices carry it out."""
        alone = _drawn(48, Rank())

        first, second = (_drawn(48, Rank(number, 2, 2)) for number in (0, 1))

        together = [sorted([*a, *b]) for a, b in zip(first, second, strict=True)]
        assert together == [sorted(batch) for batch in alone]

    @pytest.mark.parametrize("n", [17, 25, 26, 33, 41])
    def test_all_ranks_have_as_many_to_learn_from(self, n: int):
        """One that had a batch more would wait for ever for the others' gradients."""
        sizes = [[len(batch) for batch in _drawn(n, Rank(number, 2, 2))] for number in (0, 1)]

        assert sizes[0] == sizes[1]
        assert min(sizes[0]) > 1

    def test_every_validation_image_is_judged_once(self):
        """Left-over ones too."""
        shares = [_drawn(21, Rank(number, 2, 2), train=False) for number in (0, 1)]

        assert sorted(i for share in shares for batch in share for i in batch) == list(range(21))

    def test_gathered_ahead_are_the_same_batches(self):
        """A second thread must change when they are made, and nothing else."""
        known = {"batch_size": 8, "weights": np.ones(30), "seed": 3}
        batches, ahead = (Batches(_pixels(30), ahead=each, **known) for each in (False, True))

        for number in (4, 0):
            begun = iter(ahead)
            # As Lightning has it: the pass is named when its batches were asked for already.
            ahead.begin(number)
            batches.begin(number)
            for (images, _), (expected, _) in zip(begun, batches, strict=True):
                assert torch.equal(images, expected)

    @pytest.mark.parametrize("n", [1, 2, 9, 17])
    def test_no_image_is_alone_in_a_batch(self, n: int):
        """Batch normalisation has no variance of one."""
        sizes = [len(batch) for batch in _drawn(n, Rank())]

        assert sum(sizes) == n
        assert n == 1 or min(sizes) > 1


class TestTogether:
    """`--devices` and `--nodes`."""

    def test_says_how_to_start_more_than_one_process(self):
        """Lightning would start the command again by itself, and train twice."""
        with (
            pytest.raises(UsageError, match=r"torchrun --nnodes 1 --nproc-per-node 2"),
            ranks.together(2, 1),
        ):
            pass

    def test_one_process_agrees_with_itself(self):
        """Without torchrun nothing is shared."""
        rows = torch.arange(4)

        with ranks.together(1, 1) as rank:
            assert (rank, ranks.agreed("x")) == (Rank(), "x")
            assert torch.equal(ranks.interleaved(rows), rows)

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"batch_size": 9}, "batch_size 9 cannot be shared evenly by 2"),
            ({"freeze": "backbone"}, "freeze backbone is for one device"),
            ({"freeze": "gradual"}, "freeze gradual is for one device"),
            ({"strategy": "fsdp"}, "strategy 'fsdp' is unknown"),
            ({"nodes": 0}, "nodes 0 must be 1 or more"),
        ],
    )
    def test_what_cannot_be_shared_is_refused(self, options: dict[str, object], complaint: str):
        """Before any of the processes has begun."""
        with pytest.raises(UsageError, match=complaint):
            RunConfig(**({"devices": 2} | options))  # type: ignore[arg-type]


class TestTwoProcesses:
    """Two real processes, under torchrun, over gloo."""

    def test_come_to_the_figures_of_one(self, tmp_path: Path):
        """Otherwise a version would depend on the machine that was free."""
        words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        words += ["--nproc-per-node", "2", "-m", "tests.two_ranks", str(tmp_path)]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
        assert ended.returncode == 0, ended.stderr[-3000:]
        first, second = (
            json.loads((tmp_path / f"rank-{number}.json").read_text()) for number in (0, 1)
        )

        alone = figures(tmp_path, devices=1)

        assert first["pid"] != second["pid"]
        assert first["told"] == second["told"] == "by rank 0"
        for name in ("val_accuracy", "val_logits", "head", "losses"):
            assert np.allclose(first[name], second[name], atol=1e-6), name
        assert first["val_accuracy"] == pytest.approx(alone["val_accuracy"], abs=1e-3)
        # Where the processor computes in bfloat16, two logits of 1 lie 0.008 apart.
        assert np.allclose(first["val_logits"], alone["val_logits"], atol=2e-2)
        assert np.allclose(first["losses"], alone["losses"], atol=1e-3)
        assert alone["val_accuracy"] > 0.6
