"""Penalties of a linear discriminator D(x) = w·x, whose gradient is w everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gan_cli.augment.packing import Packing
from gan_cli.networks.equalised import equalised
from gan_cli.penalties import (
    R1,
    R2,
    Classification,
    Consistency,
    Dragan,
    Drift,
    GradientPenalty,
    LeCam,
    OneSidedGradientPenalty,
    Orthogonal,
    WeightClipping,
)
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
    real, fake = torch.randn(6, *shape).requires_grad_(), torch.randn(6, *shape).requires_grad_()
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


@pytest.mark.parametrize("shape", SHAPES)
def test_r2_is_r1_on_fakes(shape: tuple[int, ...]) -> None:
    w = torch.randn(numel(shape))
    torch.testing.assert_close(R2()(play(Linear(w), shape)), (0.5 * w.square().sum()).expand(6))


class Columns(nn.Module):
    """Two linear discriminators of slopes w and 2 w."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        logits = samples.flatten(1) @ self.w
        return DiscriminatorOutput(torch.stack([logits, 2 * logits], 1))


def test_each_of_several_discriminators_pays_for_its_own_slope() -> None:
    w = nn.functional.normalize(torch.randn(2), dim=0)
    round = play(Columns(w), (2,))
    costs = torch.tensor([0.0, 1.0]).repeat_interleave(6)  # (1 - 1)² and (2 - 1)²
    torch.testing.assert_close(GradientPenalty()(round), costs, atol=1e-5, rtol=0)
    torch.testing.assert_close(R1()(round), torch.tensor([0.5, 2.0]).repeat_interleave(6))
    torch.testing.assert_close(R2()(round), R1()(round))


@pytest.mark.parametrize("samples", [6, 7])
def test_the_slope_of_a_pack_runs_over_all_of_its_samples(samples: int) -> None:
    """D of two samples joined has the gradient (w, w'), whose squared length is that of both."""
    w = torch.randn(4)
    real = torch.randn(samples, 2).requires_grad_()
    packs = Packing(2)(real)
    round = replace(play(Linear(w), (4,)), real=real, real_output=Linear(w)(packs, torch.zeros(3)))
    torch.testing.assert_close(R1()(round), (0.5 * w.square().sum()).expand(3))


@pytest.mark.parametrize("slope", [0.3, 1.0, 2.5])
def test_one_sided_penalty_leaves_gentle_slopes_alone(slope: float) -> None:
    values = OneSidedGradientPenalty()(play(Linear(torch.tensor([0.6 * slope, 0.8 * slope])), (2,)))
    torch.testing.assert_close(values, torch.full((6,), max(0.0, slope - 1) ** 2))


def test_dragan_measures_around_the_data_only() -> None:
    """Offsets ε·½σ·u: of a sample up to a reach ε of its own, ε and u uniform."""
    recorder = Recorder()
    round = play(recorder, (3, 20, 20))
    Dragan(spread=0.5)(round)
    away = (recorder.asked - round.batch.real).flatten(1) / (0.5 * round.batch.real.std(correction=0))
    reach = away.max(1).values
    assert ((away >= 0) & (away <= 1)).all()
    assert reach.std() > 0.1
    torch.testing.assert_close(away.mean(1), reach / 2, rtol=0.1, atol=0)


def test_drift_is_the_squared_logit_of_real_samples() -> None:
    round = play(Linear(torch.tensor([2.0, -1.0])), (2,))
    torch.testing.assert_close(Drift()(round), (round.batch.real @ torch.tensor([2.0, -1.0])).square())


def test_lecam_pulls_each_kind_to_the_average_of_the_other() -> None:
    """With constant logits a and b the averages are (1 - decayⁿ) a and (1 - decayⁿ) b after n updates."""
    term, real, fake = LeCam(decay=0.5), torch.full((6,), 2.0), torch.full((6,), -1.0)
    round = play(Linear(torch.zeros(2)), (2,))
    round = replace(round, real_output=DiscriminatorOutput(real), fake_output=DiscriminatorOutput(fake))
    for n in (1, 2, 3):
        share = 1 - 0.5**n
        expected = (2 - share * -1) ** 2 + (-1 - share * 2) ** 2
        torch.testing.assert_close(term(replace(round, update=n)), torch.full((6,), expected))
    assert set(term.state_dict()) == {"anchor_real", "anchor_fake"}


