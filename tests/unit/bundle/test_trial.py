"""A bundle is tried where it can do no harm, and the fastest engine that agrees is chosen."""

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.bundle import files, trial
from core.bundle.trial import Limits, Measurement, Task, Trial, try_out
from core.errors import BundleError
from tests.tiny import tiny_bundle
from tests.tiny_conv import add_int8, conv_bundle, conv_model, pictures, unloadable_model
from trainer.bundling.quantize import to_int8

QUICK = Task("cpu", callers=1, max_batch_size=2, seconds=0.05)


class TestTryOut:
    """What comes back from the child."""

    def test_chooses_the_fastest_of_those_that_agree(self, tmp_path):
        """The choice is a measurement, and its reasons are told."""
        found = try_out(tiny_bundle(tmp_path), QUICK)

        ran = [each for each in found.measurements if each.images_per_s is not None]
        assert found.chosen.images_per_s == max(each.images_per_s for each in ran)
        assert found.chosen.passed_over is None
        assert all(each.passed_over for each in found.measurements if each != found.chosen)
        assert {each.engine for each in ran} >= {"onnxruntime-fp32", "openvino-fp32"}

    def test_tries_only_the_engine_that_is_asked_for(self, tmp_path):
        """A pinned engine is a decision; nothing else is timed."""
        task = Task("cpu", seconds=0.05, engine="onnxruntime-fp32")

        found = try_out(tiny_bundle(tmp_path), task)

        assert [each.engine for each in found.measurements] == ["onnxruntime-fp32"]

    def test_hands_on_the_words_of_a_refusal(self, tmp_path):
        """The reason is found in the child and read by a person out here."""
        folder = tiny_bundle(tmp_path)
        (folder / files.MODEL).write_bytes(b"")

        with pytest.raises(BundleError, match=r"model\.onnx was altered"):
            try_out(folder, QUICK)

    def test_ends_a_graph_that_does_not_end(self, tmp_path):
        """An endless loop in a model must not become one in the service."""
        folder = _bundle_with(tmp_path, _endless)
        begun = time.monotonic()

        with pytest.raises(BundleError, match="not loaded and tried within 3 s"):
            try_out(folder, QUICK, Limits(seconds=3))

        assert time.monotonic() - begun < 8

    def test_ends_a_graph_that_asks_for_all_memory(self, tmp_path):
        """400 GB in one constant: the child fails, and this process lives on."""
        folder = _bundle_with(tmp_path, _gigantic)

        with pytest.raises(BundleError):
            try_out(folder, QUICK, Limits(seconds=60))

    def test_survives_the_death_of_the_child(self, tmp_path, monkeypatch):
        """A runtime that crashes takes its process with it; it must not be this one."""
        monkeypatch.setattr(trial.sys, "executable", _script(tmp_path, "kill -SEGV $$"))

        with pytest.raises(BundleError, match="ended the process that tried it, by signal 11"):
            try_out(tmp_path, QUICK)

    def test_gives_the_child_no_secrets(self, tmp_path, monkeypatch):
        """A hostile graph could look for the database's password."""
        monkeypatch.setenv("WEAKSPOT_DATABASE_URL", "postgresql://user:secret@host/db")
        seen = tmp_path / "seen"
        monkeypatch.setattr(trial.sys, "executable", _script(tmp_path, f"env > {seen}; exit 3"))

        with pytest.raises(BundleError, match="exit 3"):
            try_out(tmp_path, QUICK)

        assert "secret" not in seen.read_text()
        assert "PATH=" in seen.read_text()


