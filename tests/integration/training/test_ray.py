"""Training and searching on a Ray cluster that is started here, and ends with the tests."""

from __future__ import annotations

import functools
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine
from transformers import ConvNextConfig, ConvNextForImageClassification
from transformers.utils import logging as transformers_logging

from core.clock import FixedClock
from core.errors import ParityError, TrainingError, UsageError
from tests.dying_rank import one_rank
from tests.training import NOW, add, tiny_config
from trainer import cluster, pipeline, ray_ranks
from trainer.cluster import Size
from trainer.config import RunConfig
from trainer.fitting.fit import Epoch
from trainer.pipeline import TrainResult
from trainer.search import parallel
from trainer.search.search_space import parse
from trainer.search.tune import Plan

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
    # Ray calls what it has deprecated itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def size() -> Iterator[Size]:
    """A cluster of two cores or more, for all tests of this module."""
    with cluster.joined(2) as size:
        yield size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures, runs and bundles lie."""
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def config(module_engine: Engine, folder: Path) -> RunConfig:
    """A run of five passes without chance in it: no variation, no batch statistics."""
    add(module_engine, folder / "pool", per_side={"train": 8, "val": 6, "test": 6})
    transformers_logging.disable_progress_bar()
    torch.manual_seed(0)
    shape = ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, num_labels=5)
    ConvNextForImageClassification(shape).save_pretrained(folder / "convnext")
    return tiny_config(
        folder / "convnext",
        epochs=5,
        patience=None,
        augment="none",
        variants="",
        devices=2,
        strategy="ray",
    )


@pytest.fixture(scope="module")
def resumed(
    module_engine: Engine, folder: Path, config: RunConfig, size: Size
) -> tuple[str, TrainResult, list[Epoch]]:
    """What was said of a run whose second process was killed, and what the next came to."""
    url = module_engine.url.render_as_string(hide_password=False)
    dying = functools.partial(one_rank, url, config, folder, 2)
    with pytest.raises(TrainingError) as caught:
        ray_ranks.on_ranks(dying, config, size, runs=folder / "runs")
    heard: list[Epoch] = []
    result = ray_ranks.train(
        module_engine,
        config,
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
        on_epoch=heard.append,
    )
    return str(caught.value), result, heard


# Ray reads once in a process how it shows who it is: the cluster with a secret has to come first.
@pytest.mark.usefixtures("size")
class TestRayAddress:
    """What is said before anything is started."""

    def test_names_the_extra_that_is_missing(self, monkeypatch: pytest.MonkeyPatch):
        """Ray is large, and most do without."""
        monkeypatch.setitem(sys.modules, "ray", None)

        with pytest.raises(UsageError, match=r"pip install 'weakspot\[ray\]'"), cluster.joined(1):
            pass

    @pytest.mark.parametrize(
        ("address", "complaint"),
        [
            ("127.0.0.1:1", "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1"),
            ("ray://head:10001", "is no address such as"),
            ("head", "is no address such as"),
        ],
    )
    def test_an_address_that_does_not_answer_is_named(
        self, monkeypatch: pytest.MonkeyPatch, address: str, complaint: str
    ):
        """Ray itself would ask there for five minutes."""
        monkeypatch.setenv("RAY_ADDRESS", address)

        with pytest.raises(UsageError, match=complaint), cluster.joined(1):
            pass


class TestRoom:
    """What a cluster must have, asked before it is asked for it."""

    @pytest.mark.parametrize(
        ("options", "size", "complaint"),
        [
            ({"devices": 4}, Size((2,), 0), "take as many cores, .* cluster have 2"),
            ({"nodes": 2}, Size((4,), 0), "on each of 2 nodes .* cluster have 4"),
            ({"device": "auto"}, Size((8,), 1), "are 2 GPUs, and the Ray cluster has 1"),
        ],
    )
    def test_what_is_not_there_is_refused(
        self, options: dict[str, object], size: Size, complaint: str, tmp_path: Path
    ):
        """Ray would wait for it."""
        config = RunConfig(**({"devices": 2, "device": "cpu"} | options))  # type: ignore[arg-type]

        with pytest.raises(UsageError, match=complaint):
            ray_ranks.on_ranks(dict, config, size, runs=tmp_path)

    def test_an_error_made_of_more_than_words_arrives_in_words(self):
        """It could not be made again where it is to be read."""
        arrived = cluster.portable(ParityError(2.0, 1e-3))

        assert (type(arrived), str(arrived)) == (
            TrainingError,
            "largest logit difference 2.00e+00 exceeds 1.00e-03",
        )


class TestCluster:
    """The cluster that is started here."""

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_listens_on_loopback_addresses_alone(self, size: Size):
        """Whoever reaches one of Ray's ports may run code."""
        assert size.cpus[0] >= 2

        addresses = {address for pid in _descendants() for address in _listening(pid)}

        assert addresses
        assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}


