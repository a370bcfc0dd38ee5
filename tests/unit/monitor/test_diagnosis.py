"""Three planted faults told apart: drawn pictures through a real, tiny bundle, many times.

The large version, with photographs and blur, is tests/bench/diagnosis.py. A model of mean colours
does not mind blur, so here the camera's fault is a red cast in the dark.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from core.bundle.runner import Runner
from core.images.descriptors import DESCRIPTORS, describe
from core.images.preprocess import preprocess
from core.store.sentinel_checks import Check
from monitor.diagnosis.diagnosis import diagnose
from monitor.diagnosis.findings import COLUMNS, Diagnosis, refusal_of
from monitor.diagnosis.material import Material
from tests.bench import diagnosis as bench
from tests.bench.diagnosis import Fault, Row, Seen, as_it_is, labels_exchanged, model_swapped
from tests.tiny import picture, tiny_bundle

LABELS = ("Bear", "Cat", "Dog", "Fox", "Hare", "Spider")
RUNS = 50


def _plain(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image


def _red_in_the_dark(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (image * 0.3 + [70, 0, 0]).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A bundle of six classes."""
    return Runner.open(tiny_bundle(tmp_path_factory.mktemp("bundles"), labels=LABELS))


def _see(
    runner: Runner, first: int, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> Seen:
    """Return what the bundle says of sixty drawn pictures a class."""
    images = [
        change(picture(label, labels=LABELS, seed=first + i)) for label in LABELS for i in range(60)
    ]
    said = runner.run(np.stack([preprocess(image, runner.recipe) for image in images]))
    described = [describe(image) for image in images]
    table = np.array([[each[name] for name in DESCRIPTORS] for each in described])
    labels = np.repeat(np.arange(len(LABELS)), 60)
    return Seen(labels, said.probabilities, said.embedding, table)


@pytest.fixture(scope="module")
def reference(runner: Runner) -> Seen:
    """Pictures of before."""
    return _see(runner, 1_000, _plain)


@pytest.fixture(scope="module")
def pools(runner: Runner) -> dict[str, Seen]:
    """Pictures of now, by a camera that is well, and by one that is not."""
    return {"well": _see(runner, 5_000, _plain), "red": _see(runner, 5_000, _red_in_the_dark)}


@pytest.mark.parametrize(
    ("planted", "pool", "fault"),
    [
        ("label", "well", labels_exchanged()),
        ("model", "well", model_swapped),
        ("data", "red", as_it_is),
    ],
)
class TestPlantedFaults:
    """Fifty simulations of each; tests/bench/diagnosis.py makes a hundred, with photographs."""

    def test_are_named(
        self, planted: str, pool: str, fault: Fault, reference: Seen, pools: dict[str, Seen]
    ):
        """Told apart in 95 of 100, and named in 90."""
        rng = np.random.default_rng(0)

        trials = [bench.simulate(reference, pools[pool], fault, LABELS, rng) for _ in range(RUNS)]

        found = Row(planted, planted, trials)
        assert found.causes().total() == RUNS, "every one of them raises its alarm"
        assert (found.told_apart >= 0.95 * RUNS, found.named >= 0.9 * RUNS) == (True, True), (
            found.causes()
        )


@pytest.fixture(scope="module")
def material(reference: Seen, pools: dict[str, Seen]) -> Material:
    """Everything about a class whose labels were exchanged with another's."""
    kept: list[Material] = []

    def catch(asked: Material) -> Diagnosis:
        kept.append(asked)
        return diagnose(asked)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench, "diagnose", catch)
        rng = np.random.default_rng(3)
        bench.simulate(reference, pools["well"], labels_exchanged(), LABELS, rng)
    return kept[0]


def _check(verdict: str, largest: float) -> Check:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    detail = "On this machine, the frozen images get other answers than before."
    place = ("linux", "onnxruntime-fp32", None, "0", largest, None)
    return Check("v1", date(2026, 3, 1), now, verdict, *place, {}, detail)


