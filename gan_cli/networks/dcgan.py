"""DCGAN (Radford 2016, arXiv 1511.06434): strided convolutions throughout."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.attention import SelfAttention, check_attention
from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS, choose, constraint, dcgan_init, identity
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.minibatch import MINIBATCH
from gan_cli.networks.sides import halvings
from gan_cli.types import Fraction, PositiveInt


def transposed(channels_in: int, channels_out: int) -> nn.Module:
    """Doubles the sides with a 4x4 transposed convolution, as the paper does."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)


def resize(channels_in: int, channels_out: int) -> nn.Module:
    """Doubles the sides by repeating pixels, then a 3x3 convolution: no checkerboards (Odena 2016, Distill)."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels_in, channels_out, 3, padding=1))


UPSAMPLES: Mapping[str, Callable[[int, int], nn.Module]] = {"transposed": transposed, "resize": resize}


class NormalisedLayer(nn.Module):
    """A layer, its normalisation, ReLU, and self-attention if asked for."""

    def __init__(self, layer: nn.Module, norm: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.norm = norm
        self.attention = attention

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        output: Tensor = self.attention(F.relu(self.norm(self.layer(values), label)))
        return output


class Generator(BaseGenerator):
    """Latent -> 4x4 map -> doublings (norm, ReLU) -> tanh image.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 16.
        width: Channels double from 2 x `width` before the last layer down to the 4x4 map: 512-256-128 for 32 px at 64.
        norm: batch | instance | layer | none.
        upsample: transposed | resize.
        attention: Shorter sides of the maps that attend to themselves (SAGAN).
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str = "batch",
        upsample: str = "transposed",
        attention: Sequence[PositiveInt] = (),
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        make_norm = choose(MAP_NORMS, "model.generator.norm", norm)
        make_upsample = choose(UPSAMPLES, "model.generator.upsample", upsample)
        count, base = halvings("dcgan", resolution)
        widths = [width << i for i in range(count, 0, -1)]
        sides = [4 << i for i in range(count)]
        check_attention(attention, sides, "model.generator.attention")
        self.latent, first = self.conditioning.latent(latent_dim)
        start = nn.Sequential(nn.Linear(first, widths[0] * base[0] * base[1]), nn.Unflatten(1, (widths[0], *base)))
        layers = [start, *(make_upsample(wide_in, wide_out) for wide_in, wide_out in itertools.pairwise(widths))]
        self.stages = nn.ModuleList(
            NormalisedLayer(
                layer,
                self.conditioning.norm(make_norm, wide),
                SelfAttention(wide, identity) if side in attention else nn.Identity(),
            )
            for layer, wide, side in zip(layers, widths, sides, strict=True)
        )
        self.output = make_upsample(widths[-1], channels)
        self.apply(dcgan_init)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = self.latent(latent, label)
        for stage in self.stages:
            values = stage(values, label)
        images: Tensor = self.output(values).tanh()
        return images


class Discriminator(StagedDiscriminator):
    """Image -> halvings (norm in all but the first, LeakyReLU 0.2) -> 4x4 map -> one logit.

    Args:
        channels, resolution, width, norm: As for the generator, mirrored.
        spectral_norm: Spectral normalisation of every layer.
        dropout: Probability of dropping a whole channel after a halving, while training.
        attention: Shorter sides of the maps that attend to themselves (SAGAN).
        minibatch: none | stddev | discrimination, before the head.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str = "batch",
        spectral_norm: bool = False,
        dropout: Fraction = 0.0,
        attention: Sequence[PositiveInt] = (),
        minibatch: str = "none",
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        make_norm = choose(MAP_NORMS, "model.discriminator.norm", norm)
        count, base = halvings("dcgan", resolution)
        widths = [self.entering, *(width << i for i in range(1, count + 1))]
        sides = [4 << i for i in range(count - 1, -1, -1)]
        check_attention(attention, sides, "model.discriminator.attention")
        convolutions = [
            nn.Conv2d(wide_in, wide_out, 4, stride=2, padding=1) for wide_in, wide_out in itertools.pairwise(widths)
        ]
        initialised = constraint(spectral_norm, dcgan_init)
        self.stages = nn.ModuleList()
        for i, convolution in enumerate(convolutions):
            normed = make_norm(widths[i + 1]) if i > 0 else nn.Identity()
            normed.apply(dcgan_init)
            layers = [initialised(convolution), normed, nn.LeakyReLU(0.2)]
            if dropout > 0:
                layers.append(nn.Dropout2d(dropout))
            if sides[i] in attention:
                layers.append(SelfAttention(widths[i + 1], initialised))
            self.stages.append(nn.Sequential(*layers))
        features = widths[-1] * base[0] * base[1]
        self.minibatch = choose(MINIBATCH, "model.discriminator.minibatch", minibatch)(features)
        self.head = self.conditioning.head(self.minibatch.features, initialised)

    def summary(self, features: Tensor) -> Tensor:
        summary: Tensor = self.minibatch(features.flatten(1))
        return summary