class TestTrain:
    """`weakspot train --strategy ray --devices 2`."""

    def test_a_process_that_dies_ends_the_run_and_is_named(
        self, resumed: tuple[str, TrainResult, list[Epoch]]
    ):
        """The others would wait for it for ever."""
        said, _, _ = resumed

        assert "of the training, counted from 0 to 1, ended before its time" in said
        assert "the same words once more go on from the last whole pass" in said

    def test_the_same_run_goes_on_from_its_last_whole_pass(
        self, resumed: tuple[str, TrainResult, list[Epoch]], folder: Path
    ):
        """Hours of many devices are not lost with one of them."""
        _, result, heard = resumed

        assert result.resumed_after >= 2
        assert [epoch.number for epoch in heard] == list(range(result.resumed_after + 1, 6))
        assert not list((folder / "runs").glob("*-*"))

    def test_two_workers_come_to_the_figures_of_one_process(
        self,
        resumed: tuple[str, TrainResult, list[Epoch]],
        module_engine: Engine,
        folder: Path,
        config: RunConfig,
    ):
        """Otherwise a version would depend on the machines that were free."""
        _, shared, _ = resumed
        alone = pipeline.train(
            module_engine,
            replace(config, devices=1, strategy="auto"),
            bundles=folder / "bundles",
            runs=folder / "runs",
            clock=FixedClock(NOW),
        )

        for side in ("val", "test"):
            for name in ("top1", "macro_f1", "auroc", "ece"):
                assert shared.metrics[side][name] == pytest.approx(
                    alone.metrics[side][name], abs=1e-3
                ), (side, name)
        both = [_passes(folder / "bundles" / each.version) for each in (shared, alone)]
        assert len(both[0]) == 5
        for one, other in zip(*both, strict=True):
            assert one == pytest.approx(other, abs=1e-3)


class TestSearch:
    """`weakspot tune --parallel 2`."""

    def test_two_processes_search_together(
        self, module_engine: Engine, folder: Path, config: RunConfig, size: Size
    ):
        """Half the time, and one search."""
        base = replace(config, devices=1, strategy="auto", epochs=1)
        space = parse({"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}, base)
        at_once: list[int] = []
        asked = threading.Lock()

        def look(stage: str, _done: int, _total: int) -> None:
            with asked:
                assert stage.startswith("trial ")
                at_once.append(sum("_search_here" in _title(pid) for pid in _descendants()))

        found = parallel.search(
            module_engine,
            base,
            space,
            Plan("parallel", 4, prune=False),
            processes=2,
            runs=folder / "runs",
            clock=FixedClock(NOW),
            on_progress=look,
        )

        assert size.cpus
        assert {each.state for each in found.trials} == {"COMPLETE"}
        assert 4 <= len(found.trials) <= 5
        assert len({each.options["learning_rate"] for each in found.trials}) == len(found.trials)
        assert max(at_once) == 2

    def test_more_trials_at_once_than_cores_are_refused(
        self, module_engine: Engine, folder: Path, config: RunConfig, size: Size
    ):
        """On a cluster that is there already; one that is started here is given as many."""
        base = replace(config, devices=1, strategy="auto", epochs=1)
        many = sum(size.cpus) + 1
        space = parse({"learning_rate": [1e-4, 1e-3]}, base)

        with pytest.raises(UsageError, match=f"{many} trials at once take as many cores"):
            parallel.search(
                module_engine,
                base,
                space,
                Plan("too many", many),
                processes=many,
                runs=folder / "runs",
                clock=FixedClock(NOW),
            )


def _passes(bundle: Path) -> list[list[float]]:
    manifest = json.loads((bundle / "manifest.json").read_text())
    return [[each["train_loss"], each["val_loss"]] for each in manifest["training"]["passes"]]


def _descendants() -> list[int]:
    """Return the processes that this one has started, and those that they have."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [int(Path("/proc/self").resolve().name)]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _listening(pid: int) -> set[str]:
    """Return the addresses that a process listens on, as /proc has them."""
    inodes: set[str] = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            inodes.add(str(descriptor.readlink()))
        except OSError:
            continue
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {
        row[1].partition(":")[0]
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    }
