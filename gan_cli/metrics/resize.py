"""Resizing as a linear map of rows and of columns: one small matrix per side, batched on any device.

Each resize is `down @ images @ acrossᵀ`; each matrix reproduces the resizing of another program, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def _bilinear(size: int, position: Tensor) -> Tensor:
    """`[target, size]`: each output interpolates between the two neighbours of its position, clamped at the borders."""
    position = position.clamp(0, size - 1)
    low = position.floor().long()
    high = (low + 1).clamp(max=size - 1)
    rows = torch.arange(len(position))
    matrix = torch.zeros(len(position), size, dtype=torch.float64)
    matrix[rows, low] += 1 - (position - low)
    matrix[rows, high] += position - low
    return matrix


@cache
def tf1(size: int, target: int) -> Tensor:
    """TensorFlow 1's bilinear: output j samples j·size/target, without the half-pixel shift (the published FID)."""
    return _bilinear(size, torch.arange(target, dtype=torch.float64) * (size / target)).float()


@cache
def half_pixel(size: int, target: int) -> Tensor:
    """torch's bilinear without antialiasing: output j samples (j + ½)·size/target - ½ (pytorch-fid)."""
    return _bilinear(size, (torch.arange(target, dtype=torch.float64) + 0.5) * (size / target) - 0.5).float()


@cache
def clean(size: int, target: int) -> Tensor:
    """Pillow's antialiased bicubic (clean-fid, arXiv 2104.11222), read off torch's kernel, which agrees with it."""
    unit = torch.eye(size, dtype=torch.float64).view(1, 1, size, size)  # row i is the response to input i
    answers = F.interpolate(unit, (size, target), mode="bicubic", antialias=True, align_corners=False)
    return answers.view(size, target).T.float()


RESIZES: Mapping[str, Callable[[int, int], Tensor]] = {"tf1": tf1, "torch": half_pixel, "clean": clean}


def resize(images: Tensor, matrix: Callable[[int, int], Tensor], target: int) -> Tensor:
    """Float `[N, C, H, W]` to `[N, C, target, target]`."""
    down = matrix(images.shape[-2], target).to(images.device)
    across = matrix(images.shape[-1], target).to(images.device)
    return down @ images @ across.T
