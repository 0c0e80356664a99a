"""Goodfellow 2014, proposition 1: against a fixed generator the discriminator becomes p / (p + q)."""

from __future__ import annotations

import torch

from gan_cli import losses
from gan_cli.networks.mlp import Discriminator


def gaussian(x: torch.Tensor, centre: float) -> torch.Tensor:
    """Density at points `[N, 2]` of N((centre, 0), I)."""
    return torch.exp(-((x - torch.tensor([centre, 0.0])).square().sum(1)) / 2) / (2 * torch.pi)


def test_discriminator_approaches_p_over_p_plus_q() -> None:
    torch.manual_seed(0)
    discriminator, loss = Discriminator(2, (), hidden=(32, 32)), losses.NonSaturating()
    optimizer = torch.optim.Adam(discriminator.parameters(), 5e-3)
    label = torch.zeros(1024, dtype=torch.int64)
    for _ in range(400):
        real = torch.randn(1024, 2) + torch.tensor([1.0, 0.0])
        fake = torch.randn(1024, 2) - torch.tensor([1.0, 0.0])
        optimizer.zero_grad()
        loss.discriminator(discriminator(real, label).logits, discriminator(fake, label).logits).mean().backward()
        optimizer.step()
    x = torch.randn(2000, 2)
    with torch.no_grad():
        learned = loss.score(discriminator(x, torch.zeros(2000, dtype=torch.int64)).logits)
    p, q = gaussian(x, 1.0), gaussian(x, -1.0)
    error = (learned - p / (p + q)).abs()
    assert error.mean().item() < 0.03
    assert error.quantile(0.95).item() < 0.08
