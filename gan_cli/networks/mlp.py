"""Fully connected networks: the layer plan of the original GANs, for images and for points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.base import BaseGenerator, StagedDiscriminator
from gan_cli.networks.blocks import VECTOR_NORMS, choose, constraint
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning, Norm
from gan_cli.networks.minibatch import MINIBATCH
from gan_cli.types import Fraction, PositiveInt, sample_shape

IMAGE_PLAN = (256, 512, 1024)
POINT_PLAN = (256, 256, 256)


def plan(hidden: Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The widths asked for, or the defaults for this kind of data."""
    return tuple(hidden) if hidden else IMAGE_PLAN if len(shape) == 3 else POINT_PLAN


class Hidden(nn.Module):
    """Linear, normalisation, LeakyReLU 0.2."""

    def __init__(self, linear: nn.Linear, norm: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.norm = norm

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.linear(values), label), 0.2)


class Generator(BaseGenerator):
    """Latent -> hidden layers (LeakyReLU 0.2, optional normalisation) -> tanh pixels, or unbounded coordinates.

    Args:
        hidden: Widths; 256-512-1024 for images and 256-256-256 for points when not given.
        norm: batch | layer | none, before each activation except the first.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] | None = None,
        norm: str = "none",
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        self.shape = sample_shape(channels, resolution)
        make_norm = choose(VECTOR_NORMS, "model.generator.norm", norm)
        self.latent, width = self.conditioning.latent(latent_dim)
        widths = (width, *plan(hidden, self.shape))
        norms: list[Norm] = [VECTOR_NORMS["none"], *[make_norm] * (len(widths) - 2)]
        self.hidden = nn.ModuleList(
            Hidden(nn.Linear(wide_in, wide_out), self.conditioning.norm(norm_of, wide_out))
            for (wide_in, wide_out), norm_of in zip(itertools.pairwise(widths), norms, strict=True)
        )
        self.output = nn.Linear(widths[-1], math.prod(self.shape))
        self.squash = nn.Tanh() if len(self.shape) == 3 else nn.Identity()

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        values = self.latent(latent, label)
        for layer in self.hidden:
            values = layer(values, label)
        samples: Tensor = self.squash(self.output(values))
        return samples.view(len(latent), *self.shape)


class Discriminator(StagedDiscriminator):
    """Sample -> hidden layers (LeakyReLU 0.2, optional normalisation, dropout) -> one logit.

    Args:
        hidden: Widths; those of the generator's plan in reverse when not given.
        norm: batch | layer | none, before each activation except the first.
        spectral_norm: Spectral normalisation of every layer.
        dropout: Probability of dropping an activation, while training.
        minibatch: none | stddev | discrimination, before the head.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] | None = None,
        norm: str = "none",
        spectral_norm: bool = False,
        dropout: Fraction = 0.0,
        minibatch: str = "none",
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        make_norm = choose(VECTOR_NORMS, "model.discriminator.norm", norm)
        wrap = constraint(spectral_norm)
        entering = math.prod((self.entering, *self.shape[1:]))
        widths = (entering, *(tuple(hidden) if hidden else plan(None, self.shape)[::-1]))
        self.stages = nn.ModuleList()
        for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths)):
            layers = [wrap(nn.Linear(wide_in, wide_out)), nn.LeakyReLU(0.2)]
            if i > 0:
                layers.insert(1, make_norm(wide_out))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            self.stages.append(nn.Sequential(*layers))
        self.minibatch = choose(MINIBATCH, "model.discriminator.minibatch", minibatch)(widths[-1])
        self.head = self.conditioning.head(self.minibatch.features, wrap)

    def seen(self, samples: Tensor) -> Tensor:
        return samples.flatten(1)

    def summary(self, features: Tensor) -> Tensor:
        summary: Tensor = self.minibatch(features)
        return summary
