"""A discriminator of points that sees fine detail at once: waves of many lengths before the first layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.conditioning import DiscriminatorConditioning
from gan_cli.networks.mlp import Discriminator
from gan_cli.types import Positive, PositiveInt


class WavesDiscriminator(Discriminator):
    """Sample x -> [x, sin 2π b·x, cos 2π b·x] -> hidden layers -> one logit (Fourier features: Tancik 2020, arXiv
    2006.10739).

    Networks learn slow functions of their input first, and modes that are narrow beside the distance between them are
    fast ones. The waves b have random directions and all lengths from `longest` to `shortest`, evenly by logarithm.

    Args:
        waves: How many.
        longest, shortest: Their lengths, in the units of the data.
        hidden: Widths of the layers.
        activation: leaky_relu | relu | elu | gelu | silu | tanh.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        waves: PositiveInt = 64,
        longest: Positive = 20.0,
        shortest: Positive = 0.1,
        hidden: Sequence[PositiveInt] | None = None,
        activation: str = "leaky_relu",
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, hidden, activation=activation, conditioning=conditioning)
        stage = self.stages[0]
        assert isinstance(stage, nn.Sequential)
        first = stage[0]
        assert isinstance(first, nn.Linear)
        lengths = torch.logspace(math.log10(longest), math.log10(shortest), waves)
        directions = torch.randn(waves, first.in_features)
        self.waves = nn.Buffer((directions / directions.norm(dim=1, keepdim=True) / lengths.unsqueeze(1)).T)
        stage[0] = nn.Linear(first.in_features + 2 * waves, first.out_features)

    def seen(self, samples: Tensor) -> Tensor:
        flat = super().seen(samples)
        phase = 2 * math.pi * flat @ self.waves
        return torch.cat([flat, phase.sin(), phase.cos()], 1)
