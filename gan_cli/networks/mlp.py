"""Fully connected networks: the layer plan of the original GANs, for images and for points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.blocks import VECTOR_NORMS, choose, constraint
from gan_cli.types import DiscriminatorOutput, Fraction, PositiveInt, sample_shape

IMAGE_PLAN = (256, 512, 1024)
POINT_PLAN = (256, 256, 256)


def plan(hidden: Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The widths asked for, or those that suit the data."""
    return tuple(hidden) if hidden else IMAGE_PLAN if len(shape) == 3 else POINT_PLAN


class Generator(nn.Module):
    """Latent -> hidden layers (LeakyReLU 0.2, optional normalisation) -> tanh pixels, or unbounded coordinates.

    Args:
        latent_dim: Z.
        channels: C of images; the number of coordinates of points.
        resolution: Side, or [height, width]; empty for points.
        hidden: Widths; 256-512-1024 for images and 256-256-256 for points when not given.
        norm: batch | layer | none, before each activation but the first.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] | None = None,
        norm: str = "none",
    ) -> None:
        super().__init__()
        self.shape = sample_shape(channels, resolution)
        make_norm = choose(VECTOR_NORMS, "model.generator.norm", norm)
        widths = (latent_dim, *plan(hidden, self.shape))
        layers: list[nn.Module] = []
        for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths)):
            layers.append(nn.Linear(wide_in, wide_out))
            if i > 0:
                layers.append(make_norm(wide_out))
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Linear(widths[-1], math.prod(self.shape)))
        if len(self.shape) == 3:
            layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        samples: Tensor = self.layers(latent)
        return samples.view(len(latent), *self.shape)


class Discriminator(nn.Module):
    """Sample -> hidden layers (LeakyReLU 0.2, optional normalisation, dropout) -> one logit.

    Args:
        channels, resolution: As for the generator.
        hidden: Widths; those of the generator's plan in reverse when not given.
        norm: batch | layer | none, before each activation but the first.
        spectral_norm: Spectral normalisation of every layer.
        dropout: Probability of dropping an activation, while training.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] | None = None,
        norm: str = "none",
        spectral_norm: bool = False,
        dropout: Fraction = 0.0,
    ) -> None:
        super().__init__()
        shape = sample_shape(channels, resolution)
        make_norm = choose(VECTOR_NORMS, "model.discriminator.norm", norm)
        wrap = constraint(spectral_norm)
        widths = (math.prod(shape), *(tuple(hidden) if hidden else plan(None, shape)[::-1]))
        self.stages = nn.ModuleList()
        for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths)):
            layers = [wrap(nn.Linear(wide_in, wide_out)), nn.LeakyReLU(0.2)]
            if i > 0:
                layers.insert(1, make_norm(wide_out))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            self.stages.append(nn.Sequential(*layers))
        self.head = wrap(nn.Linear(widths[-1], 1))

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        hidden = samples.flatten(1)
        features = []
        for stage in self.stages:
            hidden = stage(hidden)
            features.append(hidden)
        return DiscriminatorOutput(self.head(hidden).squeeze(1), features=tuple(features))