class TestDiagnosis:
    """What an alert carries."""

    def test_names_the_class_it_is_mistaken_for_with_its_e_value(self, material: Material):
        """Evidence against the reference confusion, also after the choice among five."""
        found = diagnose(material).confused

        assert found is not None
        assert found.times == Counter(t.predicted for t in material.current)[found.label]
        assert found.e_value > 1_000
        assert found.e_value_chosen == pytest.approx(found.e_value / 5)

    def test_shows_five_wrong_images_each_beside_another_right_one(self, material: Material):
        """What it took them for, and how that class looks when all is well."""
        worst = diagnose(material).worst

        right = set(material.reference.images[material.reference.right].tolist())
        assert len(worst) == 5
        assert len({image.nearest for image in worst} & right) == 5

    def test_lists_the_labels_that_look_wrong(self, material: Material):
        """Those a person looks at first."""
        found = diagnose(material)

        assert len(found.doubts) == 20 or len(found.doubts) >= 0.8 * len(material.current)

    def test_says_of_every_column_whether_it_moved(self, material: Material):
        """Effect, corrected p-value, and the same beyond all other classes."""
        assert [each.what for each in diagnose(material).moved] == list(COLUMNS)

    def test_begins_with_the_cause_and_ends_with_what_is_refused(self, material: Material):
        """The sentence that somebody who reads one sentence reads."""
        said = diagnose(material).sentences

        assert said[0].startswith("Cause: the labels.")
        assert "No retraining for" in said[-1]

    def test_is_the_runtime_where_it_can_have_turned_the_answers(self, material: Material):
        """Answers that lead by less than the logits are off by: no class is judged by them."""
        close = [replace(trace, lead=0.05) for trace in material.current]
        changed = replace(
            material, current=close, check=_check("runtime", 0.01), unsound_since=material.since
        )

        found = diagnose(changed)

        assert found.cause == "runtime"
        assert "not the class" in found.sentences[0]

    @pytest.mark.parametrize(
        ("deviation", "lead", "days_late"), [(1e-6, 0.05, 0), (0.01, 5.0, 0), (0.01, 0.05, 1)]
    )
    def test_is_not_the_runtime_otherwise(
        self, material: Material, deviation: float, lead: float, days_late: int
    ):
        """A harmless patch, answers far apart, or a class that sank before."""
        traces = [replace(trace, lead=lead) for trace in material.current]
        first = material.since + timedelta(days=days_late)
        check = _check("runtime", deviation)
        found = diagnose(replace(material, current=traces, check=check, unsound_since=first))

        assert found.cause == "label"
        assert (
            found.sentences[1] == f"Other answers of the runtime since {first} do not explain this."
        )

    def test_is_unclear_without_a_reference(self, material: Material):
        """A bundle of before and a fault on its first day: nothing to compare with."""
        kept = material.reference
        nothing = replace(
            kept, rows=kept.rows.take(np.zeros(len(kept.rows), bool)), right=kept.right[:0],
            images=kept.images[:0],
        )  # fmt: skip

        assert diagnose(replace(material, reference=nothing)).cause == "unclear"

    def test_is_the_same_whenever_it_is_asked(self, material: Material):
        """A replay must tell the same story."""
        assert diagnose(material).to_dict() == diagnose(material).to_dict()

    def test_keeps_a_hostile_name_on_its_line(self, material: Material):
        """S22: a class name cannot begin a line of the message."""
        labels = tuple("x\nBcc: all" if n == material.label else n for n in material.labels)
        current = [replace(t, label="x\nBcc: all") for t in material.current]
        hostile = replace(material, label="x\nBcc: all", labels=labels, current=current, others=[])

        assert not any("\n" in said for said in diagnose(hostile).sentences)


class TestRefusal:
    """`refusal_of`."""

    @pytest.mark.parametrize(("cause", "refused"), [("runtime", True), ("label", True)])
    def test_is_given_in_words(self, cause: str, refused: bool):
        """F13, F14: a retraining that cannot help is not asked for."""
        assert (refusal_of(cause, "Spider") is not None) is refused

    @pytest.mark.parametrize("cause", ["data", "model", "unclear"])
    def test_is_none_where_learning_may_help(self, cause: str):
        """New pictures are what a retraining is for."""
        assert refusal_of(cause, "Spider") is None
