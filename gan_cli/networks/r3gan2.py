"""Magnitude-preserving networks, after R3GAN's successor ("Magnitude-preserving Discriminators Enable Efficient GANs",
2026).

R3GAN's residual stages (arXiv 2501.05441) out of EDM2's layers (arXiv 2312.02696), see `gan_cli.networks.magnitude`:
normalised weights instead of Fix-up and biases, residual groups of known variance, one learned gain at D's output. Its
learning rates are those of `gan_cli.training.schedules.InverseSquareRoot`. Where the paper's details were not at hand,
the choice is ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.networks.attention import check_attention
from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.equalised import PixelNorm, Pyramid, pyramid
from gan_cli.networks.magnitude import (
    Block,
    CosineAttention,
    ForcedWeights,
    GainedHead,
    Group,
    KeptNoise,
    normalised,
    wrapped,
)
from gan_cli.networks.resampling import Downsample, Upsample
from gan_cli.types import Need, Positive, PositiveInt


def with_one(values: Tensor) -> Tensor:
    """Values `[N, C, ...]` and a channel of ones, which takes the place of biases in all that follows."""
    return torch.cat([values, torch.ones_like(values[:, :1])], 1)


class Basis(nn.Module):
    """A vector `[N, F]` to a map: channel c is (W z)_c times a learned image of mean square 1."""

    def __init__(self, features: int, width: int, side: tuple[int, int]) -> None:
        super().__init__()
        self.linear = normalised(nn.Linear(features, width, bias=False))
        self.images = nn.Parameter(torch.empty(width, *side))
        self.places = math.prod(side)
        normalised(self, "images")

    def forward(self, vector: Tensor) -> Tensor:
        return self.linear(vector)[:, :, None, None] * math.sqrt(self.places) * self.images


def resized(wide_in: int, wide_out: int) -> nn.Module:
    """A 1x1 convolution where the number of channels changes."""
    if wide_in == wide_out:
        return nn.Identity()
    return normalised(nn.Conv2d(wide_in, wide_out, 1, bias=False))


def groups(
    player: str, plan: Pyramid, blocks: int, group_width: int, branch: float, attention: Sequence[int]
) -> list[Group]:
    """The residual group of each side, from the smallest. Raises ConfigError for settings that do not fit."""
    check_attention(attention, [4 << i for i in range(len(plan.widths))], f"model.{player}.attention")
    for wide in plan.widths:
        if 2 * wide % group_width:
            raise ConfigError(
                f"model.group_width={group_width}: {2 * wide} inner channels do not split into groups of that many\n"
                "  use a power of two for it, model.channel_base and model.channel_max, no larger than the fewest"
            )
    return [
        Group(
            [
                *(Block(wide, 2 * wide, 2 * wide // group_width) for _ in range(blocks)),
                *(CosineAttention(wide) for _ in range((4 << i) in attention)),
            ],
            branch,
        )
        for i, wide in enumerate(plan.widths)
    ]


class Stage(nn.Module):
    """Resampling, what the label may change, normalisation, noise, then the group."""

    def __init__(self, transition: nn.Module, norm: nn.Module, width: int, group: nn.Module) -> None:
        super().__init__()
        self.transition = transition
        self.norm = norm
        self.unit = PixelNorm()
        self.noise = KeptNoise(width)
        self.group = group

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        values = self.unit(self.norm(self.transition(values), label))
        output: Tensor = self.group(self.noise(values))
        return output


class Generator(BaseGenerator, ForcedWeights):
    """Latent -> 4x4 basis -> stages, each twice as large as the one before -> 1x1 convolution with a gain, no tanh.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 8.
        channel_base, channel_max: A map of side s has min(channel_max, channel_base / s) channels.
        blocks: Per stage; there is one stage per side, from 4 up.
        group_width: Channels of a group of the 3x3 convolutions, which have twice a map's channels.
        branch: Weight of a block beside the shortcut, 1.
        attention: Sides of the maps that attend to themselves.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        channel_base: PositiveInt = 2048,
        channel_max: PositiveInt = 256,
        blocks: PositiveInt = 2,
        group_width: PositiveInt = 16,
        branch: Positive = 0.5,
        attention: Sequence[PositiveInt] = (),
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        plan = pyramid("r3gan2", resolution, channel_base, channel_max)
        self.latent, first = self.conditioning.latent(latent_dim)
        self.unit = PixelNorm()
        transitions: list[nn.Module] = [Basis(first + 1, plan.widths[0], plan.base)]
        transitions += [nn.Sequential(resized(*wide), Upsample()) for wide in itertools.pairwise(plan.widths)]
        made = groups("generator", plan, blocks, group_width, branch, attention)
        self.stages = nn.ModuleList(
            Stage(transition, self.conditioning.norm(MAP_NORMS["none"], wide), wide, group)
            for transition, wide, group in zip(transitions, plan.widths, made, strict=True)
        )
        self.output = normalised(nn.Conv2d(plan.widths[-1], channels, 1))
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = with_one(self.unit(self.latent(latent, label)))
        for stage in self.stages:
            values = stage(values, label)
        images: Tensor = self.output(self.gain * values)
        return images


class Discriminator(StagedDiscriminator, ForcedWeights):
    """The generator mirrored, without noise: image -> 1x1 convolution -> stages -> 4x4 basis -> head with a gain.

    Args:
        channels, resolution, channel_base, channel_max, blocks, group_width, branch, attention: As for the generator.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        channel_base: PositiveInt = 2048,
        channel_max: PositiveInt = 256,
        blocks: PositiveInt = 2,
        group_width: PositiveInt = 16,
        branch: Positive = 0.5,
        attention: Sequence[PositiveInt] = (),
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        plan = pyramid("r3gan2", resolution, channel_base, channel_max)
        widths = plan.widths[::-1]
        first = nn.Sequential(normalised(nn.Conv2d(self.entering + 1, widths[0], 1, bias=False)), PixelNorm())
        halvings = [nn.Sequential(Downsample(), resized(*wide), PixelNorm()) for wide in itertools.pairwise(widths)]
        made = groups("discriminator", plan, blocks, group_width, branch, attention)
        self.stages = nn.ModuleList(
            nn.Sequential(transition, group)
            for transition, group in zip([first, *halvings], reversed(made), strict=True)
        )
        wide = widths[-1]
        self.basis = normalised(nn.Conv2d(wide, wide, plan.base, groups=wide, bias=False))
        head = self.conditioning.head(wide, wrapped)
        self.head = GainedHead(head, Need.CLASS_LOGITS in self.conditioning.provides)

    def seen(self, samples: Tensor) -> Tensor:
        return with_one(samples)

    def summary(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.basis(features).flatten(1)
        return vectors
