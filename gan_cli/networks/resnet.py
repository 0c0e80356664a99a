"""Residual networks: SNGAN (Miyato 2018, arXiv 1802.05957), SAGAN (1805.08318),
and WGAN-GP's (1704.00028)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.attention import SelfAttention, check_attention
from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS, choose
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.minibatch import MINIBATCH
from gan_cli.networks.residual import (
    INITIALISATIONS,
    UPSAMPLES,
    DownBlock,
    UpBlock,
    Wraps,
    attended,
    discriminator_steps,
    doublings,
    generator_widths,
    wraps,
)
from gan_cli.types import PositiveInt


class ResidualSynthesis(nn.Module):
    """Vector `[N, features]` -> smallest map -> up-blocks -> norm, ReLU, 3x3 convolution, tanh.

    Args:
        features: Width of the vector.
        channels: C of the images.
        resolution, width, upsample, attention: As for the generators.
        norm: Makes the blocks' normalisations, which are called with `(values, condition)`.
        last_norm: Makes the normalisation before the image, which has no condition.
        wraps: Applied to the layers with weights.
    """

    def __init__(
        self,
        features: int,
        channels: int,
        resolution: int | Sequence[int],
        width: int | Sequence[int],
        norm: Callable[[int], nn.Module],
        last_norm: Callable[[int], nn.Module],
        upsample: str,
        attention: Sequence[int] | None,
        wraps: Wraps,
    ) -> None:
        super().__init__()
        count, base = doublings(resolution)
        widths = generator_widths(resolution, width)
        sides = [min(base) << i for i in range(1, count + 1)]
        attention = attended(attention, resolution)
        check_attention(attention, sides, "model.generator.attention")
        make_upsample = choose(UPSAMPLES, "model.generator.upsample", upsample)
        self.start = nn.Sequential(
            wraps.other(nn.Linear(features, widths[0] * base[0] * base[1])), nn.Unflatten(1, (widths[0], *base))
        )
        self.blocks = nn.ModuleList(
            UpBlock(
                wide_in,
                wide_out,
                norm,
                make_upsample(),
                SelfAttention(wide_out, wraps.other) if side in attention else nn.Identity(),
                wraps,
            )
            for (wide_in, wide_out), side in zip(itertools.pairwise(widths), sides, strict=True)
        )
        self.norm = last_norm(widths[-1])
        self.output = wraps.other(nn.Conv2d(widths[-1], channels, 3, padding=1))

    def forward(self, vector: Tensor, conditions: Sequence[Tensor]) -> Tensor:
        """Images `[N, C, H, W]`; `conditions` has one tensor per block."""
        values = self.start(vector)
        for block, condition in zip(self.blocks, conditions, strict=True):
            values = block(values, condition)
        images: Tensor = self.output(F.relu(self.norm(values))).tanh()
        return images


class Generator(BaseGenerator):
    """Latent -> smallest map -> residual up-blocks -> tanh image (arXiv 1802.05957, appendix B.4).

    Args:
        resolution: Side or [height, width]; the shorter is 4 to 7, doubled twice or more.
        width: Up to 32 px every map has 4 x `width` channels; larger images have `width` at their own size, and twice
            as many after each halving down, up to 16 x `width`. A list instead has the channels of each map, from the
            smallest up.
        norm: batch | instance | layer | none.
        upsample: bilinear | nearest.
        spectral_norm: Spectral normalisation of every layer (SAGAN).
        attention: Shorter sides of the maps that attend to themselves; half the images' side when None.
        init: xavier (gain √2 parallel to shortcuts) | orthogonal.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt | Sequence[PositiveInt] = 64,
        norm: str = "batch",
        upsample: str = "bilinear",
        spectral_norm: bool = False,
        attention: Sequence[PositiveInt] | None = (),
        init: str = "xavier",
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        make_norm = choose(MAP_NORMS, "model.generator.norm", norm)
        self.latent, features = self.conditioning.latent(latent_dim)
        self.synthesis = ResidualSynthesis(
            features,
            channels,
            resolution,
            width,
            lambda wide: self.conditioning.norm(make_norm, wide),
            make_norm,
            upsample,
            attention,
            wraps(spectral_norm, choose(INITIALISATIONS, "model.generator.init", init)),
        )

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        images: Tensor = self.synthesis(self.latent(latent, label), [label] * len(self.synthesis.blocks))
        return images


def sum_pool(values: Tensor) -> Tensor:
    """The sum over all positions: `[N, C, H, W]` to `[N, C]`."""
    return values.sum((2, 3))


def mean_pool(values: Tensor) -> Tensor:
    """The mean over all positions: `[N, C, H, W]` to `[N, C]`."""
    return values.mean((2, 3))


POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {"sum": sum_pool, "mean": mean_pool}


class Discriminator(StagedDiscriminator):
    """Image -> residual blocks -> ReLU -> sum or mean over all positions -> one logit (arXiv 1802.05957, appendix B.4).

    Args:
        channels, resolution: As for the generator.
        width: Up to 32 px every map has 2 x `width` channels; larger images have `width` after the first block, and
            twice as many after each halving, up to 16 x `width`. A list instead has the channels of each block, the
            last one's first, which sees the smallest map.
        norm: batch | instance | layer | none.
        spectral_norm: Spectral normalisation of every layer.
        wide: Where a block has more channels after than before, use the larger number between its convolutions (SAGAN,
            BigGAN) rather than the smaller (SNGAN, WGAN-GP). Up to 32 px there is no difference.
        pool: sum | mean, over all positions.
        attention: Shorter sides of the maps that attend to themselves; half the images' side when None.
        init: xavier (gain √2 parallel to shortcuts) | orthogonal.
        minibatch: none | stddev | discrimination, before the head.
        rectified: Whether the shortcuts, too, begin with a ReLU. The papers' do not; those of mimicry and StudioGAN do,
            whose ReLU in place changes what the shortcut reads.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt | Sequence[PositiveInt] = 64,
        norm: str = "none",
        spectral_norm: bool = True,
        wide: bool = False,
        pool: str = "sum",
        attention: Sequence[PositiveInt] | None = (),
        init: str = "xavier",
        minibatch: str = "none",
        rectified: bool = False,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        steps = discriminator_steps(resolution, width)
        make_norm = choose(MAP_NORMS, "model.discriminator.norm", norm)
        wrapped = wraps(spectral_norm, choose(INITIALISATIONS, "model.discriminator.init", init))
        self.pool = choose(POOLS, "model.discriminator.pool", pool)
        side = min(self.shape[1:])
        sides = list(itertools.accumulate(steps, lambda side, step: side >> step.halves, initial=side))[1:]
        attention = attended(attention, resolution)
        check_attention(attention, sorted(set(sides), reverse=True), "model.discriminator.attention")
        self.stages = nn.ModuleList()
        entering = self.entering
        for i, (step, side) in enumerate(zip(steps, sides, strict=True)):
            layers: list[nn.Module] = [DownBlock(entering, step, i == 0, wide, make_norm, wrapped, rectified)]
            if step.halves and side in attention:
                layers.append(SelfAttention(step.width, wrapped.other))
            self.stages.append(nn.Sequential(*layers))
            entering = step.width
        self.minibatch = choose(MINIBATCH, "model.discriminator.minibatch", minibatch)(entering)
        self.head = self.conditioning.head(self.minibatch.features, wrapped.other)

    def summary(self, features: Tensor) -> Tensor:
        summary: Tensor = self.minibatch(self.pool(F.relu(features)))
        return summary
