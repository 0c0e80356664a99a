"""The simplest generator: an affine map, whose density is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.errors import Incompatible, two_lines
from gan_cli.networks.base import BaseGenerator
from gan_cli.networks.conditioning import GeneratorConditioning
from gan_cli.types import Positive, PositiveInt, sample_shape


class Generator(BaseGenerator):
    """G(z) = W z + b; at first W = scale · I, and b is the shift in every coordinate.

    Args:
        scale: Of the latents, at first.
        shift: Mean of the samples, at first.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        scale: Positive = 1.0,
        shift: float = 0.0,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        self.shape = sample_shape(channels, resolution)
        self.latent, width = self.conditioning.latent(latent_dim)
        self.affine = nn.Linear(width, math.prod(self.shape))
        with torch.no_grad():
            nn.init.eye_(self.affine.weight).mul_(scale)
        nn.init.constant_(self.affine.bias, shift)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        samples: Tensor = self.affine(self.latent(latent, label))
        return samples.view(len(latent), *self.shape)

    def log_density(self, points: Tensor) -> Tensor:
        """log q(x) = log N(W⁻¹(x - b); 0, I) - log |det W| at points `[N, D]`, for z ~ N(0, I).

        Raises:
            Incompatible: W is not square, or labels are joined to the latents.
        """
        weight, bias = self.affine.weight, self.affine.bias
        if weight.shape[0] != weight.shape[1] or self.classes:
            problem = "the density of an affine generator is known where it has as many latents as coordinates"
            raise Incompatible(two_lines(problem, f"use model.latent_dim={len(bias)} conditioning=none"))
        latent = torch.linalg.solve(weight, (points - bias).T).T
        constant = len(bias) / 2 * math.log(2 * math.pi) + torch.linalg.slogdet(weight).logabsdet
        return -latent.square().sum(1) / 2 - constant
