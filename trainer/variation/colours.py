"""What is done to the colours of pictures: floats (N, 3, H, W) valued 0 to 255, all at once.

Factors are of shape (N,), 1 leaving a picture as it is. Where Pillow has an operation of the same
name it is this one, without rounding in between; results are cut to 0 and 255.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from trainer.variation.draws import uniform

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_LARGEST_SIGMA = 0.01  # of a blur, as a share of the longer side


def grey(images: Tensor) -> Tensor:
    """Return the luma, (N, 1, H, W)."""
    return (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Move every pixel away from black, or towards it."""
    return (images * _spread(factors).to(images)).clamp(0, 255)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Move every pixel away from the picture's mean grey, or towards it."""
    return _blended(grey(images).mean((2, 3), keepdim=True), images, factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Move every pixel away from its own grey, or towards it."""
    return _blended(grey(images), images, factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Move every pixel away from the mean of its surroundings, or towards it."""
    kernel = images.new_ones(3, 3)
    kernel[1, 1] = 5
    kernel = (kernel / 13).expand(3, 1, 3, 3)
    smooth = images.clone()
    # The outermost pixels have no surroundings, and stay.
    smooth[:, :, 1:-1, 1:-1] = functional.conv2d(images, kernel, groups=3)
    return _blended(smooth, images, factors)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep only the highest bits, (N,), of every byte."""
    steps = _spread(2.0 ** (8 - bits)).to(images)
    return (images.round() / steps).floor() * steps


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert what is as bright as the threshold, (N,), or brighter."""
    return torch.where(images >= _spread(thresholds).to(images), 255 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel to run from 0 to 255; a flat one stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    scale = torch.where(high > low, 255 / (high - low).clamp_min(1e-6), 1.0)
    return torch.where(high > low, ((images - low) * scale).clamp(max=255), images)


def equalize(images: Tensor) -> Tensor:
    """Spread the values of each channel evenly over 0 to 255, as Pillow does."""
    values = images.round().long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(values), 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, values, torch.ones_like(values))
    # The brightest value in use is left out of the step, so that it becomes 255.
    brightest = counts.gather(1, values.amax(1, keepdim=True))
    step = (counts.sum(1, keepdim=True) - brightest) // 255
    below = counts.cumsum(1) - counts
    table = ((below + step // 2) // step.clamp_min(1)).clamp(max=255)
    levelled = torch.where(step > 0, table.gather(1, values), values)
    return levelled.view(images.shape).to(images.dtype)


def jitter(images: Tensor, largest: float, generator: Generator) -> Tensor:
    """Draw and change brightness, contrast and saturation of each by up to `largest`."""
    for change in (brightness, contrast, saturation):
        images = change(images, uniform(len(images), 1 - largest, 1 + largest, generator))
    return images


def blur(images: Tensor, generator: Generator) -> Tensor:
    """Draw and blur each by a Gaussian with a deviation of up to 1 % of the longer side."""
    n, channels, height, width = images.shape
    largest = max(_LARGEST_SIGMA * max(height, width), 1.0)
    sigmas = uniform(n, 0.1, largest, generator).to(images)
    radius = min(round(3 * largest), height - 1, width - 1)
    places = torch.arange(-radius, radius + 1, device=images.device)
    kernels = torch.softmax(-(places**2) / (2 * sigmas[:, None] ** 2), dim=1)
    kernels = kernels.repeat_interleave(channels, dim=0)[:, None]
    # Every channel of every picture is a group of its own, so that each has its own kernel.
    flat = functional.pad(images, (radius,) * 4, mode="replicate").flatten(0, 1)[None]
    flat = functional.conv2d(flat, kernels[:, :, :, None], groups=n * channels)
    flat = functional.conv2d(flat, kernels[:, :, None, :], groups=n * channels)
    return flat.view(images.shape)


def _spread(factors: Tensor) -> Tensor:
    return factors.view(-1, 1, 1, 1)


def _blended(base: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    return (base + (images - base) * _spread(factors).to(images)).clamp(0, 255)
