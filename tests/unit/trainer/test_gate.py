"""The gate lets in what is better where it matters and worse nowhere, and says why."""

import json
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import StatisticsError
from core.evaluation import Evaluation
from core.store.images import Sample
from trainer.gate import Verdict, bounds, examine, shown_well, shown_worse

# Per class: images both name rightly, only the challenger does, only the champion, neither.
Table = Mapping[str, tuple[int, int, int, int]]

CALM = (285, 3, 2, 10)
REPAIRED = (5, 280, 0, 15)


def _evaluation(labels: list[str], correct: NDArray[np.bool_], confidence: float) -> Evaluation:
    names = sorted(set(labels))
    truth = np.array([names.index(label) for label in labels], dtype=np.int64)
    predicted = np.where(correct, truth, (truth + 1) % len(names))
    rest = (1 - confidence) / (len(names) - 1)
    probabilities = np.full((len(labels), len(names)), rest, dtype=np.float32)
    probabilities[np.arange(len(labels)), predicted] = confidence
    return Evaluation(
        samples=[
            Sample(i, f"{i}.png", f"{i:064x}", label, "test") for i, label in enumerate(labels)
        ],
        labels=truth,
        predicted=predicted.astype(np.int64),
        probabilities=probabilities,
        embedding=np.zeros((len(labels), 256), dtype=np.float32),
        descriptors=None,
        unreadable=[],
    )


def _exam(table: Table, *, confidence: float = 0.95) -> tuple[Evaluation, Evaluation]:
    """Return champion and challenger, with as many images of each kind as `table` says."""
    labels = [label for label, counts in table.items() for _ in range(sum(counts))]
    before = np.concatenate([np.repeat([1, 0, 1, 0], counts) for counts in table.values()])
    after = np.concatenate([np.repeat([1, 1, 0, 0], counts) for counts in table.values()])
    return (
        _evaluation(labels, before.astype(bool), confidence),
        _evaluation(labels, after.astype(bool), confidence),
    )


def _judge(table: Table, flagged: list[str], **terms: object) -> Verdict:
    usual = {
        "margin": 0.05,
        "overall_margin": 0.01,
        "max_ece": 0.10,
        "latency_ratio": 1.0,
        "max_latency_ratio": 1.5,
    }
    champion, challenger = _exam(table)
    return examine(champion, challenger, flagged=flagged, **(usual | terms))  # type: ignore[arg-type]


class TestPromote:
    """All three questions answered with yes."""

    def test_lets_in_a_repair_that_costs_nothing(self):
        """The whole point of the loop."""
        verdict = _judge({"Cat": CALM, "Dog": CALM, "Spider": REPAIRED}, ["Spider"])

        assert verdict.decision == "promote"
        assert verdict.flagged[0].improved
        assert {each.label: each.verdict for each in verdict.classes} == {
            "Cat": "well",
            "Dog": "well",
            "Spider": "better",
        }

    def test_asks_for_no_improvement_where_no_class_was_flagged(self):
        """A model trained for another reason must only not be worse."""
        assert _judge({"Cat": CALM, "Dog": CALM}, []).passed

    def test_passes_an_exam_in_which_latency_was_not_measured(self):
        """Nothing measured is nothing held against it; the page says so."""
        verdict = _judge({"Cat": CALM, "Dog": REPAIRED}, ["Dog"], latency_ratio=None)

        assert verdict.passed
        assert "latency not measured" in verdict.to_text()


class TestRefuse:
    """Something is shown to be bad."""

    def test_names_a_class_that_was_made_worse(self):
        """A repair that ruins another class is no repair."""
        verdict = _judge({"Cat": (250, 2, 30, 18), "Dog": REPAIRED}, ["Dog"])

        assert verdict.decision == "refuse"
        assert verdict.classes[0].verdict == "worse"
        assert verdict.reasons[0].startswith("Cat: worse (2 gained, 30 lost of 300")

    def test_names_the_whole_when_every_class_lost_a_little(self):
        """Two points everywhere hide from each class, and not from all of them together."""
        table = dict.fromkeys(["Ant", "Bee", "Cat", "Dog", "Elk"], (280, 2, 8, 10))
        verdict = _judge(table, [])

        assert all(each.verdict == "well" for each in verdict.classes)
        assert (verdict.decision, verdict.overall.verdict) == ("refuse", "worse")

    def test_asks_for_a_repair_that_could_have_been_seen(self):
        """40 disagreeing images would have shown one; half of them went the other way."""
        verdict = _judge({"Cat": CALM, "Dog": (240, 20, 20, 20)}, ["Dog"])

        assert verdict.decision == "refuse"
        assert verdict.reasons[0] == (
            "Dog: no improvement where it was wanted (20 gained, 20 lost of 300, "
            "adjusted p = 0.56; at most 0.05 passes)."
        )

    def test_a_challenger_that_changes_nothing_is_no_repair(self):
        """Without any disagreement among 300 images an improvement is ruled out."""
        verdict = _judge({"Cat": CALM, "Dog": (20, 0, 0, 280)}, ["Dog"], max_ece=1.0)

        assert (verdict.decision, verdict.flagged[0].missing) == ("refuse", 0)

    @pytest.mark.parametrize(
        ("terms", "reason"),
        [
            ({"max_ece": 0.001}, "calibration error"),
            ({"latency_ratio": 1.6}, "1.60 times"),
            ({"latency_ratio": float("nan")}, "nan times"),
        ],
    )
    def test_an_unsound_challenger_is_refused(self, terms, reason):
        """Accuracy alone does not make a model fit to serve."""
        verdict = _judge({"Cat": CALM, "Dog": REPAIRED}, ["Dog"], **terms)

        assert verdict.decision == "refuse"
        assert reason in verdict.reasons[0]