class MeanPixel(nn.Module):
    """The same for every mirrored image, and for every shifted one whose border is black."""

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples.flatten(1).mean(1))


def test_consistency_is_zero_for_an_invariant_discriminator_and_counts_fakes_when_asked() -> None:
    round = play(MeanPixel(), (1, 16, 16))
    assert Consistency(shift=0.0)(round).abs().max().item() < 1e-12
    framed = torch.full((6, 1, 16, 16), -1.0)
    framed[:, :, 4:12, 4:12] = torch.randn(6, 1, 8, 8)
    inside = replace(round, batch=Batch(round.batch.label, framed), fake=framed)
    on_framed = MeanPixel()(framed, round.batch.label)
    inside = replace(inside, real_output=on_framed, fake_output=on_framed)
    assert Consistency(shift=0.125)(inside).abs().max().item() < 1e-10
    # a discriminator that sees one corner pixel does change, and the term for fakes doubles the expectation
    real_only, both = Consistency(fakes=0.0), Consistency(fakes=1.0)
    corner = play(Corner(), (1, 16, 16))
    assert real_only(corner).mean().item() > 0.1
    assert both(corner).mean().item() > real_only(corner).mean().item()


class Corner(nn.Module):
    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples[:, 0, 0, 0])


def test_orthogonal_rows_cost_nothing_whatever_their_length() -> None:
    player = nn.Sequential(nn.Linear(4, 3), nn.Conv2d(2, 2, 2))
    round = replace(play(Linear(torch.zeros(2)), (2,)), player=player)
    with torch.no_grad():
        player[0].weight.copy_(torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))[:3])
        player[1].weight.copy_(torch.eye(8)[:2].view(2, 2, 2, 2))
    assert Orthogonal()(round).item() == 0
    with torch.no_grad():
        player[0].weight[1, 0] = 0.5  # rows 0 and 1 now have the inner product 0.5, which counts twice
    assert Orthogonal()(round).item() == pytest.approx(2 * 0.5**2)


def test_orthogonal_rows_are_those_of_what_a_layer_computes_with() -> None:
    """Output channels of a transposed convolution; the equalised weight; and no biases or tables."""
    player = nn.Sequential(nn.ConvTranspose2d(1, 2, 2), equalised(nn.Linear(4, 2)), nn.Embedding(3, 3))
    player[0].register_parameter("map", nn.Parameter(torch.ones(5, 1, 1)))
    round = replace(play(Linear(torch.zeros(2)), (2,)), player=player)
    with torch.no_grad():
        player[0].weight.copy_(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2))  # inner product 4 · 1 · 2
        player[1].parametrizations.weight.original.copy_(torch.tensor([[2.0, 0, 0, 0], [2.0, 0, 0, 0]]))  # halved
    assert Orthogonal()(round).item() == pytest.approx(2 * 8**2 + 2 * 1**2)


def test_classification_is_cross_entropy_on_real_and_fake() -> None:
    round = play(Linear(torch.zeros(2)), (2,))
    even = DiscriminatorOutput(torch.zeros(6), torch.zeros(6, 10))
    sure = DiscriminatorOutput(torch.zeros(6), 50 * torch.eye(10)[torch.zeros(6, dtype=torch.int64)])
    doubt = torch.log(torch.tensor(10.0))
    for real, fake, fakes, expected in ((even, even, 1.0, 2 * doubt), (even, sure, 1.0, doubt), (sure, even, 0.0, 0.0)):
        values = Classification(fakes=fakes)(replace(round, real_output=real, fake_output=fake))
        torch.testing.assert_close(values, torch.as_tensor(expected).expand(6), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "term", [R1(), R2(), GradientPenalty(), OneSidedGradientPenalty(), Dragan()], ids=lambda t: type(t).__name__
)
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
    """Remembers where it was evaluated."""

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        self.asked = samples
        return DiscriminatorOutput(samples.flatten(1).sum(1))


def test_interpolates_lie_between_real_and_fake_with_one_factor_per_sample() -> None:
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


def test_clipping_an_equalised_layer_clips_what_it_computes_with() -> None:
    layer = equalised(nn.Linear(16, 8), gain=2.0, lr_multiplier=0.1)
    before = layer.weight.detach().clone()
    assert before.abs().max() > 0.2
    WeightClipping(bound=0.2).project(layer)
    torch.testing.assert_close(layer.weight.detach(), before.clamp(-0.2, 0.2))
