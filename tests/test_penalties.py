"""Penalties of a linear discriminator D(x) = w·x, whose gradient is w everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_cli.penalties import R1, GradientPenalty, WeightClipping
from gan_cli.types import Batch, DiscriminatorOutput, Round, Term

SHAPES = [(2,), (3, 4, 4)]


class Linear(nn.Module):
    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples.flatten(1) @ self.w)


def play(discriminator: nn.Module, shape: tuple[int, ...]) -> Round:
    label = torch.zeros(6, dtype=torch.int64)
    real, fake = torch.randn(6, *shape).requires_grad_(), torch.randn(6, *shape)
    batch = Batch(label, real.detach())
    on_real, on_fake = discriminator(real, label), discriminator(fake, label)
    generate = nn.Linear(2, 1)
    return Round(batch, torch.randn(6, 2), real, fake, on_real, on_fake, discriminator, generate, discriminator, 0)


def numel(shape: tuple[int, ...]) -> int:
    return int(torch.tensor(shape).prod())


@pytest.mark.parametrize("shape", SHAPES)
def test_r1_of_a_linear_discriminator(shape: tuple[int, ...]) -> None:
    """γ/2 ‖w‖², the same for every sample; over all values of a sample, not by channel."""
    w = torch.randn(numel(shape))
    term = R1(weight=3.0)
    values = term(play(Linear(w), shape))
    torch.testing.assert_close(term.weight * values, (3.0 / 2 * w.square().sum()).expand(6))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_penalty_of_a_linear_discriminator(shape: tuple[int, ...]) -> None:
    w = torch.randn(numel(shape))
    values = GradientPenalty()(play(Linear(w), shape))
    torch.testing.assert_close(values, (w.norm() - 1).square().expand(6))


@pytest.mark.parametrize("term", [R1(), GradientPenalty()], ids=lambda t: type(t).__name__)
def test_their_gradient_shrinks_the_slope(term: Term) -> None:
    """The penalties are differentiable once more: their gradient with respect to w points along w when ‖w‖ > 1."""
    w = torch.tensor([3.0, 4.0])
    discriminator = Linear(w)
    (gradient,) = torch.autograd.grad(term(play(discriminator, (2,))).mean(), discriminator.w)
    assert torch.nn.functional.cosine_similarity(gradient, w, dim=0).item() == pytest.approx(1)


def test_gradient_penalty_is_finite_where_the_slope_is_zero() -> None:
    discriminator = Linear(torch.zeros(2))
    (gradient,) = torch.autograd.grad(GradientPenalty()(play(discriminator, (2,))).mean(), discriminator.w)
    assert gradient.isfinite().all()


class Recorder(nn.Module):
    """Remembers where it was asked."""

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        self.asked = samples
        return DiscriminatorOutput(samples.flatten(1).sum(1))


def test_interpolates_lie_between_real_and_fake_with_one_factor_a_sample() -> None:
    recorder = Recorder()
    round = play(recorder, (3, 4, 4))
    GradientPenalty()(round)
    factors = (recorder.asked - round.fake) / (round.batch.real - round.fake)
    flat = factors.detach().flatten(1)
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat), atol=1e-3, rtol=1e-3)
    assert len(set(flat[:, 0].tolist())) == 6
    assert ((flat[:, 0] > 0) & (flat[:, 0] < 1)).all()


def test_clipping_clips_every_weight() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = [p.clone() for p in network.parameters()]
    WeightClipping(bound=0.1).project(network)
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old.clamp(-0.1, 0.1))
