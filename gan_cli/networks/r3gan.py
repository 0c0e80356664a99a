"""R3GAN (Huang 2024, arXiv 2501.05441, section 4): residual stages without normalisation, kept in scale by Fix-up.

L residual blocks 1x1 - 3x3 grouped - 1x1; LeakyReLU 0.2 twice inside a block, and a bias only there; bilinear
resampling, [1,2,1] over repeated or averaged pixels; a learned 4x4 basis between vectors and maps. No tanh. Stages of
other widths have a 1x1 convolution between them, on the smaller maps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, two_lines
from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.layers import by_layer
from gan_cli.networks.resampling import Downsample, Upsample
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


class Plan(NamedTuple):
    """What a stage is made of."""

    width: int  # channels between its blocks
    inner: int  # channels inside a block
    groups: int  # of the 3x3 convolutions
    blocks: int

    def made(self, depth: int) -> list[Block]:
        """Its blocks, in a network of `depth` blocks."""
        return [Block(self.width, self.inner, self.groups, depth) for _ in range(self.blocks)]


def plans(
    stages: int,
    width: int | Sequence[int],
    blocks: int | Sequence[int],
    expansion: int,
    group_width: int | Sequence[int],
) -> list[Plan]:
    """Of each stage, from 4 px up. Raises ConfigError for lists of other lengths, or channels that do not split evenly.

    A list has one number per stage.
    """
    settings = {"width": width, "blocks": blocks, "group_width": group_width}
    lists = [by_layer(f"model.{name}", value, stages, "stages, from 4 px up") for name, value in settings.items()]
    found = []
    for wide, count, grouped in zip(*lists, strict=True):
        inner = expansion * wide
        if inner % grouped:
            what = f"model.width={wide}: {inner} inner channels do not split into groups of {grouped}"
            multiple = grouped // math.gcd(grouped, expansion)
            raise ConfigError(two_lines(what, f"use a multiple of {multiple}, or another model.group_width"))
        found.append(Plan(wide, inner, inner // grouped, count))
    return found


def doubled(entering: int, width: int) -> nn.Module:
    """Maps twice as large; where the next stage has another width, a 1x1 convolution first, when they are smaller."""
    if entering == width:
        return Upsample()
    return nn.Sequential(scaled(nn.Conv2d(entering, width, 1, bias=False)), Upsample())


def halved(entering: int, width: int) -> nn.Module:
    """The mirror of `doubled`."""
    if entering == width:
        return Downsample()
    return nn.Sequential(Downsample(), scaled(nn.Conv2d(entering, width, 1, bias=False)))


class Generator(BaseGenerator):
    """Latent -> 4x4 basis -> stages of blocks, each twice as large as the one before -> 1x1 convolution, no tanh.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 16.
        width: Channels of every map between blocks; or a list, one for each stage. A stage has one side, from 4 px up.
        blocks: Per stage; or a list.
        expansion: Channels inside a block, as a multiple of `width`.
        group_width: Channels of a group of the 3x3 convolution; or a list.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt | Sequence[PositiveInt] = 768,
        blocks: PositiveInt | Sequence[PositiveInt] = 2,
        expansion: PositiveInt = 2,
        group_width: PositiveInt | Sequence[PositiveInt] = 16,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        count, base = halvings("r3gan", resolution)
        stages = plans(count + 1, width, blocks, expansion, group_width)
        depth = sum(stage.blocks for stage in stages)
        self.latent, first = self.conditioning.latent(latent_dim)
        unnormalised = MAP_NORMS["none"]
        transitions = [
            Basis(first, stages[0].width, base),
            *(doubled(before.width, stage.width) for before, stage in itertools.pairwise(stages)),
        ]
        self.stages = nn.ModuleList(
            ResidualStage(transition, self.conditioning.norm(unnormalised, stage.width), stage.made(depth))
            for transition, stage in zip(transitions, stages, strict=True)
        )
        self.output = scaled(nn.Conv2d(stages[-1].width, channels, 1, bias=False))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = self.latent(latent, label)
        for stage in self.stages:
            values = stage(values, label)
        images: Tensor = self.output(values)
        return images


class Discriminator(StagedDiscriminator):
    """The generator mirrored: image -> 1x1 convolution -> stages, each half as large -> 4x4 basis -> head.

    Args:
        channels, resolution, width, blocks, expansion, group_width: As for the generator; lists, too, from 4 px up.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt | Sequence[PositiveInt] = 768,
        blocks: PositiveInt | Sequence[PositiveInt] = 2,
        expansion: PositiveInt = 2,
        group_width: PositiveInt | Sequence[PositiveInt] = 16,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        count, base = halvings("r3gan", resolution)
        stages = plans(count + 1, width, blocks, expansion, group_width)[::-1]
        depth = sum(stage.blocks for stage in stages)
        self.input = scaled(nn.Conv2d(self.entering, stages[0].width, 1, bias=False))
        self.stages = nn.ModuleList([nn.Sequential(*stages[0].made(depth))])
        for before, stage in itertools.pairwise(stages):
            self.stages.append(nn.Sequential(halved(before.width, stage.width), *stage.made(depth)))
        last = stages[-1].width
        self.basis = scaled(nn.Conv2d(last, last, base, groups=last, bias=False))
        self.head = self.conditioning.head(last, scaled)

    def seen(self, samples: Tensor) -> Tensor:
        values: Tensor = self.input(samples)
        return values

    def summary(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.basis(features).flatten(1)
        return vectors
