"""Faults of a camera are found by the descriptors the service logs: short, on drawn pictures.

The long version, on photographs, is `python -m tests.bench.drift`; docs/drift.md has its figures.
"""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from core.bundle.profile import COLUMNS
from core.images.descriptors import DESCRIPTORS, describe
from monitor.drift import columns, drift
from monitor.drift.samples import Sample
from tests.images import photo

PICTURES, WINDOW, RUNS = 400, 200, 20


def _clean(picture: Image.Image) -> Image.Image:
    return picture


def _blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(2))


def _darker(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(0.8)


def _brighter(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(1.2)


def _drawn(seed: int) -> Image.Image:
    """Return smooth colours under grain of a strength of its own, so that blur has work to do."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, rng.uniform(5, 30), (48, 48, 1))
    return Image.fromarray(np.clip(photo(48, 48, seed) + grain, 0, 255).astype(np.uint8))


def _described(lay_over, first: int) -> Sample:
    rows = [describe(lay_over(_drawn(first + i))) for i in range(PICTURES)]
    rng = np.random.default_rng(first)
    found = {name: rng.normal(size=PICTURES) for name in COLUMNS}
    found |= {name: np.array([row[name] for row in rows]) for name in DESCRIPTORS}
    return Sample(found, np.zeros(0, int), np.zeros((0, 256), np.float32), np.array([PICTURES, 0]))


@pytest.fixture(scope="module")
def reference() -> Sample:
    """Pictures as they should be."""
    return _described(_clean, 0)


class TestPower:
    """`columns.compare` and the verdict, on 200 pictures against 400."""

    @pytest.mark.parametrize(
        ("fault", "column"),
        [(_blurred, "sharpness"), (_darker, "brightness"), (_brighter, "brightness")],
    )
    def test_every_window_with_the_fault_is_found(self, reference: Sample, fault, column: str):
        """A blur of radius 2, a fifth less light or a fifth more: by the corrected verdict."""
        faulty, rng = _described(fault, 10_000), np.random.default_rng(1)

        found = [column in _drifted(reference, _window(faulty, rng), rng) for _ in range(RUNS)]

        assert all(found)

    def test_windows_without_a_fault_are_not(self, reference: Sample):
        """The same pictures, other seeds."""
        healthy, rng = _described(_clean, 20_000), np.random.default_rng(2)

        found = [bool(_drifted(reference, _window(healthy, rng), rng)) for _ in range(RUNS)]

        assert sum(found) <= 3


def _window(sample: Sample, rng: np.random.Generator) -> Sample:
    rows = rng.permutation(PICTURES)[:WINDOW]
    return replace(sample, columns={name: each[rows] for name, each in sample.columns.items()})


def _drifted(reference: Sample, current: Sample, rng: np.random.Generator) -> set[str]:
    found = columns.compare(reference, current, ["Cat", "Dog"], {}, rng)
    pairs = zip(found, drift.correct(found), strict=True)
    return {each.column for each, p in pairs if drift.verdict_of(each, p) == "drift"}
