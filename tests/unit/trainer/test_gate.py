"""The gate lets in what is better where it matters and worse nowhere, and says why."""

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import StatisticsError, TrainingError
from core.evaluation import Evaluation
from core.store.images import Sample
from trainer.exams.gate import Verdict, examine
from trainer.exams.sample_size import alpha_of, pairs_to_show_repair

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


def _judge(
    table: Table, flagged: list[str], *, confidence: float = 0.95, **terms: object
) -> Verdict:
    usual = {
        "margin": 0.05,
        "overall_margin": 0.01,
        "max_ece": 0.10,
        "latency_ratio": 1.0,
        "max_latency_ratio": 1.5,
    }
    champion, challenger = _exam(table, confidence=confidence)
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
            "adjusted p = 0.56)."
        )

    def test_a_challenger_that_changes_nothing_is_no_repair(self):
        """Without any disagreement among 300 images an improvement is ruled out."""
        verdict = _judge({"Cat": CALM, "Dog": (20, 0, 0, 280)}, ["Dog"], max_ece=1.0)

        assert (verdict.decision, verdict.flagged[0].missing) == ("refuse", 0)

    @pytest.mark.parametrize(
        ("terms", "reason"),
        [
            ({"latency_ratio": 1.6}, "1.60 times"),
            ({"latency_ratio": float("nan")}, "nan times"),
        ],
    )
    def test_an_unsound_challenger_is_refused(self, terms, reason):
        """Accuracy alone does not make a model fit to serve."""
        verdict = _judge({"Cat": CALM, "Dog": REPAIRED}, ["Dog"], **terms)

        assert verdict.decision == "refuse"
        assert reason in verdict.reasons[0]

    def test_a_model_too_sure_of_itself_is_refused(self):
        """96 of 100 are right, and it claims to be right in 79."""
        verdict = _judge({"Cat": CALM, "Dog": CALM}, [], confidence=0.79)

        assert verdict.decision == "refuse"
        assert "calibration error is 0.17" in verdict.reasons[0]

    def test_what_chance_explains_is_no_fault_of_calibration(self):
        """40 images show an error of eight points without any fault."""
        table = {"Cat": (16, 0, 0, 4), "Dog": (16, 0, 0, 4)}
        verdict = _judge(table, [], max_ece=0.05, confidence=0.88)

        assert 0.05 < verdict.ece < verdict.ece_by_chance
        assert verdict.decision == "more images"


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
        """The flagged class changed everywhere, as it should; Cat is asked for no more by that."""
        table = {"Cat": (28, 0, 0, 2), "Elk": CALM}
        with_repair = _judge(table | {"Dog": REPAIRED}, ["Dog"], overall_margin=0.05)
        without = _judge(table, [], overall_margin=0.05)

        assert with_repair.missing["Cat"] == pytest.approx(without.missing["Cat"], rel=0.1)

    def test_a_flagged_class_with_few_disagreeing_images_gets_more(self):
        """3 gained of 20 is a good sign and no proof; so many disagreeing images would be."""
        verdict = _judge({"Cat": CALM, "Dog": (15, 3, 0, 2)}, ["Dog"], margin=0.2)
        pairs = pairs_to_show_repair(1, alpha_of(2))

        assert verdict.decision == "more images"
        assert verdict.flagged[0].missing == math.ceil(20 * pairs / 3) - 20

    def test_a_flagged_class_without_gate_images_is_asked_for(self):
        """The newest kind of image may not have reached the gate yet."""
        verdict = _judge({"Cat": CALM, "Dog": CALM}, ["Elk"])

        assert verdict.decision == "more images"
        assert verdict.flagged[0].missing == pairs_to_show_repair(1, alpha_of(2))

    def test_the_whole_alone_asks_for_images_too(self):
        """Every class is well, a point over all is unproven: an exam that no next look follows."""
        verdict = _judge(dict.fromkeys(["Cat", "Dog"], (270, 3, 5, 22)), [], margin=0.2)

        assert verdict.decision == "more images"
        assert {each.missing for each in verdict.classes} == {0}
        assert set(verdict.missing) == {"Cat", "Dog"}
        assert 0 <= sum(verdict.missing.values()) - verdict.overall.missing < 2
        assert f"next look: {sum(verdict.missing.values())} gate images, " in verdict.to_text()


class TestNextLook:
    """The same challenger, when the images are there."""

    def test_keeps_what_was_shown_and_asks_the_rest(self):
        """Dog was repaired and Elk is well; only Cat's new images decide."""
        table = {"Cat": (28, 0, 0, 2), "Dog": REPAIRED, "Elk": CALM}
        first = _judge(table, ["Dog"])
        enough = 30 + first.missing["Cat"]
        kept = Verdict.from_dict(json.loads(json.dumps(first.to_dict())))
        again = _judge(table | {"Cat": (enough - 2, 0, 0, 2)}, ["Dog"], earlier=kept)

        assert (first.decision, set(first.missing)) == ("more images", {"Cat"})
        assert (again.decision, again.look, again.alpha) == ("promote", 2, 0.005)

    def test_does_not_pass_for_waiting(self):
        """A second look at the same images shows nothing that the first did not."""
        table = {"Cat": (28, 0, 0, 2), "Dog": REPAIRED}
        first = _judge(table, ["Dog"])
        again = _judge(table, ["Dog"], earlier=first)

        assert again.decision == "more images"
        assert (again.look, again.missing["Cat"]) == (
            2,
            pytest.approx(first.missing["Cat"], rel=0.2),
        )

    def test_still_sees_harm_in_a_class_that_was_well(self):
        """New images may tell otherwise."""
        first = _judge({"Cat": (28, 0, 0, 2), "Elk": CALM}, [])
        fallen = (570, 6, 104, 20)
        again = _judge({"Cat": (28, 0, 0, 2), "Elk": fallen}, [], earlier=first)

        assert again.decision == "refuse"
        assert again.classes[0].verdict == "worse"

    def test_an_older_releases_verdict_is_not_guessed_at(self):
        """A figure that is not there must not be made up."""
        kept = _judge({"Cat": CALM, "Dog": CALM}, []).to_dict()
        del kept["look"]

        with pytest.raises(TrainingError, match="older release and lacks 'look'"):
            Verdict.from_dict(kept)


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

        assert page[0] == "Gate: promote (look 1, alpha 0.05)"
        assert any(line.split()[:4] == ["Cat", "300", "3", "2"] for line in page)
        assert any("Dog: 280 gained, 0 lost of 300" in line for line in page)
