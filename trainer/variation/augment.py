"""How training images are varied from pass to pass, on tensors and all at once.

A policy says how probable each change is; `light`, the default, is what leaves the label of a
natural picture as it is: mirroring, a small shift and zoom, and changed brightness, contrast and
saturation. Everything random comes from the generator handed in, on the CPU: the same seed varies
in the same way on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

import torch
from torch import Generator, Tensor

from core.errors import UsageError
from trainer.variation import colours, mixing, warp
from trainer.variation.draws import chosen, uniform
from trainer.variation.trivial import trivial

ERASED = (0.02, 0.33)  # of the area
ERASED_ASPECT = 3.3

_SIZES = {"jitter", "crop_area"}


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """How images are varied: the probability of each change, for each image by itself.

    Attributes:
        flip: Left becomes right.
        shift: A shift by up to 8 % of the side and a zoom by up to 10 %.
        crop: A part is blown up to the whole.
        perspective: The picture is seen aslant.
        trivial: One operation of TrivialAugment.
        colour: Changed brightness, contrast and saturation.
        blur: A Gaussian blur.
        erase: A box of one colour lies over 2 to 33 % of it.
        mixup: Of a batch: pictures are laid over each other.
        cutmix: Of a batch: a box is cut out of each and put into another.
        jitter: Largest change of brightness, contrast and saturation.
        crop_area: Smallest share of the picture that a crop keeps.

    Raises:
        UsageError: A value is not from 0 to 1, or a batch is mixed more often than always.
    """

    flip: float = 0.0
    shift: float = 0.0
    crop: float = 0.0
    perspective: float = 0.0
    trivial: float = 0.0
    colour: float = 0.0
    blur: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    jitter: float = 0.2
    crop_area: float = 0.35

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise UsageError(f"augment: {name} {value:g} must be from 0 to 1")
        if self.mixup + self.cutmix > 1:
            raise UsageError(
                f"augment: mixup {self.mixup:g} and cutmix {self.cutmix:g} are more than 1 together"
            )

    @property
    def mixes(self) -> bool:
        """Whether images of different classes can get into one picture."""
        return self.mixup + self.cutmix > 0

    @property
    def only_flips(self) -> bool:
        """Whether nothing happens but what a frozen backbone's kept features have: mirroring."""
        sizes = {name: getattr(self, name) for name in _SIZES}
        return self == AugmentOptions(flip=self.flip, **sizes)


POLICIES = {
    "none": AugmentOptions(),
    "light": AugmentOptions(flip=0.5, shift=1.0, colour=1.0),
    "strong": AugmentOptions(
        flip=0.5,
        crop=1.0,
        perspective=0.2,
        colour=0.8,
        blur=0.2,
        erase=0.25,
        mixup=0.2,
        cutmix=0.2,
        jitter=0.4,
    ),
    "trivial": AugmentOptions(flip=0.5, crop=1.0, trivial=1.0, erase=0.1),
}
DEFAULT_POLICY = "light"


def augment_options(spec: str | bool) -> AugmentOptions:
    """Read a policy and what is to differ from it, such as `strong,mixup=0.5,flip=0`.

    Versions that were registered before there were policies say true or false.

    Raises:
        UsageError: There is no such policy or change, or a value is out of bounds.
    """
    if isinstance(spec, bool):
        return POLICIES[DEFAULT_POLICY if spec else "none"]
    policy, *changes = (part.strip() for part in spec.split(","))
    if policy not in POLICIES:
        raise UsageError(f"augment {policy!r} is unknown; write {', '.join(POLICIES)}")
    values: dict[str, float] = {}
    names = [field.name for field in fields(AugmentOptions)]
    for change in changes:
        name, _, value = change.partition("=")
        if name not in names:
            raise UsageError(f"augment has no {name!r}; there are {', '.join(names)}")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise UsageError(f"augment: {change!r} is not a name and a number") from error
    return replace(POLICIES[policy], **values)


