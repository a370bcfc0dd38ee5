"""Training images are varied, and stay what they show."""

import pytest
import torch
from torch import Generator, Tensor

from core.errors import UsageError
from trainer.config import RunConfig
from trainer.variation.augment import (
    POLICIES,
    AugmentOptions,
    augment,
    augment_options,
    erase,
)

LIGHT = POLICIES["light"]


@pytest.fixture
def images() -> Tensor:
    """Sixteen equal pictures with a bright left half."""
    picture = torch.full((3, 32, 32), 50.0)
    picture[:, :, :16] = 200.0
    return picture.repeat(16, 1, 1, 1)


def _seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


class TestAugment:
    """One call varies a whole batch."""

    @pytest.mark.parametrize("policy", ["light", "strong", "trivial"])
    def test_varies_each_image_by_itself(self, images: Tensor, policy: str):
        """One shift for all would teach the network less."""
        varied = augment(images, _seeded(0), POLICIES[policy])

        assert varied.shape == images.shape
        assert len({float(each.mean()) for each in varied}) > 12

    @pytest.mark.parametrize("policy", POLICIES)
    def test_is_decided_by_the_generator(self, images: Tensor, policy: str):
        """A run can be repeated."""
        one, two = (augment(images, _seeded(3), POLICIES[policy]) for _ in range(2))

        assert torch.equal(one, two)

    def test_by_no_policy_changes_nothing(self, images: Tensor):
        """`none` means it."""
        assert torch.equal(augment(images, _seeded(0), POLICIES["none"]), images)

    def test_mirrors_about_half_of_the_images(self, images: Tensor):
        """Left and right mean nothing for natural pictures."""
        varied = augment(images.repeat(20, 1, 1, 1), _seeded(0), LIGHT)

        mirrored = varied[..., :8].mean((1, 2, 3)) < varied[..., -8:].mean((1, 2, 3))

        assert 0.4 < mirrored.float().mean() < 0.6

    def test_can_leave_left_and_right_alone(self, images: Tensor):
        """Digits and signs are not what their mirror image is."""
        varied = augment(images, _seeded(0), augment_options("light,flip=0"))

        assert (varied[..., :8].mean((1, 2, 3)) > varied[..., -8:].mean((1, 2, 3))).all()

    @pytest.mark.parametrize("policy", ["light", "strong", "trivial"])
    def test_stays_within_the_range_of_bytes(self, images: Tensor, policy: str):
        """Serving never sees other values, so training must not."""
        varied = augment(images * 1.27, _seeded(0), POLICIES[policy])

        assert varied.min() >= 0
        assert varied.max() <= 255

    @pytest.mark.parametrize("policy", POLICIES)
    def test_computes_where_the_images_are(self, images: Tensor, policy: str):
        """Draws are made on the CPU; torch's meta device refuses to be mixed with it, as a GPU."""
        with pytest.raises(RuntimeError):
            images.to("meta") + images

        varied = augment(images.to("meta"), _seeded(0), POLICIES[policy])

        assert varied.device.type == "meta"

    @pytest.mark.parametrize("name", ["crop", "perspective", "trivial", "colour", "blur", "erase"])
    def test_does_each_change_as_often_as_asked(self, images: Tensor, name: str):
        """A quarter of the pictures, and the others are left to the bit."""
        many = images.repeat(30, 1, 1, 1)

        varied = augment(many, _seeded(0), AugmentOptions(**{name: 0.25}))

        changed = (varied != many).flatten(1).any(1).float().mean()
        assert 0.17 < float(changed) < 0.32


class TestErase:
    """A box in one colour."""

    def test_covers_the_area_that_the_paper_has(self, images: Tensor):
        """From 2 to 33 %, the rest untouched."""
        erased = erase(images.repeat(20, 1, 1, 1), _seeded(0))

        covered = (erased != images.repeat(20, 1, 1, 1)).any(1).float().mean((1, 2))
        assert 0.0 < float(covered.min()) < 0.06
        assert 0.25 < float(covered.max()) < 0.40


class TestAugmentOptions:
    """What stands behind `--augment`."""

    def test_are_a_policy_and_what_differs(self):
        """One word, or one word and a few numbers."""
        options = augment_options("strong,mixup=0.5,flip=0")

        assert (options.mixup, options.flip, options.crop) == (0.5, 0.0, POLICIES["strong"].crop)

    def test_understand_versions_that_said_yes_or_no(self):
        """A champion registered before there were policies is retrained as it was trained."""
        assert augment_options(True) == LIGHT
        assert augment_options(False) == POLICIES["none"]

    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            ("heavy", "write none, light, strong, trivial"),
            ("light,colour=2", "colour 2 must be from 0 to 1"),
            ("light,hue=0.1", "there are flip, shift"),
            ("light,flip", "not a name and a number"),
            ("none,mixup=0.7,cutmix=0.7", "more than 1 together"),
        ],
    )
    def test_refuse_what_there_is_not(self, spec: str, why: str):
        """The message says what there is."""
        with pytest.raises(UsageError, match=why):
            RunConfig(augment=spec)

    def test_of_a_frozen_backbone_can_only_mirror(self):
        """Features are computed once: more would be promised and not done."""
        with pytest.raises(UsageError, match="cannot vary the images"):
            RunConfig(freeze="backbone", augment="strong")

        assert RunConfig(freeze="backbone", augment="none,flip=0.5").fit_options().augment.flip
