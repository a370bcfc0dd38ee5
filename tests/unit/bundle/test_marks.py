"""What a version gives for its frozen images."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.bundle import files, marks, originals
from core.bundle.runner import Runner
from tests.tiny import forge, tiny_bundle
from tests.tiny_conv import conv_bundle


class TestMarks:
    """`marks.take`."""

    @pytest.mark.parametrize("make", [tiny_bundle, conv_bundle])
    def test_are_the_same_bits_every_time_it_is_loaded(self, make, tmp_path: Path):
        """Were they not, every day would look like a runtime fault."""
        folder = make(tmp_path)

        taken = {marks.take(Runner.open(folder)) for _ in range(5)}

        assert len(taken) == 1

    def test_are_other_bits_for_other_weights(self, tmp_path: Path):
        """Another model that knows the same colours is still another model."""
        folders = (tiny_bundle(tmp_path / str(seed), seed=seed) for seed in (0, 1))

        one, other = (marks.take(Runner.open(folder)) for folder in folders)

        assert one.answers != other.answers
        assert one.preprocessing == other.preprocessing

    def test_lie_within_what_is_allowed_where_the_bundle_was_made(self, tmp_path: Path):
        """Nothing is off on the machine that wrote it."""
        found = marks.take(Runner.open(tiny_bundle(tmp_path)))

        assert (found.is_far_off, found.pixels_off) == (False, 0.0)

    def test_allow_a_graph_in_integers_what_was_measured_of_it(self, tmp_path: Path):
        """The daily look at the frozen images must not call its rounding a fault."""
        folder = conv_bundle(tmp_path, with_int8=True)

        found = marks.take(Runner.open(folder, engine="onnxruntime-int8"))

        assert 0 < found.largest < found.allowed == pytest.approx(0.4 + 0.25)
        assert not found.is_far_off

    def test_see_a_graph_in_integers_that_is_further_off(self, tmp_path: Path):
        """A driver or a processor that computes otherwise is still found out."""
        runner = Runner.open(conv_bundle(tmp_path, with_int8=True), engine="onnxruntime-int8")
        frozen = marks.read(runner)
        moved = replace(frozen.sentinels, logits=frozen.sentinels.logits + 1)

        assert marks.take(runner, replace(frozen, sentinels=moved)).is_far_off

    def test_see_a_decoder_that_gives_other_pixels(self, tmp_path: Path):
        """The sentinels begin after the resize and could not."""
        folder = tiny_bundle(tmp_path)
        kept = originals.read(folder, files.read_manifest(folder))
        assert kept is not None
        brighter = originals.Originals(kept.encoded, kept.pixels // 2)
        forge(folder, {files.ORIGINALS: originals.save(brighter)})

        found = marks.take(Runner.open(folder))

        assert found.is_far_off
        assert found.largest < 1e-4

    def test_do_without_originals(self, tmp_path: Path):
        """A bundle of before has none; its answers are watched all the same."""
        found = marks.take(Runner.open(forge(tiny_bundle(tmp_path), {files.ORIGINALS: None})))

        assert (found.preprocessing, found.pixels_off, found.is_far_off) == (None, None, False)

    def test_of_a_place_say_on_what_they_were_computed(self, tmp_path: Path):
        """Another processor may round otherwise."""
        runner = Runner.open(tiny_bundle(tmp_path))

        assert marks.place(runner).endswith("threads")
        assert "numpy" in marks.libraries()
