"""DCGAN (Radford 2016, arXiv 1511.06434): strided convolutions throughout."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from gan_cli.networks.attention import SelfAttention, check_attention
from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS, VECTOR_NORMS, choose, constraint, dcgan_init, identity
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning, Norm
from gan_cli.networks.layers import (
    Momentum,
    by_layer,
    drop_biases,
    in_order,
    make_activation,
    norm_by_layer,
    set_momentum,
)
from gan_cli.networks.minibatch import MINIBATCH
from gan_cli.networks.sides import halvings
from gan_cli.types import Fraction, NonNegative, PositiveInt


def transposed(channels_in: int, channels_out: int) -> nn.Module:
    """Doubles the sides with a 4x4 transposed convolution, as the paper does."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)


def resize(channels_in: int, channels_out: int) -> nn.Module:
    """Doubles the sides by repeating pixels, then a 3x3 convolution: no checkerboards (Odena 2016, Distill)."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels_in, channels_out, 3, padding=1))


UPSAMPLES: Mapping[str, Callable[[int, int], nn.Module]] = {"transposed": transposed, "resize": resize}


class Step(NamedTuple):
    """A layer on the way from the latent to the image, and what normalises its output."""

    layer: nn.Module
    normalised: int  # channels, or units where the output is a vector
    norms: Mapping[str, Norm] = MAP_NORMS
    shape: Sequence[int] = ()  # of the map that a vector becomes behind its activation


def linear(latent: int, wide: int, base: tuple[int, int]) -> Step:
    """A linear layer whose output is normalised as a map, by channel."""
    return Step(nn.Sequential(nn.Linear(latent, wide * math.prod(base)), nn.Unflatten(1, (wide, *base))), wide)


def projected(latent: int, wide: int, base: tuple[int, int]) -> Step:
    """A linear layer whose output is normalised as a vector, unit by unit."""
    units = wide * math.prod(base)
    return Step(nn.Linear(latent, units), units, VECTOR_NORMS, (wide, *base))


def convolution(latent: int, wide: int, base: tuple[int, int]) -> Step:
    """A transposed convolution of the latent as a map of one place, as in the code of pytorch/examples."""
    return Step(nn.Sequential(nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, wide, base)), wide)


FIRSTS: Mapping[str, Callable[[int, int, tuple[int, int]], Step]] = {
    "linear": linear,
    "projected": projected,
    "convolution": convolution,
}


class NormalisedLayer(nn.Module):
    """A layer, its normalisation and activation, and self-attention if asked for."""

    def __init__(self, step: Step, norm: nn.Module, activation: nn.Module, first: bool, attention: nn.Module) -> None:
        super().__init__()
        self.layer = step.layer
        self.norm = norm
        self.activation = activation
        self.activation_first = first
        self.shape = nn.Unflatten(1, tuple(step.shape)) if step.shape else nn.Identity()
        self.attention = attention

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        values = self.layer(values)
        if self.activation_first:
            values = self.norm(self.activation(values), label)
        else:
            values = self.activation(self.norm(values, label))
        output: Tensor = self.attention(self.shape(values))
        return output


class Generator(BaseGenerator):
    """Latent -> 4x4 map -> doublings -> tanh image.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 16.
        width: Channels double from 2 x `width` before the last layer down to the 4x4 map: 512-256-128 for 32 px at 64.
        norm: batch | instance | layer | none, behind every layer but the last; or a list, one for each.
        upsample: transposed | resize.
        attention: Shorter sides of the maps that attend to themselves (SAGAN).
        first: linear | projected | convolution, from the latent to the 4x4 map.
        last_convolution: The last doubling gives `width` channels, of which a 3x3 convolution makes the image.
        bias: Whether convolutions have one; a linear layer always has.
        activation: relu | leaky_relu | elu | gelu | silu | tanh.
        slope: Of leaky_relu; 0.2 when not given.
        activation_first: The activation before the normalisation.
        momentum: Of batch norm: how much of a batch enters its running statistics; 0.1 when not given.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str | Sequence[str] = "batch",
        upsample: str = "transposed",
        attention: Sequence[PositiveInt] = (),
        first: str = "linear",
        last_convolution: bool = False,
        bias: bool = True,
        activation: str = "relu",
        slope: NonNegative | None = None,
        activation_first: bool = False,
        momentum: Momentum | None = None,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        make_first = choose(FIRSTS, "model.generator.first", first)
        make_upsample = choose(UPSAMPLES, "model.generator.upsample", upsample)
        activate = make_activation("generator", activation, slope)
        count, base = halvings("dcgan", resolution)
        widths = [width << i for i in range(count, -1 if last_convolution else 0, -1)]
        sides = [4 << i for i in range(len(widths))]
        check_attention(attention, sides, "model.generator.attention")
        self.latent, entering = self.conditioning.latent(latent_dim)
        steps = [make_first(entering, widths[0], base)]
        steps += [Step(make_upsample(wide_in, wide_out), wide_out) for wide_in, wide_out in itertools.pairwise(widths)]
        norms = norm_by_layer([step.norms for step in steps], "generator", norm)
        self.stages = nn.ModuleList(
            NormalisedLayer(
                step,
                self.conditioning.norm(make_norm, step.normalised),
                activate(),
                activation_first,
                SelfAttention(wide, identity) if side in attention else nn.Identity(),
            )
            for step, make_norm, wide, side in zip(steps, norms, widths, sides, strict=True)
        )
        last = nn.Conv2d(width, channels, 3, padding=1) if last_convolution else make_upsample(widths[-1], channels)
        self.output = last
        self.squash = nn.Tanh()
        if not bias:
            drop_biases(self, _ConvNd)
        set_momentum(self, "generator", momentum)
        self.apply(dcgan_init)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = self.latent(latent, label)
        for stage in self.stages:
            values = stage(values, label)
        images: Tensor = self.squash(self.output(values))
        return images


