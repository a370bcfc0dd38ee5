"""Thirty days of real pictures, five ways in which one class gets worse, one at a time.

On photographs where there are some beside the repository, else on the public silhouettes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core import catalog
from core.clock import FixedClock
from tests.degradations import DAYS, Degrade, Lived, Plan, degradations, live
from tests.perceptron import perceptron_bundle
from tests.pool import FIRST_DAY, admit
from trainer import pipeline
from weakspot import sample_data

SHARED = Path(__file__).resolve().parents[3] / "shared"
PHOTOS, BACKBONE = SHARED / "data/animals", SHARED / "weights/resnet-50"
PHOTOGRAPHED = ("Beetle", "Cat", "Panda", "Spider", "Tiger", "Zebra")
TRAINED_AT = datetime(2026, 1, 31, tzinfo=UTC)
WAYS = ("blur", "darkness", "crop", "JPEG quality 5", "another species")


@dataclass(frozen=True)
class Material:
    """Pictures nobody has learnt, a model that has learnt others, and what happens.

    Attributes:
        bundle: The model.
        fresh: Picture files by label, for thirty days.
        plan: Who gets worse.
        ways: How.
    """

    bundle: Path
    fresh: Mapping[str, Sequence[bytes]]
    plan: Plan
    ways: Mapping[str, Degrade]


@pytest.fixture(scope="module")
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Photographs, where there are some."""
    folder = tmp_path_factory.mktemp("material")
    if PHOTOS.is_dir() and BACKBONE.is_dir():
        return _photographs(request.getfixturevalue("module_engine"), folder)
    return _silhouettes(request.getfixturevalue("sample_set"), folder)


def _silhouettes(sample_set: Path, folder: Path) -> Material:
    learnt, held_back = 400, 200
    pictures = {
        label: [path.read_bytes() for path in sorted((sample_set / label).iterdir())]
        for label in sample_data.CLASSES
    }
    plan = Plan(weak="Elephant", donor="Cow", first=FIRST_DAY)
    return Material(
        perceptron_bundle(
            folder,
            {label: files[:learnt] for label, files in pictures.items()},
            {label: files[learnt : learnt + held_back] for label, files in pictures.items()},
        ),
        {label: files[-DAYS * plan.per_day :] for label, files in pictures.items()},
        plan,
        degradations(blur=3, light=0.12, kept=0.6),
    )


def _photographs(engine: Engine, folder: Path) -> Material:
    plan = Plan(weak="Spider", donor="Beetle", first=FIRST_DAY)
    lines, fresh = ["path,label,split"], {}
    for label in PHOTOGRAPHED:
        paths = sorted(PHOTOS.glob(f"*/{label}/*"))[: 130 + DAYS * plan.per_day]
        sides = ["train"] * 80 + ["val"] * 40 + ["test"] * 10
        lines += [f"{path},{label},{side}" for path, side in zip(paths, sides, strict=False)]
        fresh[label] = [path.read_bytes() for path in paths[130:]]
    listing = folder / "learnt.csv"
    listing.write_text("\n".join(lines), encoding="utf-8")
    catalog.import_images(engine, str(listing), added_at=TRAINED_AT)
    trained = pipeline.train(
        engine,
        pipeline.RunConfig(backbone=str(BACKBONE), freeze="backbone", image_size=128, resize=146),
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(TRAINED_AT),
    )
    bundle = folder / "bundles" / trained.version
    return Material(bundle, fresh, plan, degradations(blur=8, light=0.08, kept=0.35))


@pytest.fixture
def lived(
    request: pytest.FixtureRequest, material: Material, engine: Engine, tmp_path: Path
) -> Lived:
    """What thirty days showed of the degradation that the test is called with."""
    admit(engine, material.bundle, promoted_at=datetime(2026, 2, 20, tzinfo=UTC))
    way = (request.param, material.ways[request.param])
    return live(engine, tmp_path, material.fresh, material.plan, way)


class TestDegradations:
    """The monitor's whole judgement, on pictures that it has never seen."""

    @pytest.mark.parametrize("lived", WAYS, indirect=True)
    def test_is_noticed_where_it_does_harm_and_nothing_else_is(self, lived: Lived, record_property):
        """Weeks late or one false alarm a day is what everybody else offers.

        A way that leaves the answers as they were (JPEG artefacts, to silhouettes) is nobody's
        worry, and must not raise an alarm either.
        """
        record_property("days", str(lived))
        harmful = lived.after < lived.before - 0.1
        assert lived.false_alarms == []
        assert (lived.alarm_day is not None) == harmful, lived
        assert not harmful or (lived.alarm_day or 99) <= 15, lived
