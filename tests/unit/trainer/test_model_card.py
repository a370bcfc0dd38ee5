"""The model card: right figures, honest words, and names that nobody obeys."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from scipy.stats import beta

from core.bundle.manifest import Manifest
from core.images.preprocess import Recipe
from core.store.images import Sample
from core.store.registry import Move
from tests.story import LABELS, verdict_of_the_gate
from trainer.bundling import model_card
from trainer.bundling.model_card import Facts, afterwards, card

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
HOSTILE = "x | `y`\n# Owned [free](https://evil.example) <img src=x> &lt; @everyone"


def _counts(labels: tuple[str, ...], correct: int) -> dict[str, Any]:
    following = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    return {
        label: {"n": 20, "correct": correct, "confused": {following[label]: 20 - correct}}
        for label in labels
    }


def _card(labels: tuple[str, ...] = ("Cat", "Dog"), **config: object) -> str:
    manifest = Manifest(
        name="pets",
        version="v3",
        labels=labels,
        recipe=Recipe(16, 16, resize=16),
        temperature=1.25,
        architecture="microsoft/resnet-50",
        created_at=AT,
        snapshot="a" * 64,
        training={"config": {"seed": 7, **config}, "best_epoch": 2},
        metrics={"test": {"n": 40, "top1": 0.9, "macro_f1": 0.89, "auroc": None, "ece": 0.03}},
        reference=_counts(labels, 20),
    )
    images = {label: {"train": 30, "val": 20, "test": 20} for label in labels}
    return card(manifest, Facts(images, _counts(labels, 18), AT, "v1", "0.1.0"))


def _row(text: str, first: str, under: str) -> list[str]:
    """Return the cells of the row that begins so, after a heading."""
    lines = text[text.index(under) :].splitlines()
    line = next(line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


class TestCard:
    """What lies in the bundle."""

    def test_states_recall_with_its_jeffreys_interval(self):
        """Eighteen of twenty is anything between 72 and 98 %, and a reader must see that."""
        low, high = 100 * beta.ppf([0.025, 0.975], 18.5, 2.5)

        cells = _row(_card(), "Cat", "### Test split")

        assert cells[:4] == ["Cat", "20", "18", "90.0 %"]
        assert cells[4] == f"{low:.1f} to {high:.1f} %"
        assert cells[5:] == ["90.0 %", "Dog (2)"]

    def test_counts_the_images_of_each_side(self):
        """What it learnt from is the first thing to ask."""
        assert _row(_card(), "all", "## Data") == ["all", "60", "40", "40"]

    def test_says_that_no_use_was_stated(self):
        """An invented intended use would be believed."""
        assert model_card.NO_USE_STATED in _card()

    def test_takes_the_owners_words_for_use_and_limits(self):
        """The owner knows what it is for; the general limits stay."""
        text = _card(intended_use="Sorting photographs of pets.", limits="Not for vets.")

        assert "Sorting photographs of pets." in text
        assert text.index("Not for vets.") < text.index("It knows the classes below")
        assert model_card.NO_USE_STATED not in text

    def test_has_metadata_that_a_hub_can_read(self):
        """The block at the top is YAML."""
        read = yaml.safe_load(_card().split("---")[1])

        assert read["base_model"] == "microsoft/resnet-50"
        assert read["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.9

    def test_shows_the_settings_of_the_run(self):
        """Whoever wants to train it again finds them here."""
        assert _row(_card(), "`seed`", "## Training") == ["`seed`", "`7`"]

    def test_shows_no_folder_of_the_machine(self):
        """A card is handed round."""
        text = _card(backbone="/home/somebody/backbones/resnet")

        assert _row(text, "`backbone`", "## Training")[1] == "`resnet`"

    def test_a_hostile_name_stays_in_its_cell(self):
        """A class name is no heading, no link, no column, no tag and no mention."""
        text = _card((HOSTILE, "Dog"), note=HOSTILE)

        outside_code = "\n".join(line for line in text.splitlines() if "`note`" not in line)
        for armed in ("\n# Owned", "[free]", "](", "<img", "@everyone", " &lt; ", "https://"):
            assert armed not in outside_code
        assert not any(line.startswith("# Owned") for line in text.splitlines())
        assert "`" not in _row(text, "`note`", "## Training")[1].strip("`")

    def test_counts_samples_by_label_and_side(self):
        """As a snapshot has them."""
        samples = [Sample(i, "", "", "Cat", side) for i, side in enumerate(("train", "train"))]

        assert model_card.count(samples) == {"Cat": {"train": 2}}


class TestAfterwards:
    """What came after the bundle."""

    @pytest.fixture
    def verdict(self) -> dict[str, Any]:
        """As a job keeps it."""
        numbers = {"n": 60, "gained": 1, "lost": 4, "difference": -0.05, "low": -0.1, "high": 0.0}
        row = {"label": "Cat", "verdict": "worse", **numbers}
        return {"decision": "refuse", "reasons": ["Cat: worse"], "overall": row, "classes": [row]}

    def test_shows_the_verdict_with_its_counts(self, verdict: dict[str, Any]):
        """The card says whether the version was good enough, and by which numbers."""
        text = afterwards({"gate": verdict}, [])

        assert "**refuse**" in text
        assert _row(text, "Cat", "## Since") == [
            "Cat", "60", "1", "4", "-5.0", "-10.0", "+0.0", "worse",
        ]  # fmt: skip
        assert "It has never been the champion." in text

    def test_shows_what_the_exam_allowed_and_how_sure_it_was(self):
        """Counts alone decide nothing: look, alpha, margins, p, calibration, latency."""
        verdict = verdict_of_the_gate(LABELS)
        text = afterwards({"gate": verdict.to_dict()}, [])

        assert "- Look 1, alpha 0.05; drop allowed, as a share: 0.05 of a class, 0.01" in text
        assert "p = 2e-31 by McNemar's exact test, 2e-31 after Holm" in text
        assert "error 0.031 (0.04 by chance), at most 0.1; latency 1.02 of the cham" in text

    def test_shows_when_it_became_the_champion(self):
        """And by whom, and why."""
        moved = Move(1, "v3", AT, "trainer", "first version")

        text = afterwards(None, [moved])

        assert "- 2026-03-01: champion, by trainer: first version" in text
        assert "No exam" in text