def augment(images: Tensor, generator: Generator, options: AugmentOptions) -> Tensor:
    """Return a varied copy of float images (N, 3, H, W) valued 0 to 255; labels still hold."""
    images = _moved(images, generator, options)
    steps: list[tuple[float, Callable[[Tensor], Tensor]]] = [
        (options.trivial, lambda some: trivial(some, generator)),
        (options.colour, lambda some: colours.jitter(some, options.jitter, generator)),
        (options.blur, lambda some: colours.blur(some, generator)),
        (options.erase, lambda some: erase(some, generator)),
    ]
    for probability, change in steps:
        images = _at(chosen(len(images), probability, generator), images, change)
    return images


def mix(
    images: Tensor, labels: Tensor, classes: int, generator: Generator, options: AugmentOptions
) -> tuple[Tensor, Tensor]:
    """Return the batch, mixed or as it is, and its targets.

    Args:
        images: Floats (N, 3, H, W).
        labels: Class numbers (N,).
        classes: How many classes there are, K.
        generator: Decides.
        options: How often.

    Returns:
        Images, and class numbers (N,) or, where they were mixed, shares of the classes (N, K).
    """
    luck = float(uniform(1, 0, 1, generator))
    if luck >= options.mixup + options.cutmix:
        return images, labels
    shares = torch.nn.functional.one_hot(labels, classes).to(images.dtype)
    how = mixing.mixup if luck < options.mixup else mixing.cutmix
    return how(images, shares, generator)


def erase(images: Tensor, generator: Generator) -> Tensor:
    """Draw a box over each, in one random colour (Zhong et al. 2020, Random Erasing)."""
    n, channels, height, width = images.shape
    area = uniform(n, *ERASED, generator)
    aspect = ERASED_ASPECT ** uniform(n, -1, 1, generator)
    ys, xs = (
        _within(length, (area * each).sqrt(), uniform(n, 0, 1, generator)).to(images.device)
        for length, each in ((height, 1 / aspect), (width, aspect))
    )
    box = ys[:, None, :, None] & xs[:, None, None, :]
    colour = uniform(n * channels, 0, 255, generator).to(images).view(n, channels, 1, 1)
    return torch.where(box, colour, images)


def _moved(images: Tensor, generator: Generator, options: AugmentOptions) -> Tensor:
    """Flip, shift, cut and slant each by its own luck; all of it is one look-up."""
    n = len(images)
    kinds: list[tuple[float, Callable[[int], Tensor]]] = [
        (options.shift, lambda some: warp.shifts(some, generator)),
        (options.crop, lambda some: warp.crops(some, options.crop_area, generator)),
        (options.perspective, lambda some: warp.slants(some, generator)),
        (options.flip, warp.flips),
    ]
    moves = torch.eye(3).repeat(n, 1, 1)
    moved = torch.zeros(n, dtype=torch.bool)
    for probability, draw in kinds:
        places = chosen(n, probability, generator)
        moves[places] = moves[places] @ draw(len(places))
        moved[places] = True
    # What nothing happens to is not looked up anew, which would cost its sharpness.
    places = moved.nonzero().flatten()
    return _at(places, images, lambda some: warp.warp(some, moves[places], outside="border"))


def _at(places: Tensor, images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change the images at these places; a batch of none or of all is not taken apart."""
    if len(places) in {0, len(images)}:
        return change(images) if len(places) else images
    here = places.to(images.device)
    return images.index_copy(0, here, change(images[here]))


def _within(length: int, share: Tensor, luck: Tensor) -> Tensor:
    """Return which of `length` pixels lie within a stretch of that share, (n, length)."""
    share = share.clamp(max=1)
    start = luck * (1 - share)
    centres = (torch.arange(length) + 0.5) / length
    return (centres >= start[:, None]) & (centres < (start + share)[:, None])