class TestMoreImages:
    """Nothing is shown to be bad, and something cannot be shown to be good."""

    def test_says_how_many_images_a_small_class_lacks(self):
        """30 images cannot rule out a drop of 5 points, whatever they say."""
        verdict = _judge({"Cat": (28, 0, 0, 2), "Dog": REPAIRED, "Elk": CALM}, ["Dog"])

        assert verdict.decision == "more images"
        assert set(verdict.missing) == {"Cat"}
        assert "Cat: a drop of 5 points is not ruled out" in verdict.reasons[0]

    def test_the_images_asked_for_are_enough_at_the_same_disagreement(self):
        """Whoever labels what was asked for gets a decision, not another request."""
        shares = np.array([0.84, 0.05, 0.05, 0.06])
        terms = {"overall_margin": 0.05, "max_ece": 1.0}
        few = _judge({"Cat": (84, 5, 5, 6), "Dog": CALM}, [], **terms)
        needed = 100 + few.missing["Cat"]

        again = _judge(
            {"Cat": tuple(np.ceil(needed * shares).astype(int)), "Dog": CALM}, [], **terms
        )

        assert few.decision == "more images"
        assert again.passed

    def test_one_image_of_twenty_is_not_shown_to_be_a_drop(self):
        """Five points less by one image: nobody knows, and a few more images tell."""
        table = {"Cat": (19, 0, 1, 0), "Dog": REPAIRED}
        verdict = _judge(table, ["Dog"])

        assert (verdict.decision, verdict.classes[0].verdict) == ("more images", "unproven")
        assert verdict.missing["Cat"] > 0

    def test_a_class_without_gate_images_is_unproven(self):
        """A class the model knows and nobody examined is not passed over in silence."""
        verdict = _judge({"Cat": CALM, "Dog": REPAIRED}, ["Dog"], labels=["Cat", "Dog", "Elk"])

        elk = verdict.classes[-1]
        assert (elk.label, elk.n, elk.verdict, elk.low) == ("Elk", 0, "unproven", None)
        assert verdict.decision == "more images"
        assert verdict.missing["Elk"] > 0

    def test_a_repair_does_not_make_the_other_classes_look_restless(self):
        """The flagged class changed everywhere, as it should; Cat lacks a handful all the same."""
        verdict = _judge({"Cat": (28, 0, 0, 2), "Dog": REPAIRED, "Elk": CALM}, ["Dog"])

        assert verdict.missing["Cat"] < 20

    def test_a_flagged_class_with_few_disagreeing_images_gets_more(self):
        """3 gained of 20 is a good sign and no proof: 23 disagreeing images would be."""
        verdict = _judge({"Cat": CALM, "Dog": (15, 3, 0, 2)}, ["Dog"], margin=0.2)

        assert verdict.decision == "more images"
        assert verdict.flagged[0].missing == round(20 * 23 / 3 + 0.5) - 20

    def test_a_flagged_class_without_gate_images_is_asked_for(self):
        """The newest kind of image may not have reached the gate yet."""
        verdict = _judge({"Cat": CALM, "Dog": CALM}, ["Elk"])

        assert verdict.decision == "more images"
        assert verdict.flagged[0].missing == 23


class TestFlagged:
    """Better where it matters."""

    def test_several_flagged_classes_share_the_error(self):
        """Five gained and none lost is enough for one class, not for one of two."""
        table = {"Cat": (290, 5, 0, 5), "Dog": (290, 5, 0, 5), "Elk": CALM}

        assert _judge(table, ["Cat"]).flagged[0].improved
        assert not _judge(table, ["Cat", "Dog"]).flagged[0].improved

    def test_a_class_named_twice_counts_once(self):
        """A careless request does not make its own exam harder."""
        verdict = _judge({"Cat": CALM, "Dog": (290, 5, 0, 5)}, ["Dog", "Dog"])

        assert [each.label for each in verdict.flagged] == ["Dog"]


