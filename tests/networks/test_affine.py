"""The affine generator and its density."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from gan_cli.errors import Incompatible
from gan_cli.networks.affine import Generator
from gan_cli.networks.conditioning import ConcatLatent


def test_it_begins_as_scale_and_shift() -> None:
    z = torch.randn(5, 2)
    label = torch.zeros(5, dtype=torch.int64)
    torch.testing.assert_close(Generator(2, 2, (), scale=3.0, shift=-1.0)(z, label), 3 * z - 1)
    assert Generator(2, 1, 4)(z, label).shape == (5, 1, 4, 4)


def test_its_density_is_the_normal_one_of_its_weights() -> None:
    generator = Generator(2, 2, ())
    with torch.no_grad():
        generator.affine.weight.copy_(torch.tensor([[2.0, -1.0], [0.5, -0.7]]))  # of a negative determinant
        generator.affine.bias.copy_(torch.tensor([1.0, -3.0]))
    weight, bias = generator.affine.weight, generator.affine.bias
    x = 3 * torch.randn(100, 2)
    known = MultivariateNormal(bias, weight @ weight.T)
    torch.testing.assert_close(generator.log_density(x), known.log_prob(x), rtol=1e-4, atol=1e-4)


def test_on_a_line() -> None:
    x = torch.linspace(-4, 4, 9).unsqueeze(1)
    wanted = -((x[:, 0] - 1) ** 2) / 8 - math.log(2 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(Generator(1, 1, (), 2.0, 1.0).log_density(x), wanted)


def test_no_density_is_made_up() -> None:
    for generator in (Generator(3, 2, ()), Generator(2, 2, (), conditioning=ConcatLatent(4))):
        with pytest.raises(Incompatible, match=r"as many latents.*\n.*model\.latent_dim=2 conditioning=none"):
            generator.log_density(torch.zeros(1, 2))
