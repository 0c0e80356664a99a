"""R3GAN (Huang 2024, arXiv 2501.05441, section 4): residual stages without normalisation, kept in scale by Fix-up.

L residual blocks 1x1 - 3x3 grouped - 1x1; LeakyReLU 0.2 twice inside a block, and a bias only there; bilinear
resampling, [1,2,1] over repeated or averaged pixels; a learned 4x4 basis between vectors and maps. No tanh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, two_lines
from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.equalised import Downsample, Upsample
from gan_cli.networks.sides import halvings
from gan_cli.types import PositiveInt

GAIN = math.sqrt(2 / (1 + 0.2**2))  # makes up for the variance that LeakyReLU 0.2 removes (He 2015, arXiv 1502.01852)


def scaled(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Weights N(0, gain² / inputs), biases 0; modules other than linear maps and convolutions are left alone."""
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """x + 1x1(σ(3x3 grouped(σ(1x1(x))))), σ = LeakyReLU 0.2: the identity at first, since the last weights are zero.

    The others are scaled by L^(-1 / (2m - 2)) with m = 3 layers a block (Fix-up, arXiv 1901.09321, section 4).
    """

    def __init__(self, width: int, inner: int, groups: int, depth: int) -> None:
        super().__init__()
        gain = GAIN * depth**-0.25
        self.expand = scaled(nn.Conv2d(width, inner, 1), gain)
        self.mix = scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=groups), gain)
        self.contract = scaled(nn.Conv2d(inner, width, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.expand(x), 0.2)
        inner = F.leaky_relu(self.mix(inner), 0.2)
        return x + self.contract(inner)


class Basis(nn.Module):
    """A vector `[N, F]` to a map on a learned basis: channel c is (W z)_c times basis image c."""

    def __init__(self, features: int, width: int, side: tuple[int, int]) -> None:
        super().__init__()
        self.linear = scaled(nn.Linear(features, width, bias=False))
        self.images = nn.Parameter(torch.randn(width, *side))

    def forward(self, vector: Tensor) -> Tensor:
        return self.linear(vector)[:, :, None, None] * self.images


class ResidualStage(nn.Module):
    """Resampling, then what the label may change, then the blocks."""

    def __init__(self, transition: nn.Module, norm: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.transition = transition
        self.norm = norm
        self.blocks = nn.Sequential(*blocks)

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        output: Tensor = self.blocks(self.norm(self.transition(values), label))
        return output


def block_maker(width: int, expansion: int, group_width: int, depth: int) -> Callable[[], Block]:
    """Makes the blocks of a network of `depth` blocks. Raises ConfigError when the channels do not split evenly."""
    inner = expansion * width
    if inner % group_width:
        what = f"model.width={width}: {inner} inner channels do not split into groups of {group_width}"
        multiple = group_width // math.gcd(group_width, expansion)
        raise ConfigError(two_lines(what, f"use a multiple of {multiple}, or another model.group_width"))
    return lambda: Block(width, inner, inner // group_width, depth)


class Generator(BaseGenerator):
    """Latent -> 4x4 basis -> stages of blocks, each twice as large as the one before -> 1x1 convolution, no tanh.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 16.
        width: Channels of every map between blocks.
        blocks: Per stage; there is one stage per side, from 4 up.
        expansion: Channels inside a block, as a multiple of `width`.
        group_width: Channels of a group of the 3x3 convolution.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 768,
        blocks: PositiveInt = 2,
        expansion: PositiveInt = 2,
        group_width: PositiveInt = 16,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        count, base = halvings("r3gan", resolution)
        block = block_maker(width, expansion, group_width, blocks * (count + 1))
        self.latent, first = self.conditioning.latent(latent_dim)
        unnormalised = MAP_NORMS["none"]
        transitions = [Basis(first, width, base), *(Upsample() for _ in range(count))]
        self.stages = nn.ModuleList(
            ResidualStage(transition, self.conditioning.norm(unnormalised, width), [block() for _ in range(blocks)])
            for transition in transitions
        )
        self.output = scaled(nn.Conv2d(width, channels, 1, bias=False))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = self.latent(latent, label)
        for stage in self.stages:
            values = stage(values, label)
        images: Tensor = self.output(values)
        return images


class Discriminator(StagedDiscriminator):
    """The generator mirrored: image -> 1x1 convolution -> stages, each half as large -> 4x4 basis -> head.

    Args:
        channels, resolution, width, blocks, expansion, group_width: As for the generator.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 768,
        blocks: PositiveInt = 2,
        expansion: PositiveInt = 2,
        group_width: PositiveInt = 16,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        count, base = halvings("r3gan", resolution)
        block = block_maker(width, expansion, group_width, blocks * (count + 1))
        self.input = scaled(nn.Conv2d(self.entering, width, 1, bias=False))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Downsample() for _ in range(i > 0)), *(block() for _ in range(blocks)))
            for i in range(count + 1)
        )
        self.basis = scaled(nn.Conv2d(width, width, base, groups=width, bias=False))
        self.head = self.conditioning.head(width, scaled)

    def seen(self, samples: Tensor) -> Tensor:
        values: Tensor = self.input(samples)
        return values

    def summary(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.basis(features).flatten(1)
        return vectors
