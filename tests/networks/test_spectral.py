"""W / σ(W): the norm, its gradient, and what is left of it in an averaged copy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from gan_cli.networks.spectral import spectral_norm
from gan_cli.training.ema import Ema


def largest(weight: torch.Tensor) -> float:
    return torch.linalg.matrix_norm(weight.flatten(1), 2).item()


@pytest.mark.parametrize("make", [lambda: nn.Linear(7, 5), lambda: nn.Conv2d(3, 4, 3), lambda: nn.Embedding(6, 3)])
def test_the_largest_singular_value_is_one(make: Callable[[], nn.Module]) -> None:
    layer = spectral_norm(make())
    original = layer.parametrizations.weight.original.detach()
    for _ in range(100):
        _ = layer.weight
    # An iteration shrinks the error by the ratio (σ₂ / σ₁)², which must not be close to 1.
    assert torch.linalg.svdvals(original.flatten(1)).double()[:2].diff().neg() > 0.05 * largest(original)
    assert largest(layer.weight) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(layer.weight * largest(original), original, rtol=1e-3, atol=1e-4)


def test_gradient_is_that_of_the_weight_over_its_norm() -> None:
    layer = spectral_norm(nn.Linear(4, 3, bias=False)).double()
    for _ in range(500):
        _ = layer.weight
    original = layer.parametrizations.weight.original
    direction = torch.randn(3, 4, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((layer.weight * direction).sum(), original)
    plain = original.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad((plain / torch.linalg.matrix_norm(plain, 2) * direction).sum(), plain)
    torch.testing.assert_close(gradient, expected)


def test_evaluation_keeps_its_state() -> None:
    layer = spectral_norm(nn.Linear(4, 3)).eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    assert torch.equal(layer.weight, layer.weight)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    layer.train()
    _ = layer.weight
    assert not torch.equal(before["parametrizations.weight.0.u"], layer.parametrizations.weight[0].u)


def test_an_averaged_copy_is_divided_by_its_own_norm() -> None:
    """Where all singular values are alike, u wanders far; an average of its positions is much shorter than 1."""
    layer = nn.Linear(64, 32)
    nn.init.orthogonal_(layer.weight)
    layer = spectral_norm(layer)
    average = Ema(layer, half_life=100, rampup=0)
    for _ in range(300):
        with torch.no_grad():
            layer.parametrizations.weight.original.add_(2e-3 * torch.randn(32, 64))
        _ = layer.weight
        average.update(images=1, shown=1)
    kept = average.network.parametrizations.weight[0].u
    assert kept.norm().item() < 0.9
    assert largest(average.network.weight) == pytest.approx(1, abs=0.1)


def test_under_autocast_the_norm_stays_precise() -> None:
    layer = spectral_norm(nn.Linear(32, 16)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        half = layer.weight
    torch.testing.assert_close(half, layer.weight, rtol=0, atol=0)
