"""What feeds the generator: latents `[N, latent_dim]`, drawn where the batch lives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_cli.types import Batch, PositiveInt


class Normal(nn.Module):
    """z ~ N(0, I)."""

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch), self.latent_dim, device=batch.label.device)


class Uniform(nn.Module):
    """z ~ U(-1, 1) in every coordinate."""

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, batch: Batch) -> Tensor:
        return 2 * torch.rand(len(batch), self.latent_dim, device=batch.label.device) - 1