class TestSameImages:
    """A paired test of unpaired answers would be nonsense."""

    def test_images_may_come_in_any_order(self):
        """Alignment is by image."""
        champion, challenger = _exam({"Cat": CALM, "Dog": REPAIRED})
        turned = Evaluation(
            samples=challenger.samples[::-1],
            labels=challenger.labels[::-1],
            predicted=challenger.predicted[::-1],
            probabilities=challenger.probabilities[::-1],
            embedding=challenger.embedding[::-1],
            descriptors=None,
            unreadable=[],
        )
        terms = {
            "flagged": ["Dog"],
            "margin": 0.05,
            "overall_margin": 0.01,
            "max_ece": 0.1,
            "latency_ratio": None,
            "max_latency_ratio": 1.5,
        }

        found, expected = (examine(champion, each, **terms) for each in (turned, challenger))

        assert (found.decision, found.classes) == (expected.decision, expected.classes)

    def test_names_an_image_that_only_one_has_seen(self):
        """A file that vanished between the two looks is no image lost by the challenger."""
        champion, _ = _exam({"Cat": (5, 1, 1, 1), "Dog": (5, 1, 1, 1)})
        _, challenger = _exam({"Cat": (5, 1, 1, 1), "Dog": (5, 1, 1, 0)})

        with pytest.raises(StatisticsError, match=r"challenger was not examined on image 15 \(Dog"):
            examine(
                champion,
                challenger,
                flagged=[],
                margin=0.05,
                overall_margin=0.01,
                max_ece=1.0,
                latency_ratio=None,
                max_latency_ratio=1.5,
            )

    def test_refuses_a_margin_that_is_none(self):
        """A margin given in points would let everything pass."""
        with pytest.raises(StatisticsError, match="margin is 5; it must lie inside 0 and 1"):
            _judge({"Cat": CALM, "Dog": CALM}, [], margin=5)


class TestVerdict:
    """What is kept and shown."""

    def test_survives_json(self):
        """Postgres keeps it, the dashboard and the demonstration read it."""
        verdict = _judge({"Cat": CALM, "Dog": REPAIRED}, ["Dog"], labels=["Elk"])
        kept = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))

        assert kept == verdict.to_dict()
        assert (kept["passed"], kept["decision"]) == (False, "more images")

    def test_the_page_has_a_line_for_each_class(self):
        """A person follows the decision class by class."""
        page = _judge({"Cat": CALM, "Dog": REPAIRED}, ["Dog"]).to_text().splitlines()

        assert page[0] == "Gate: promote"
        assert any(line.split()[:4] == ["Cat", "300", "3", "2"] for line in page)
        assert any("Dog: 280 gained, 0 lost of 300" in line for line in page)


class TestErrorRates:
    """What the statement of the gate promises, simulated: 15 classes, a margin of 5 points."""

    @pytest.mark.parametrize(
        ("n", "differing", "passes", "worse_passes"),
        [(200, 0.02, 0.97, 0.074), (200, 0.03, 0.83, 0.056), (200, 0.05, 0.35, 0.022)],
    )
    def test_are_those_of_the_table(self, n, differing, passes, worse_passes):
        """Equal challengers pass so often, one that is 5 points worse on a class so seldom."""
        rng = np.random.default_rng(0)
        share = differing / 2
        equal = rng.multinomial(n, [share, share, 1 - differing], size=(20_000, 15))
        worse = rng.multinomial(n, [share, share + 0.05, 0.95 - differing], size=20_000)
        well = shown_well(equal[..., 0], equal[..., 1], np.full(equal.shape[:2], n), 0.05)
        hidden = shown_well(worse[:, 0], worse[:, 1], np.full(20_000, n), 0.05)

        assert well.all(axis=1).mean() == pytest.approx(passes, abs=0.015)
        assert (well[:, 1:].all(axis=1) & hidden).mean() == pytest.approx(worse_passes, abs=0.007)

    def test_twice_the_images_pay_for_disagreement(self):
        """With 5 % differing, 400 images a class let equal challengers pass 95 times in 100."""
        rng = np.random.default_rng(0)
        equal = rng.multinomial(400, [0.025, 0.025, 0.95], size=(20_000, 15))
        well = shown_well(equal[..., 0], equal[..., 1], np.full(equal.shape[:2], 400), 0.05)

        assert well.all(axis=1).mean() == pytest.approx(0.95, abs=0.01)

    @pytest.mark.parametrize("images", [20, 50, 200])
    @pytest.mark.parametrize("classes", [15, 500])
    def test_equal_classes_are_seldom_called_worse(self, images, classes):
        """A refusal must mean something, with few images and with many classes too."""
        rng = np.random.default_rng(0)
        equal = rng.multinomial(images, [0.025, 0.025, 0.95], size=(1_000, classes))
        total = np.full(equal.shape[:2], images)
        worse = shown_worse(equal[..., 0], equal[..., 1], total, 0.05, classes)

        assert worse.any(axis=1).mean() < 0.03

    def test_a_class_that_lost_twenty_points_is_called_worse(self):
        """With 100 gate images, in nine of ten exams of fifteen classes."""
        rng = np.random.default_rng(0)
        fallen = rng.multinomial(100, [0.015, 0.215, 0.77], size=2_000)
        worse = shown_worse(fallen[:, 0], fallen[:, 1], np.full(2_000, 100), 0.05, 15)

        assert worse.mean() > 0.9


class TestBounds:
    """d -+ 1.645 se."""

    def test_without_disagreement_one_image_of_doubt_remains(self):
        """100 times the same answer is no proof of equality for ever."""
        low, high = bounds(0, 0, 100)

        assert (float(low), float(high)) == pytest.approx((-0.01645, 0.01645))
