"""Equalised learning rate, pixel norm, and the widths of networks that double their sides."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gan_cli.networks import equalised as eq
from gan_cli.networks import stylegan2
from gan_cli.networks.blocks import spectrally_normalised


@pytest.mark.parametrize("gain", [1.0, eq.HE])
def test_equalised_weights_start_at_gain_over_root_fan_in(gain: float) -> None:
    layers = (nn.Linear(50, 40), nn.Conv2d(16, 40, 3), nn.Embedding(40, 64))
    for layer, fan_in in zip(layers, (50, 16 * 9, 64), strict=True):
        wrapped = eq.equalised(layer, gain=gain)
        raw = wrapped.parametrizations["weight"].original  # type: ignore[index,union-attr]
        torch.testing.assert_close(wrapped.weight, raw * gain / math.sqrt(fan_in))
        assert raw.std().item() == pytest.approx(1, rel=0.1)
    slow = eq.equalised(nn.Linear(50, 40), lr_multiplier=0.01)
    assert slow.weight.std().item() == pytest.approx(1 / math.sqrt(50), rel=0.1)
    assert slow.parametrizations["weight"].original.std().item() == pytest.approx(100, rel=0.1)  # type: ignore[index,union-attr]


def test_equal_steps_of_adam_are_equal_parts_of_every_layer() -> None:
    """What the name says: one step of Adam changes a weight by the same part of its scale, whatever the fan-in."""
    changes = []
    for width in (10, 1000):
        layer = eq.equalised(nn.Linear(width, 20))
        before = layer.weight.detach().clone()
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        layer(torch.randn(8, width)).square().sum().backward()
        optimizer.step()
        changes.append(((layer.weight - before).abs().mean() / before.std()).item())
    assert changes == pytest.approx([0.01, 0.01], rel=0.1)


def test_equalised_is_no_spectral_norm() -> None:
    assert not spectrally_normalised(stylegan2.Discriminator(1, 16, 32, 4))


def test_pixel_norm_gives_unit_mean_square() -> None:
    for shape in ((3, 7), (3, 7, 4, 5)):
        normed = eq.PixelNorm()(100 * torch.randn(shape))
        torch.testing.assert_close(normed.square().mean(1), torch.ones(shape[:1] + shape[2:]))


def test_leaky_keeps_the_mean_square() -> None:
    assert eq.leaky(torch.randn(200_000)).square().mean().item() == pytest.approx(1.04, abs=0.02)  # (1 + 0.2²) · 2 / 2


def test_widths_of_the_paper() -> None:
    assert eq.pyramid("stylegan2", 1024, 32768, 512).widths == (512, 512, 512, 512, 512, 256, 128, 64, 32)
    assert eq.pyramid("stylegan2", (16, 48), 64, 8) == ((4, 12), (8, 8, 4))
