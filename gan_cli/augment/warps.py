"""Geometric transforms that can be differentiated twice: every operation only selects and combines pixels linearly.

(PyTorch's `grid_sample` has no second derivative, which gradient penalties through an augmentation need.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def per_sample(samples: Tensor) -> Tensor:
    """One number in [0, 1) per sample, shaped to multiply it."""
    return torch.rand(len(samples), *[1] * (samples.ndim - 1), device=samples.device)


def mirrored(images: Tensor, probability: float = 0.5) -> Tensor:
    """Mirrors each image left to right with `probability`."""
    return torch.where(per_sample(images) < probability, images.flip(3), images)


def nearest(value: float) -> int:
    """The nearest integer; of two, the larger."""
    return math.floor(value + 0.5)


def shifted(images: Tensor, reach: float, fill: float, rounded: Callable[[float], int] = round) -> Tensor:
    """Shifts each image `[N, C, H, W]` by whole pixels, up to `reach` of a side; the gap gets the value `fill`."""
    n, _, height, width = images.shape
    reach_y, reach_x = rounded(reach * height), rounded(reach * width)
    padded = F.pad(images, (reach_x, reach_x, reach_y, reach_y), value=fill)
    down = torch.randint(2 * reach_y + 1, (n, 1), device=images.device)
    right = torch.randint(2 * reach_x + 1, (n, 1), device=images.device)
    rows = (torch.arange(height, device=images.device) + down).view(n, 1, height, 1)
    columns = (torch.arange(width, device=images.device) + right).view(n, 1, 1, width)
    sample = torch.arange(n, device=images.device).view(n, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
    return padded[sample, channel, rows, columns]


def reflect(place: Tensor, size: int) -> Tensor:
    """Integer positions reflected into 0 ... size - 1 at the borders."""
    if size == 1:
        return torch.zeros_like(place)
    period = 2 * (size - 1)
    folded = place.remainder(period)
    return torch.minimum(folded, period - folded)


def warped(images: Tensor, inverse: Tensor) -> Tensor:
    """Images `[N, C, H, W]` under affine maps, bilinear, reflected at the borders.

    Args:
        inverse: `[N, 2, 3]`, from output to input coordinates (x, y, 1) in pixels from the centre.
    """
    n, channels, height, width = images.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device) - (height - 1) / 2,
        torch.arange(width, device=images.device) - (width - 1) / 2,
        indexing="ij",
    )
    places = torch.stack([x.flatten(), y.flatten(), torch.ones(height * width, device=images.device)])
    with torch.autocast(images.device.type, enabled=False):  # coordinates need all their digits
        source = inverse @ places  # [N, 2, H W]
    x, y = source[:, 0] + (width - 1) / 2, source[:, 1] + (height - 1) / 2
    left, top = x.floor(), y.floor()
    flat = images.flatten(2)
    result = torch.zeros_like(flat)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (1 - (x - left - dx).abs()) * (1 - (y - top - dy).abs())
            column, row = reflect((left + dx).long(), width), reflect((top + dy).long(), height)
            index = (row * width + column).unsqueeze(1).expand(-1, channels, -1)
            result = result + weight.unsqueeze(1).to(flat.dtype) * flat.gather(2, index)
    return result.view(n, channels, height, width)
