"""Layers that keep the magnitude of what passes through them, √(mean of x²), at 1 (EDM2, arXiv 2312.02696, section 2).

Every row of a weight has norm 1, so that inputs without correlation give outputs of their own magnitude; gains undo
what activations, borders and sums change; what cannot be known in advance is normalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

from gan_cli.networks.conditioning import Head, Judgement
from gan_cli.networks.equalised import PixelNorm, Unit
from gan_cli.networks.styles import Noise

L = TypeVar("L", bound=nn.Module)
SLOPE = 0.2


def variance_of_leaky(slope: float) -> float:
    """Var[LeakyReLU(x)], x ~ N(0, 1): (1 + a²)/2 - (1 - a)²/2π, the second term for the mean's square."""
    return (1 + slope**2) / 2 - (1 - slope) ** 2 / (2 * math.pi)


GAIN = variance_of_leaky(SLOPE) ** -0.5


def active(values: Tensor) -> Tensor:
    """LeakyReLU 0.2 with unit variance about its mean, which centred weights do not see."""
    return GAIN * F.leaky_relu(values, SLOPE)


def normalised(layer: L, name: str = "weight", centred: bool = False) -> L:
    """`layer` with its weight of this name normalised: drawn from N(0, 1), forced; biases start at 0."""
    weight, unit = getattr(layer, name), Unit(centred)
    with torch.no_grad():
        weight.copy_(unit.stored(weight.normal_()))
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(bias)
    register_parametrization(layer, name, unit)
    return layer


def wrapped(layer: nn.Module) -> nn.Module:
    """A head's layer, normalised; what has no weights is left alone."""
    return normalised(layer) if isinstance(layer, nn.Linear | nn.Embedding) else layer


class ForcedWeights(nn.Module):
    """A network whose normalised weights are kept at their norm by force, after each of its updates (section 2.3)."""

    @torch.no_grad()
    def force(self) -> None:
        for weight in self.modules():
            if isinstance(weight, ParametrizationList) and isinstance(unit := weight[0], Unit):
                weight.original.copy_(unit.stored(weight.original))


class Gain(nn.Module):
    """g·x, g learned, of which penalties on slopes see only the value: ḡ·x + (g - ḡ)·x̄, bars cutting the gradient.

    The loss learns how certain D is; ∇D is ḡ·∇x, so that no penalty can make it less certain instead of smoother.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, values: Tensor) -> Tensor:
        fixed = self.gain.detach()
        return fixed * values + (self.gain - fixed) * values.detach()


class GainedHead(Head):
    """A head whose logits get a learned gain; those of classes one of their own."""

    def __init__(self, head: Head, classifies: bool) -> None:
        super().__init__()
        self.head = head
        self.gain = Gain()
        self.class_gain = Gain() if classifies else nn.Identity()

    def judge(self, features: Tensor, label: Tensor) -> Judgement:
        logits, of_classes = self.head.judge(features, label)
        return Judgement(self.gain(logits), None if of_classes is None else self.class_gain(of_classes))


class Convolution(nn.Module):
    """3x3 with zeros outside. What they take from a map's energy is made up for: Π (1 - 2/3s) is left, over both sides
    s."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        layer = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.layer = normalised(layer, centred=True)

    def forward(self, values: Tensor) -> Tensor:
        covered = math.prod(1 - 2 / (3 * side) for side in values.shape[-2:])
        output: Tensor = covered**-0.5 * self.layer(values)
        return output


class Block(nn.Module):
    """1x1, activation, 3x3 grouped, activation, 1x1 (R3GAN, arXiv 2501.05441, section 4), without biases."""

    def __init__(self, width: int, inner: int, groups: int) -> None:
        super().__init__()
        self.expand = normalised(nn.Conv2d(width, inner, 1, bias=False), centred=True)
        self.mix = Convolution(inner, groups)
        self.contract = normalised(nn.Conv2d(inner, width, 1, bias=False), centred=True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.contract(active(self.mix(active(self.expand(x)))))
        return output


class CosineAttention(nn.Module):
    """Self-attention whose queries, keys and values are normalised, so that logits are cosines times √d (section 2.3).

    Args:
        head: d, channels of a head; at most all of them.
    """

    def __init__(self, width: int, head: int = 32) -> None:
        super().__init__()
        self.heads = max(1, width // head)
        inner = self.heads * (width // self.heads)
        self.input = normalised(nn.Conv2d(width, 3 * inner, 1, bias=False))
        self.output = normalised(nn.Conv2d(inner, width, 1, bias=False))
        self.norm = PixelNorm()

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        split = self.input(x).reshape(n * self.heads, -1, 3, height * width)
        query, key, value = self.norm(split).unbind(2)  # [N heads, d, positions], mean square 1 over d
        attention = (query.transpose(1, 2) @ key / math.sqrt(key.shape[1])).softmax(2)
        mixed = self.norm(value @ attention.transpose(1, 2))  # a mean of values is smaller than they are
        output: Tensor = self.output(mixed.reshape(n, -1, height, width))
        return output


class Group(nn.Module):
    """x₀ = x, xₗ₊₁ = xₗ + α·fₗ(xₗ/σₗ), then x_L/σ_L: with fₗ of variance 1, that of xₗ is known, σₗ² = 1 + α²·l.

    The bookkeeping of Brock 2021 (arXiv 2102.06171, section 3), with equal weights for all branches.
    """

    def __init__(self, branches: Sequence[nn.Module], weight: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        variance = 1.0
        for branch in self.branches:
            x = x + self.weight * branch(x / math.sqrt(variance))
            variance += self.weight**2
        return x / math.sqrt(variance)


class KeptNoise(nn.Module):
    """(x + s·n)/√(1 + s²), n ~ N(0, 1) one number per position, s learned for each channel, 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.noise = Noise(channels)

    def forward(self, x: Tensor) -> Tensor:
        kept: Tensor = (1 + self.noise.strength.square()).rsqrt().to(x.dtype) * self.noise(x)
        return kept
