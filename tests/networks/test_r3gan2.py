"""Magnitude-preserving networks: magnitudes through depth, weights kept at their norm, a gain that penalties see as a
number."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, same, weights, words
from gan_cli import train
from gan_cli.errors import ConfigError
from gan_cli.networks import conditioning as c
from gan_cli.networks.blocks import spectrally_normalised
from gan_cli.networks.equalised import Unit
from gan_cli.networks.magnitude import (
    SLOPE,
    Block,
    Convolution,
    CosineAttention,
    Gain,
    Group,
    KeptNoise,
    active,
    variance_of_leaky,
)
from gan_cli.networks.r3gan2 import Discriminator, Generator
from gan_cli.training.schedules import InverseSquareRoot

WIDE = {"channel_base": 2048, "channel_max": 64, "attention": [8]}


def magnitudes(network: nn.Module, *inputs: Tensor) -> dict[str, float]:
    """√(mean of x²) of what leaves each stage, and each branch within."""
    found: dict[str, float] = {}
    for name, module in network.named_modules():
        if isinstance(module, Group | Block | CosineAttention):

            def look(_: nn.Module, __: object, out: Tensor, name: str = name) -> None:
                found[name] = float(out.detach().square().mean().sqrt())

            module.register_forward_hook(look)
    network(*inputs)
    return found


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_magnitudes_stay_one_through_depth(scale: float) -> None:
    """Of every residual group within a tenth, whatever the scale of the latents or images; of branches, on average."""
    label = torch.zeros(16, dtype=torch.int64)
    generator, discriminator = Generator(32, 3, 32, **WIDE), Discriminator(3, 32, **WIDE)
    latents, images = scale * torch.randn(16, 32), scale * torch.randn(16, 3, 32, 32)
    for network, seen in ((generator, latents), (discriminator, images)):
        found = magnitudes(network, seen, label)
        groups = {name: value for name, value in found.items() if "branches" not in name}
        branches = [value for name, value in found.items() if "branches" in name]
        assert len(groups) == 4
        assert len(branches) == 9
        assert max(abs(value - 1) for value in groups.values()) < 0.1, groups
        assert sum(branches) / len(branches) == pytest.approx(1, abs=0.1)


def test_the_gains_are_those_of_their_formulas() -> None:
    x = torch.randn(1_000_000)
    assert active(x).var() == pytest.approx(1, abs=0.01)
    assert nn.functional.leaky_relu(x, SLOPE).var() == pytest.approx(variance_of_leaky(SLOPE), abs=0.005)
    small = torch.stack([Convolution(64, 4)(torch.randn(16, 64, 4, 4)) for _ in range(4)])
    assert small.detach().square().mean() == pytest.approx(1, abs=0.1)  # 0.69 without what the borders lose
    noise = KeptNoise(3)
    nn.init.constant_(noise.noise.strength, 2.0)
    assert noise(torch.randn(100, 3, 32, 32)).detach().square().mean() == pytest.approx(1, abs=0.02)


def test_a_group_of_independent_branches_has_variance_one() -> None:
    class Fresh(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.var() == pytest.approx(1, abs=0.02)  # as each branch is promised
            return torch.randn_like(x)

    assert Group([Fresh() for _ in range(5)], 0.7)(torch.randn(200_000)).var() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("centred", [False, True])
def test_a_normalised_weight_and_its_gradient(centred: bool) -> None:
    """Rows of norm 1, whatever is stored; the gradient is orthogonal to it; what is stored is read as the same."""
    unit, raw = Unit(centred), (5 * torch.randn(6, 4, 3, 3, dtype=torch.float64)).requires_grad_()
    read = unit(raw)
    torch.testing.assert_close(read.flatten(1).norm(dim=1), torch.ones(6, dtype=torch.float64))
    if centred:
        assert read.flatten(1).mean(1).abs().max() < 1e-12
    (gradient,) = torch.autograd.grad((read * torch.randn_like(read)).sum(), raw)
    assert (gradient * raw).flatten(1).sum(1).abs().max() < 1e-12
    torch.testing.assert_close(unit(unit.stored(raw)), read)


def test_penalties_see_the_gain_as_a_number() -> None:
    """The value is g·f and the loss's gradients are those of a product; that of ‖∇D‖² in g is 0, in f it is g²'s."""
    gain, layer = Gain().double(), nn.Linear(3, 1).double()
    nn.init.constant_(gain.gain, 2.5)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    logits = gain(torch.tanh(layer(x)))
    torch.testing.assert_close(logits, 2.5 * torch.tanh(layer(x)))
    (of_gain,) = torch.autograd.grad(logits.sum(), gain.gain, retain_graph=True)
    torch.testing.assert_close(of_gain, torch.tanh(layer(x)).sum())
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    of_gain, of_layer = torch.autograd.grad(slope.square().sum(), (gain.gain, layer.weight), allow_unused=True)
    (plain,) = torch.autograd.grad(torch.tanh(layer(x)).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(plain.square().sum(), layer.weight)
    assert of_gain is None
    torch.testing.assert_close(of_layer, 2.5**2 * expected)


def lengths(folder: Path) -> dict[str, Tensor]:
    """Mean squares of the rows of every normalised weight of both players, as saved."""
    raw = {n: w for n, w in weights(folder).items() if n.startswith("/game") and n.endswith(".original")}
    return {name: weight.flatten(1).square().mean(1) for name, weight in raw.items()}


def test_weights_keep_their_length_by_force_and_a_resumed_run_is_the_same(here: Path) -> None:
    own = (
        "loss=r3gan",
        "schedule=inverse_square_root",
        "schedule.rampup=8",
        "optimizer.lr=0.05",
        "game.critic_steps=2",
    )
    whole = train(*words(*own, model=SMALL["r3gan2"], steps=4)).folder
    halves = train(*words(*own, model=SMALL["r3gan2"], steps=2)).folder
    first = lengths(halves)
    train(f"resume={halves}", "trainer.max_steps=4")
    assert same(weights(whole), weights(halves))
    for found in (first, lengths(halves)):
        assert {name.split("/")[2].split(".")[0] for name in found} == {"generator", "discriminator"}
        for name, squares in found.items():
            torch.testing.assert_close(squares, torch.ones_like(squares), rtol=1e-5, atol=0, msg=name)


def test_they_do_not_pass_for_spectrally_normalised() -> None:
    assert not spectrally_normalised(Discriminator(1, 8, 32, 4, group_width=4))


def test_labels_reach_the_logits_and_class_logits_have_a_gain_of_their_own() -> None:
    images, label = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])
    small = (1, 8, 32, 4, 1, 4)
    for how in (c.Bilinear(3), c.Projection(3), c.ConcatSample(3)):
        network = Discriminator(*small, conditioning=how)
        assert not torch.equal(network(images, label).logits, network(images, label.flip(0)).logits)
    network = Discriminator(*small, conditioning=c.AuxiliaryClassifier(3))
    before = network(images, label)
    nn.init.constant_(network.head.class_gain.gain, 2.0)
    after = network(images, label)
    torch.testing.assert_close(after.class_logits, 2 * before.class_logits)
    torch.testing.assert_close(after.logits, before.logits)


def test_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.group_width=16: 8 inner channels"):
        Generator(4, 1, 16, 64, 4)
    with pytest.raises(ConfigError, match=r"model\.discriminator\.attention=\[5\]"):
        Discriminator(1, 16, 64, 8, attention=[5])


def test_second_derivatives_are_exact() -> None:
    network = Discriminator(1, 8, 32, 4, 1, 4, attention=[4]).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    label = torch.zeros(2, dtype=torch.int64)
    assert torch.autograd.gradgradcheck(lambda x: network(x, label).logits, images)


def test_rates_rise_and_fall() -> None:
    schedule = InverseSquareRoot(reference=100, rampup=10)
    assert [schedule.at(t) for t in (0, 5, 10, 100, 400, 10_000)] == pytest.approx([0, 0.5, 1, 1, 0.5, 0.1])
    assert InverseSquareRoot(100, 0).at(0) == 1
    assert math.isclose(schedule.at(1600) * 4, schedule.at(100))