class TestQuantised:
    """A bundle that has a graph in integers too."""

    def test_is_timed_beside_the_others(self, tmp_path):
        """Where it is the fastest it serves; nobody has to ask for it."""
        found = _found(conv_bundle(tmp_path, with_int8=True))

        assert found["onnxruntime-int8"].images_per_s
        assert found["onnxruntime-int8"].agreement >= trial.LEAST_QUANTISED_AGREEMENT

    def test_is_not_tried_where_there_is_none(self, tmp_path):
        """Most bundles have none, and need no reason for it in every log."""
        assert "onnxruntime-int8" not in _found(conv_bundle(tmp_path))

    @pytest.mark.parametrize("seed", [1, 2])
    def test_of_another_model_does_not_serve(self, tmp_path, seed):
        """A processor that overflows looks like this: other answers, and nothing raised."""
        other = to_int8(conv_model(seed=seed).SerializeToString(), pictures(24))
        folder = add_int8(conv_bundle(tmp_path), other)

        found = _found(folder)

        assert found["onnxruntime-int8"].passed_over
        assert found["onnxruntime-fp32"].deviation == 0

    def test_with_wrong_answers_in_range_does_not_serve(self, tmp_path):
        """The verdict may allow far logits; the answers must be those of float32 nevertheless."""
        other = to_int8(conv_model(seed=1).SerializeToString(), pictures(24))
        folder = add_int8(conv_bundle(tmp_path), other, largest_logit_difference=1e3)

        assert "agrees with onnxruntime-fp32 on" in _found(folder)["onnxruntime-int8"].passed_over

    def test_that_cannot_be_loaded_leaves_the_others_to_serve(self, tmp_path):
        """F16 for a variant: a runtime too old for its operators still serves in float32."""
        found = _found(add_int8(conv_bundle(tmp_path), unloadable_model()))

        assert "cannot be loaded" in found["onnxruntime-int8"].passed_over
        assert any(each.passed_over is None for each in found.values())

    def test_that_does_not_end_ends_the_trial(self, tmp_path):
        """S10 for a variant: the child dies of it, and the version that serves goes on."""
        model = conv_model()
        _endless(model)
        folder = add_int8(conv_bundle(tmp_path), model.SerializeToString())

        with pytest.raises(BundleError, match="not loaded and tried within 3 s"):
            try_out(folder, QUICK, Limits(seconds=3))

    def test_is_never_handed_to_openvino(self, tmp_path):
        """OpenVINO answers wrongly there without a word; it is given float32, as ever."""
        other = to_int8(conv_model(seed=1).SerializeToString(), pictures(24))
        folder = add_int8(conv_bundle(tmp_path), other)

        assert _found(folder)["openvino-fp32"].deviation < 1e-3


class TestTrial:
    """What is kept of it."""

    def test_comes_back_from_json_as_it_went(self):
        """It crosses from one process to another."""
        found = Trial(
            "openvino-bf16",
            (
                Measurement("openvino-bf16", 50.0, 0.07, 1.0),
                Measurement("openvino-f16", passed_over="this processor does not compute in f16"),
            ),
        )

        assert Trial.from_json(found.to_json()) == found


def _found(folder):
    """Return what a trial in this process finds, by engine."""
    return {each.engine: each for each in trial.measure(folder, QUICK).measurements}


def _script(folder, commands):
    """Return a program that stands in for Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return str(path)


def _bundle_with(parent, spoil):
    """Return a bundle whose digests fit a graph that `spoil` has changed."""
    good = tiny_bundle(parent / "good")
    manifest = files.read_manifest(good)
    members = {name: good / name for name in manifest.files if name != files.MODEL}
    model = onnx.load(good / files.MODEL)
    spoil(model)
    return files.write(parent, manifest, members | {files.MODEL: model.SerializeToString()})


def _rename_logits(graph):
    """Put a place between the logits and whatever gives them."""
    for node in graph.node:
        for i, name in enumerate(node.output):
            if name == "logits":
                node.output[i] = "logits_before"


def _endless(model):
    graph = model.graph
    _rename_logits(graph)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Sin", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, None),
        ],
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(2**62, np.int64), "for_ever"),
            numpy_helper.from_array(np.array(True), "yes"),
        ]
    )
    graph.node.append(
        helper.make_node("Loop", ["for_ever", "yes", "logits_before"], ["logits"], body=body)
    )


def _gigantic(model):
    graph = model.graph
    _rename_logits(graph)
    graph.initializer.append(numpy_helper.from_array(np.array([10**11], np.int64), "size"))
    graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["size"], ["wall"]),
            helper.make_node("ReduceMax", ["wall"], ["zero"], keepdims=0),
            helper.make_node("Add", ["logits_before", "zero"], ["logits"]),
        ]
    )
