"""`make bench`: what decoding, digests and files cost beside the model, when all is counted."""

import io
import statistics
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from core.bulk.predicting import Task, predict
from core.bulk.scoring import Pace
from core.bundle import files
from core.bundle.engines import Threads, all_cores
from core.bundle.runner import Runner
from tests.tiny import LABELS, forge, picture, tiny_bundle, tiny_model

LEAST = 0.95  # of the engine's raw rate, once decoding is not the limit
IMAGES = 480
BATCH = 8
ROUNDS = 5
WIDTH, DEPTH = 1_600, 300  # of the dead weight: about the work of ResNet50 in bfloat16


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """The tiny bundle with a weight on its leg: it computes as long as a real one."""
    model = tiny_model(LABELS)
    _weigh_down(model)
    folder = tiny_bundle(tmp_path_factory.mktemp("bundles"))
    forge(folder, {files.MODEL: model.SerializeToString()})
    return Runner.open(folder, device="cpu", threads=Threads(1, all_cores()))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of JPEGs so small that decoding costs next to nothing."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(IMAGES):
        file = io.BytesIO()
        Image.fromarray(picture(LABELS[i % 3], size=(16, 16), seed=i)).save(file, "JPEG")
        (folder / f"{i:05}.jpg").write_bytes(file.getvalue())
    return folder


def test_bulk_keeps_the_engine_busy(runner, pictures, tmp_path, capsys):
    """The two take turns in one run, so that whatever else the machine does meets both."""
    cores = all_cores()
    raw, whole = [], []
    for i in range(ROUNDS):
        raw.append(_raw_rate(runner, cores))
        task = Task(pictures, tmp_path / f"{i}.parquet")
        begun = time.perf_counter()
        predict(runner, task, Pace(BATCH, cores, cores))
        whole.append(IMAGES / (time.perf_counter() - begun))

    ratio = statistics.median(whole) / statistics.median(raw)
    with capsys.disabled():
        print(  # noqa: T201
            f"\nbulk: {statistics.median(whole):.0f} images/s, {ratio:.1%} of the engine's "
            f"{statistics.median(raw):.0f}"
        )

    assert ratio >= LEAST


def _raw_rate(runner, threads):
    batch = np.stack([picture("Cat", size=(16, 16), seed=i) for i in range(BATCH)])
    turns = IMAGES // BATCH // threads

    def ask():
        for _ in range(turns):
            runner.run(batch)

    workers = [threading.Thread(target=ask) for _ in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return turns * threads * BATCH / (time.perf_counter() - begun)


def _weigh_down(model: onnx.ModelProto) -> None:
    """Add a chain of products to the logits whose sum is nothing."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.03, (WIDTH, WIDTH)).astype("f4")
    entry = rng.normal(0, 0.3, (48, WIDTH)).astype("f4")
    nodes, last = [helper.make_node("MatMul", ["features", "entry"], ["w0"])], "w0"
    for i in range(1, DEPTH):
        nodes += [
            helper.make_node("MatMul", [last, "weight"], [f"m{i}"]),
            helper.make_node("Tanh", [f"m{i}"], [f"w{i}"]),
        ]
        last = f"w{i}"
    nodes += [
        helper.make_node("ReduceMean", [last], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["light", "zero"], ["logits"]),
    ]
    before = list(model.graph.node)
    for node in before:
        for i, name in enumerate(node.output):
            if name == "logits":
                node.output[i] = "light"
    at = next(i for i, node in enumerate(before) if "light" in node.output)
    del model.graph.node[:]
    model.graph.node.extend([*before[: at + 1], *nodes, *before[at + 1 :]])
    constants = {"weight": weight, "entry": entry, "nothing": np.float32(0)}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
