"""No class may lose more than a point, and the verdict says what was seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.bundle import files
from core.bundle.runner import Runner
from core.errors import UsageError
from core.evaluation import Evaluation, evaluate
from core.store.images import Sample
from tests.images import png
from tests.tiny import LABELS, forge
from tests.tiny_conv import add_int8, conv_bundle, conv_model, pictures, unloadable_model
from trainer.bundling import variants
from trainer.bundling.quantize import to_int8
from trainer.bundling.variants import compare

N = 100


def _evaluation(wrong: dict[str, int], *, n: int = N) -> Evaluation:
    """Return answers to `n` images of each class, of which so many are called by the next."""
    labels = np.repeat(np.arange(len(LABELS)), n)
    predicted = labels.copy()
    for label, many in wrong.items():
        place = LABELS.index(label)
        predicted[place * n : place * n + many] = (place + 1) % len(LABELS)
    logits = np.zeros((len(labels), len(LABELS)), dtype=np.float32)
    logits[np.arange(len(labels)), predicted] = 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Evaluation(
        samples=[Sample(i, "", "", LABELS[label], "val") for i, label in enumerate(labels)],
        labels=labels,
        predicted=predicted,
        probabilities=probabilities,
        embedding=np.zeros((len(labels), 256), dtype=np.float32),
        descriptors=None,
        unreadable=[],
        logits=logits,
    )


class TestCompare:
    """The rule."""

    @pytest.mark.parametrize(
        ("before", "after", "kept"),
        [
            ({}, {}, True),
            ({}, {"Dog": 1}, True),
            ({"Dog": 3}, {"Dog": 4}, True),
            ({}, {"Dog": 2}, False),
            ({"Cat": 9}, {"Dog": 2}, False),
            ({"Dog": 5}, {"Cat": 1}, True),
        ],
    )
    def test_keeps_what_takes_no_class_more_than_a_point(
        self, before: dict[str, int], after: dict[str, int], kept: bool
    ):
        """A point is one of a hundred images; what another class wins does not count."""
        found = compare(LABELS, _evaluation(before), _evaluation(after))

        assert found.kept == kept

    def test_takes_the_rule_by_the_letter_where_a_class_has_few_images(self):
        """One of 60 is 1.7 points; that it may be chance is told by the number of images."""
        found = compare(LABELS, _evaluation({}, n=60), _evaluation({"Dog": 1}, n=60))

        assert not found.kept
        assert found.reason == "Dog loses 1.7 points (1 of its 60 images), more than 1"

    def test_states_every_figure(self):
        """A person who reads the manifest can judge the judgement."""
        found = compare(LABELS, _evaluation({"Cat": 1}), _evaluation({"Cat": 2, "Dog": 1}))

        assert (found.n, found.worst_class, found.worst_n) == (300, "Dog", 100)
        assert found.worst_drop == pytest.approx(0.01)
        assert (found.top1, found.fp32_top1) == pytest.approx((0.99, 299 / 300))
        assert found.agreement == pytest.approx(298 / 300)
        assert found.per_class == pytest.approx({"Cat": 0.98, "Dog": 0.99, "Spider": 1})
        assert found.largest_logit_difference == 3
        assert found.ece != found.fp32_ece

    def test_keeps_nothing_where_a_class_has_no_images(self):
        """What it would lose is unknown, and unknown is not nothing."""
        seen = _evaluation({})
        rows = np.flatnonzero(seen.labels != 2)
        some = replace(
            seen,
            samples=[seen.samples[row] for row in rows],
            labels=seen.labels[rows],
            predicted=seen.predicted[rows],
            probabilities=seen.probabilities[rows],
            logits=None if seen.logits is None else seen.logits[rows],
        )

        found = compare(LABELS, some, some)

        assert (found.kept, "no labelled image of Spider" in found.reason) == (False, True)

    def test_refuses_answers_to_other_images(self):
        """Two lists that do not match would give a verdict about nothing."""
        with pytest.raises(UsageError, match="images that both answered"):
            compare(LABELS, _evaluation({}), _evaluation({}, n=5))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Thirty labelled pictures on disk."""
    folder = tmp_path_factory.mktemp("pictures")
    found: list[Sample] = []
    for i, image in enumerate(pictures(30, seed=70)):
        (folder / f"{i}.png").write_bytes(png(image))
        uri = str(folder / f"{i}.png")
        found.append(Sample(i, uri, f"{i:064x}", LABELS[i % len(LABELS)], "val"))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a faithful graph in integers."""
    return conv_bundle(tmp_path_factory.mktemp("bundle"), with_int8=True)


class TestJudge:
    """A variant that lies in a bundle."""

    def test_asks_the_variant_itself(self, folder: Path, samples: list[Sample]):
        """The bytes that would serve answer each image."""
        exact = evaluate(Runner.open(folder, "cpu"), samples)

        found = variants.judge(folder, "int8", exact)

        assert (found.n, found.file, found.computed_by) == (30, files.QUANTISED, "onnxruntime-int8")
        assert 0 < (found.largest_logit_difference or 0) < 1

    def test_drops_what_does_not_run(self, tmp_path: Path, samples: list[Sample]):
        """A variant that cannot be loaded is a verdict, not the end of a training."""
        broken = add_int8(conv_bundle(tmp_path), unloadable_model())
        exact = evaluate(Runner.open(broken, "cpu"), samples)

        found = variants.judge(broken, "int8", exact)

        assert (found.kept, "does not run" in found.reason) == (False, True)

    def test_of_half_precision_is_made_without_a_gpu(self, folder: Path, samples: list[Sample]):
        """Rounded numbers are rounded wherever they are multiplied."""
        model = (folder / files.MODEL).read_bytes()
        made = variants.make(model, ("fp16",), lambda: pictures(3))
        both = forge(folder, {files.HALF: made["fp16"]})  # type: ignore[dict-item]
        exact = evaluate(Runner.open(both, "cpu"), samples)

        found = variants.judge_all(both, made, exact)["fp16"]

        assert 0 < (found.largest_logit_difference or 0) < 0.05
        assert found.n == 30


class TestMake:
    """Making them."""

    def test_gives_a_verdict_where_one_cannot_be_made(self):
        """A backbone without layers trains all the same."""
        made = variants.make(b"noise", ("int8", "fp16"), lambda: pictures(3))

        assert [getattr(each, "kept", None) for each in made.values()] == [False, False]
        assert "cannot be made" in getattr(made["int8"], "reason", "")


class TestRecheck:
    """`weakspot model verify`."""

    def test_finds_a_variant_that_holds(self, folder: Path, samples: list[Sample]):
        """The same images, the same rule."""
        assert variants.recheck(folder, samples)["int8"].n == 30
        assert variants.recheck_on_own(folder)["int8"].kept

    def test_finds_one_that_does_not(self, tmp_path: Path):
        """By the bundle's own images alone, too."""
        other = to_int8(conv_model(seed=1).SerializeToString(), pictures(24))

        found = variants.recheck_on_own(add_int8(conv_bundle(tmp_path), other))

        assert not found["int8"].kept

    def test_has_nothing_to_do_without_variants(self, tmp_path: Path, samples: list[Sample]):
        """Bundles of before have none."""
        assert variants.recheck(conv_bundle(tmp_path), samples) == {}