class Discriminator(StagedDiscriminator):
    """Image -> halvings -> 4x4 map -> one logit, by a linear layer: a convolution of the whole map.

    Args:
        channels, resolution, width, activation_first, momentum: As for the generator, mirrored.
        norm: batch | instance | layer | none, in every layer but the first; or a list, one for each halving.
        spectral_norm: Spectral normalisation of every layer.
        dropout: Probability of dropping a whole channel after a halving, while training; or a list, one for each.
        attention: Shorter sides of the maps that attend to themselves (SAGAN).
        minibatch: none | stddev | discrimination, before the head.
        bias: Whether layers have one, the last included.
        activation, slope: As for the generator; leaky_relu.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str | Sequence[str] = "batch",
        spectral_norm: bool = False,
        dropout: Fraction | Sequence[Fraction] = 0.0,
        attention: Sequence[PositiveInt] = (),
        minibatch: str = "none",
        bias: bool = True,
        activation: str = "leaky_relu",
        slope: NonNegative | None = None,
        activation_first: bool = False,
        momentum: Momentum | None = None,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        activate = make_activation("discriminator", activation, slope)
        count, base = halvings("dcgan", resolution)
        widths = [self.entering, *(width << i for i in range(1, count + 1))]
        sides = [4 << i for i in range(count - 1, -1, -1)]
        norms = norm_by_layer([MAP_NORMS] * count, "discriminator", norm, bare=1)
        dropped = by_layer("model.discriminator.dropout", dropout, count)
        check_attention(attention, sides, "model.discriminator.attention")
        convolutions = [
            nn.Conv2d(wide_in, wide_out, 4, stride=2, padding=1) for wide_in, wide_out in itertools.pairwise(widths)
        ]
        initialised = constraint(spectral_norm, dcgan_init)
        self.stages = nn.ModuleList()
        for halving, make_norm, share, side in zip(convolutions, norms, dropped, sides, strict=True):
            normed = make_norm(halving.out_channels)
            normed.apply(dcgan_init)
            layers = [initialised(halving), *in_order(normed, activate(), activation_first)]
            if share > 0:
                layers.append(nn.Dropout2d(share))
            if side in attention:
                layers.append(SelfAttention(halving.out_channels, initialised))
            self.stages.append(nn.Sequential(*layers))
        features = widths[-1] * math.prod(base)
        self.minibatch = choose(MINIBATCH, "model.discriminator.minibatch", minibatch)(features)
        self.head = self.conditioning.head(self.minibatch.features, initialised)
        if not bias:
            drop_biases(self, _ConvNd, nn.Linear)
        set_momentum(self, "discriminator", momentum)

    def summary(self, features: Tensor) -> Tensor:
        summary: Tensor = self.minibatch(features.flatten(1))
        return summary
