"""What progressive, style-based and magnitude-preserving networks share: how weights are read, pixel norm, widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from gan_cli.networks.sides import halvings

L = TypeVar("L", bound=nn.Module)
HE = math.sqrt(2)  # the gain that keeps the variance through a (leaky) ReLU: He 2015, arXiv 1502.01852


class Scale(nn.Module):
    """A weight read as `factor` times its raw value."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, raw: Tensor) -> Tensor:
        return raw * self.factor


class Unit(nn.Module):
    """A weight `[O, ...]` read with rows of norm 1, n numbers each (equation 47): w = ŵ/‖ŵ‖, and `stored` as ŵ = √n·w.

    Gradients of ŵ are orthogonal to it. Left alone they would make it longer and so slow it down; kept at the norm √n,
    every weight turns as fast as the learning rate says (section 2.3).

    Args:
        centred: Whether the mean of each row is taken off first, so that it is blind to what all its inputs share.
    """

    def __init__(self, centred: bool) -> None:
        super().__init__()
        self.centred = centred

    def forward(self, raw: Tensor) -> Tensor:
        rows = raw.flatten(1)
        rows = rows - rows.mean(1, keepdim=True) if self.centred else rows
        return F.normalize(rows, dim=1).view_as(raw)

    def stored(self, raw: Tensor) -> Tensor:
        return math.sqrt(raw[0].numel()) * self.forward(raw)


def equalised(layer: L, gain: float = 1.0, lr_multiplier: float = 1.0) -> L:
    """Equalised learning rate (arXiv 1710.10196, section 4.1): raw weights ~ N(0, 1), scaled by gain/√fan_in when read.

    Optimizers such as Adam take steps of the same size whatever a weight's scale; this way every layer learns equally
    fast. Biases start at 0.

    Args:
        layer: Has a `weight` `[out, ...]`; its fan-in is the number of inputs that one output reads.
        lr_multiplier: λ; weights and biases learn λ times as fast, from the same effective values (arXiv 1812.04948,
            appendix C, has 0.01 in the mapping network).
    """
    weight, bias = layer.weight, getattr(layer, "bias", None)
    assert isinstance(weight, Tensor)
    nn.init.normal_(weight, 0.0, 1 / lr_multiplier)
    register_parametrization(layer, "weight", Scale(lr_multiplier * gain / math.sqrt(weight[0].numel())))
    if bias is not None:
        nn.init.zeros_(bias)
    if bias is not None and lr_multiplier != 1:
        register_parametrization(layer, "bias", Scale(lr_multiplier))
    return layer


def leaky(values: Tensor) -> Tensor:
    """LeakyReLU 0.2 times √2: keeps unit variance, so that weights need no gain (StyleGAN2's convention)."""
    return HE * F.leaky_relu(values, 0.2)


class PixelNorm(nn.Module):
    """x / √(mean of x² over channels): unit mean square at every position (arXiv 1710.10196, section 4.2).

    It has the signature of a normalisation layer, but no parameters.
    """

    def __init__(self, channels: int | None = None, affine: bool = True) -> None:
        super().__init__()

    def forward(self, values: Tensor) -> Tensor:
        precise = torch.promote_types(values.dtype, torch.float32)
        mean_square = values.to(precise).square().mean(1, keepdim=True)
        return values * (mean_square + 1e-8).rsqrt().to(values.dtype)


class Pyramid(NamedTuple):
    """The feature maps of a network that doubles or halves its sides, from the smallest."""

    base: tuple[int, int]  # the smallest map
    widths: tuple[int, ...]  # channels of each, the smallest map's first


def pyramid(model: str, resolution: int | Sequence[int], channel_base: int, channel_max: int) -> Pyramid:
    """Maps from a side of 4 up to `resolution`, with min(channel_max, channel_base / side) channels.

    Raises:
        Incompatible: The data are not images, or a side does not halve evenly down to 4.
    """
    count, base = halvings(model, resolution, least=1)
    widths = tuple(max(1, min(channel_max, channel_base // (4 << stage))) for stage in range(count + 1))
    return Pyramid(base, widths)
