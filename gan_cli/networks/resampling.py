"""Filtered resampling, as StyleGAN and its successors have it, and convolutions that double the sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function


class Depthwise(Function):
    """Each channel of `[N, C, H, W]` convolved with one fixed kernel `[k, k]`; its gradient is `Transposed`.

    PyTorch's own second derivative of a convolution also computes the gradient of the kernel, needed or not, with one
    convolution per channel. Under a gradient penalty that takes longer than everything else the layer does.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
        return F.conv2d(values, for_each(values, kernel), stride=stride, padding=padding, groups=values.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
        values, ctx.kernel, ctx.stride, ctx.padding = inputs
        ctx.left = [(side + 2 * ctx.padding - len(ctx.kernel)) % ctx.stride for side in values.shape[2:]]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        found: Tensor = Transposed.apply(*gradients, ctx.kernel, ctx.stride, ctx.padding, ctx.left)
        return found, None, None, None


class Transposed(Function):
    """The transpose of `Depthwise`, which is its gradient in turn; `left`: rows and columns beyond the last stride."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, kernel: Tensor, stride: int, padding: int, left: Sequence[int]) -> Tensor:
        each = for_each(values, kernel)
        return F.conv_transpose2d(values, each, None, stride, padding, list(left), groups=values.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int, Sequence[int]], output: Tensor) -> None:
        _, ctx.kernel, ctx.stride, ctx.padding, _ = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        found: Tensor = Depthwise.apply(*gradients, ctx.kernel, ctx.stride, ctx.padding)
        return found, None, None, None, None


def for_each(values: Tensor, kernel: Tensor) -> Tensor:
    """The kernel for each channel of `values`, `[C, 1, k, k]`."""
    return kernel.to(values.dtype).expand(values.shape[1], 1, -1, -1)


class Filter(nn.Module):
    """Depthwise convolution with k ⊗ k, k = [1, 3, 3, 1]/8 = [1, 2, 1]/4 * [1, 1]/2, zeros outside.

    [1, 1] is repetition (or averaging), which [1, 2, 1] smooths: StyleGAN's bilinear resampling (arXiv 1812.04948,
    section 2), and the filter of the authors' code for StyleGAN2.

    Args:
        padding: On each border; the sides change by 2·padding - 3.
        gain: Factor of the kernel, whose values otherwise sum to 1.
    """

    kernel: Tensor

    def __init__(self, padding: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.padding = padding
        self.register_buffer("kernel", gain * torch.outer(taps, taps), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        filtered: Tensor = Depthwise.apply(values, self.kernel, 1, self.padding)
        return filtered


class Downsample(Filter):
    """Halves the sides: the filter, then every second position."""

    def forward(self, values: Tensor) -> Tensor:
        halved: Tensor = Depthwise.apply(values, self.kernel, 2, 1)
        return halved


class Upsample(Filter):
    """Doubles the sides: zeros between the positions, then the filter with gain 4.

    It is 4 times the transpose of `Downsample`.
    """

    def __init__(self) -> None:
        super().__init__(gain=4.0)

    def forward(self, values: Tensor) -> Tensor:
        doubled: Tensor = Transposed.apply(values, self.kernel, 2, 1, (0, 0))
        return doubled


class SameConvolution(nn.Module):
    """Values `[N, I, H, W]` and a weight `[O, I, k, k]`, k odd, to `[N, O, H, W]`."""

    def forward(self, values: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(values, weight, padding=weight.shape[-1] // 2)


class UpConvolution(nn.Module):
    """Values `[N, I, H, W]` and a weight `[O, I, 3, 3]` to `[N, O, 2H, 2W]`: zeros in between, weight, filter.

    The same as a convolution after `Upsample` (except at the borders), for a quarter of the work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.smooth = Filter(padding=1, gain=4.0)

    def forward(self, values: Tensor, weight: Tensor) -> Tensor:
        mirrored = weight.flip(2, 3).transpose(0, 1)  # as the transpose of a convolution reads it
        smoothed: Tensor = self.smooth(F.conv_transpose2d(values, mirrored, stride=2))
        return smoothed
