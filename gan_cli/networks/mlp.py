"""Fully connected networks: the layer plan of the original GANs, for images and for points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import VECTOR_NORMS, choose, constraint
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.layers import Momentum, by_layer, in_order, make_activation, norm_by_layer, set_momentum
from gan_cli.networks.minibatch import MINIBATCH
from gan_cli.types import Fraction, NonNegative, PositiveInt, sample_shape

IMAGE_PLAN = (256, 512, 1024)
POINT_PLAN = (256, 256, 256)


def plan(hidden: Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The widths asked for, or the defaults for this kind of data."""
    return tuple(hidden) if hidden else IMAGE_PLAN if len(shape) == 3 else POINT_PLAN


class Hidden(nn.Module):
    """Linear, normalisation and activation, or the activation first."""

    def __init__(self, linear: nn.Linear, norm: nn.Module, activation: nn.Module, activation_first: bool) -> None:
        super().__init__()
        self.linear = linear
        self.norm = norm
        self.activation = activation
        self.activation_first = activation_first

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        values = self.linear(values)
        if self.activation_first:
            return self.norm(self.activation(values), label)
        return self.activation(self.norm(values, label))


class Generator(BaseGenerator):
    """Latent -> hidden layers -> tanh pixels, or unbounded coordinates.

    Args:
        hidden: Widths; 256-512-1024 for images and 256-256-256 for points when not given.
        norm: batch | layer | none, in every hidden layer but the first; or a list, one for each.
        activation: leaky_relu | relu | elu | gelu | silu | tanh.
        slope: Of leaky_relu; 0.2 when not given.
        activation_first: The activation before the normalisation.
        momentum: Of batch norm: how much of a batch enters its running statistics; 0.1 when not given.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] | None = None,
        norm: str | Sequence[str] = "none",
        activation: str = "leaky_relu",
        slope: NonNegative | None = None,
        activation_first: bool = False,
        momentum: Momentum | None = None,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        self.shape = sample_shape(channels, resolution)
        self.latent, width = self.conditioning.latent(latent_dim)
        widths = (width, *plan(hidden, self.shape))
        norms = norm_by_layer([VECTOR_NORMS] * (len(widths) - 1), "generator", norm, bare=1)
        activate = make_activation("generator", activation, slope)
        self.hidden = nn.ModuleList(
            Hidden(
                nn.Linear(wide_in, wide_out), self.conditioning.norm(norm_of, wide_out), activate(), activation_first
            )
            for (wide_in, wide_out), norm_of in zip(itertools.pairwise(widths), norms, strict=True)
        )
        self.output = nn.Linear(widths[-1], math.prod(self.shape))
        self.squash = nn.Tanh() if len(self.shape) == 3 else nn.Identity()
        set_momentum(self, "generator", momentum)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = self.latent(latent, label)
        for layer in self.hidden:
            values = layer(values, label)
        samples: Tensor = self.squash(self.output(values))
        return samples.view(len(latent), *self.shape)


class Discriminator(StagedDiscriminator):
    """Sample -> hidden layers -> one logit.

    Args:
        hidden: Widths; those of the generator's plan in reverse when not given.
        norm, activation, slope, activation_first, momentum: As for the generator.
        spectral_norm: Spectral normalisation of every layer.
        dropout: Probability of dropping an activation, while training; or a list, one for each hidden layer.
        minibatch: none | stddev | discrimination, before the head.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] | None = None,
        norm: str | Sequence[str] = "none",
        spectral_norm: bool = False,
        dropout: Fraction | Sequence[Fraction] = 0.0,
        minibatch: str = "none",
        activation: str = "leaky_relu",
        slope: NonNegative | None = None,
        activation_first: bool = False,
        momentum: Momentum | None = None,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        wrap = constraint(spectral_norm)
        entering = math.prod((self.entering, *self.shape[1:]))
        widths = (entering, *(tuple(hidden) if hidden else plan(None, self.shape)[::-1]))
        norms = norm_by_layer([VECTOR_NORMS] * (len(widths) - 1), "discriminator", norm, bare=1)
        dropped = by_layer("model.discriminator.dropout", dropout, len(widths) - 1)
        activate = make_activation("discriminator", activation, slope)
        self.stages = nn.ModuleList()
        for (wide_in, wide_out), norm_of, share in zip(itertools.pairwise(widths), norms, dropped, strict=True):
            layers = [wrap(nn.Linear(wide_in, wide_out)), *in_order(norm_of(wide_out), activate(), activation_first)]
            if share > 0:
                layers.append(nn.Dropout(share))
            self.stages.append(nn.Sequential(*layers))
        self.minibatch = choose(MINIBATCH, "model.discriminator.minibatch", minibatch)(widths[-1])
        self.head = self.conditioning.head(self.minibatch.features, wrap)
        set_momentum(self, "discriminator", momentum)

    def seen(self, samples: Tensor) -> Tensor:
        return samples.flatten(1)

    def summary(self, features: Tensor) -> Tensor:
        summary: Tensor = self.minibatch(features)
        return summary
