"""Weeks of real pictures, five ways in which one class gets worse, one at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.store.database import create_engine
from tests.degradations import (
    FAULT_DAY,
    Lived,
    Past,
    Plan,
    degradations,
    live,
    live_well,
)
from tests.perceptron import perceptron_bundle
from tests.pool import FIRST_DAY, admit
from weakspot import sample_data

Copied = Callable[[str], AbstractContextManager[str]]

LEARNT, HELD_BACK = 400, 200
WAYS = degradations(blur=3, light=0.12, kept=0.6)
HARMLESS = "JPEG quality 5"  # to white silhouettes on black
# Fifteen days from the fault on, within which it is to be noticed.
PLAN = Plan(weak="Elephant", donor="Cow", first=FIRST_DAY, days=FAULT_DAY + 14)


@pytest.fixture(scope="module")
def pictures(sample_set: Path) -> dict[str, list[bytes]]:
    """The public sample set, by label."""
    return {
        label: [path.read_bytes() for path in sorted((sample_set / label).iterdir())]
        for label in sample_data.CLASSES
    }


@pytest.fixture(scope="module")
def bundle(
    pictures: Mapping[str, Sequence[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model that has learnt some of them."""
    return perceptron_bundle(
        tmp_path_factory.mktemp("bundles"),
        {label: files[:LEARNT] for label, files in pictures.items()},
        {label: files[LEARNT : LEARNT + HELD_BACK] for label, files in pictures.items()},
    )


@pytest.fixture(scope="module")
def fresh(pictures: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """What arrives on all days together, by label."""
    last = PLAN.days * PLAN.per_day
    return {label: list(files[-last:]) for label, files in pictures.items()}


@pytest.fixture(scope="module")
def past(
    bundle: Path,
    fresh: Mapping[str, Sequence[bytes]],
    module_engine: Engine,
    tmp_path_factory: pytest.TempPathFactory,
) -> Past:
    """What the days before the fault showed: the same ones for every degradation."""
    admit(module_engine, bundle, promoted_at=datetime(2026, 2, 20, tzinfo=UTC))
    past = live_well(module_engine, tmp_path_factory.mktemp("past"), fresh, PLAN)
    module_engine.dispose()  # what is connected to cannot be copied
    return past


@pytest.fixture
def lived(
    request: pytest.FixtureRequest,
    past: Past,
    fresh: Mapping[str, Sequence[bytes]],
    module_engine: Engine,
    copied: Copied,
    tmp_path: Path,
) -> Iterator[Lived]:
    """What the days showed of the degradation that the test is called with."""
    degrade = (request.param, WAYS[request.param])
    with copied(str(module_engine.url.database)) as url:
        engine = create_engine(url)
        yield live(engine, tmp_path, fresh, PLAN, degrade, past)
        engine.dispose()


class TestDegradations:
    """The monitor's whole judgement, on pictures that it has never seen."""

    @pytest.mark.parametrize("lived", [way for way in WAYS if way != HARMLESS], indirect=True)
    def test_is_noticed_and_nothing_else_is(self, lived: Lived):
        """Weeks late or one false alarm a day is what everybody else offers."""
        assert lived.after < lived.before - 0.1, lived
        assert lived.alarm_day is not None, lived
        assert lived.alarm_day <= 15, lived
        assert lived.false_alarms == []

    @pytest.mark.parametrize("lived", [HARMLESS], indirect=True)
    def test_that_does_no_harm_raises_no_alarm(self, lived: Lived):
        """Pictures that look worse and are named as before are nobody's worry."""
        assert abs(lived.after - lived.before) < 0.1, lived
        assert (lived.alarm_day, lived.false_alarms) == (None, [])
