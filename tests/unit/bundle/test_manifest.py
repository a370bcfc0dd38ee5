"""The manifest says the same thing twice, and refuses what no bundle can be."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.bundle.manifest import Manifest
from core.errors import BundleError
from core.images.preprocess import Recipe

DIGEST = "a" * 64


def _manifest() -> Manifest:
    return Manifest(
        name="classifier",
        version="v1",
        labels=("Kudu", "Ñandú"),
        recipe=Recipe(16, 16, resize=20, interpolation="bicubic"),
        temperature=1.25,
        architecture="microsoft/resnet-50",
        created_at=datetime(2026, 3, 1, 12, 30, 15, 123456, UTC),
        snapshot=DIGEST,
        training={"epochs": 3},
        metrics={"val": {"top1": 0.9}},
        reference={
            "Kudu": {"n": 10, "correct": 9, "confused": {"Ñandú": 1}},
            "Ñandú": {"n": 0, "correct": 0, "confused": {}},
        },
        files={"model.onnx": DIGEST},
    )


class TestManifest:
    """The facts of one version."""

    def test_comes_back_from_json_as_it_went(self):
        """A fact that changes on the way through the disk would be a silent fault."""
        manifest = _manifest()

        assert Manifest.from_json(manifest.to_json()) == manifest

    def test_has_one_text_for_the_same_facts(self):
        """The digest of the text stands for the version."""
        manifest = _manifest()
        shuffled = replace(manifest, reference=dict(reversed(manifest.reference.items())))

        assert shuffled.to_json() == manifest.to_json()

    def test_says_the_moment_in_utc(self):
        """A moment in another zone is the same moment, and the same text."""
        manifest = _manifest()
        zone = timezone(timedelta(hours=5))

        elsewhere = replace(manifest, created_at=manifest.created_at.astimezone(zone))

        assert elsewhere.to_json() == manifest.to_json()

    @pytest.mark.parametrize(
        ("facts", "complaint"),
        [
            ({"name": ""}, "name is empty"),
            ({"version": "../v1"}, "no plain folder name"),
            ({"version": ".v1"}, "no plain folder name"),
            ({"labels": ("Kudu",)}, "1 labels"),
            ({"labels": ("Kudu", "Kudu")}, "occurs twice"),
            ({"labels": ("Kudu", "")}, "label is empty"),
            ({"temperature": 0.0}, "temperature 0.0"),
            ({"temperature": float("nan")}, "temperature nan"),
            ({"created_at": datetime(2026, 3, 1)}, "no zone"),  # noqa: DTZ001
            ({"snapshot": "abc"}, "snapshot 'abc'"),
            ({"reference": {}}, "reference and labels differ"),
            ({"files": {"../model.onnx": DIGEST}}, "no plain file name"),
            ({"files": {"manifest.json": DIGEST}}, "no plain file name"),
            ({"files": {"model.onnx": DIGEST.upper()}}, "digest of model.onnx"),
        ],
    )
    def test_refuses_an_impossible_fact(self, facts, complaint):
        """A manifest that exists is valid, whoever made it."""
        with pytest.raises(BundleError, match=complaint):
            replace(_manifest(), **facts)

    @pytest.mark.parametrize(
        ("counts", "complaint"),
        [
            ({"n": 10, "correct": 11, "confused": {}}, "exceed n = 10"),
            ({"n": 10, "correct": 9, "confused": {"Ñandú": 2}}, "exceed n = 10"),
            ({"n": 10, "correct": 9, "confused": {"Gnu": 1}}, r"\['Gnu'\], which are no labels"),
            ({"n": 10, "correct": 9.0, "confused": {}}, "no count"),
            ({"n": -1, "correct": 0, "confused": {}}, "no count"),
            ({"n": 10, "correct": 9}, "no JSON object"),
        ],
    )
    def test_refuses_counts_that_do_not_add_up(self, counts, complaint):
        """The reference levels of every class are computed from them."""
        manifest = _manifest()

        with pytest.raises(BundleError, match=complaint):
            replace(manifest, reference={**manifest.reference, "Kudu": counts})

    def test_refuses_to_write_nan(self):
        """JSON and Postgres have no NaN; a metric that could not be computed is left out."""
        manifest = replace(_manifest(), metrics={"val": {"auroc": float("nan")}})

        with pytest.raises(BundleError, match="what JSON cannot"):
            manifest.to_json()

    @pytest.mark.parametrize(
        ("facts", "complaint"),
        [
            ({"format": 3}, "format 3"),
            ({"format": 2}, "lacks .'variants'."),
            ({"variants": {}}, "format 1 does not know"),
            ({"format": 2, "variants": {"int8": {}}}, "variant int8: kept is not true"),
            ({"colour": "red"}, "'colour'"),
            ({"name": 7}, "name is no text"),
            ({"temperature": "1"}, "temperature is no number"),
            ({"labels": "Kudu"}, "labels are no list"),
            ({"labels": ["Kudu", 7]}, "label is no text"),
            ({"created_at": "yesterday"}, "no moment"),
            ({"created_at": 0}, "no moment"),
            ({"recipe": {"height": 16}}, "a recipe has exactly"),
            ({"recipe": None}, "recipe is no JSON object"),
            ({"files": {"model.onnx": 7}}, "digest of model.onnx"),
        ],
    )
    def test_refuses_json_of_another_shape(self, facts, complaint):
        """Whoever reads it later may rely on every type."""
        text = json.dumps({**json.loads(_manifest().to_json()), **facts})

        with pytest.raises(BundleError, match=complaint):
            Manifest.from_json(text)

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", b"\xff\xfe", '{"format": NaN}'])
    def test_refuses_what_is_no_json_object(self, text):
        """A half-written file is named as one."""
        with pytest.raises(BundleError, match=r"manifest\.json"):
            Manifest.from_json(text)

    def test_refuses_json_that_lacks_a_fact(self):
        """Nothing is made up for a fact that is not there."""
        facts = json.loads(_manifest().to_json())
        del facts["labels"]

        with pytest.raises(BundleError, match=r"lacks \['labels'\]"):
            Manifest.from_json(json.dumps(facts))
