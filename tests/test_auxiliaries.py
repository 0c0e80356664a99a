"""What the generator pays besides its loss, for generators and discriminators with known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gan_cli import rng
from gan_cli.auxiliaries import L1, Classification, FeatureMatching, ModeSeeking, PathLength, TopK, Vote
from gan_cli.errors import Incompatible
from gan_cli.types import Batch, Clock, DiscriminatorOutput, Round

LABEL = torch.zeros(8, dtype=torch.int64)


class Scale(nn.Module):
    """G(z) = a z, as images of one row."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = a

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return (self.a * latent).view(len(latent), 1, 1, -1)


def play(generator: nn.Module, logits: Tensor | None = None) -> Round:
    latent = torch.randn(8, 5).requires_grad_()
    fake = generator(latent, LABEL)
    real = torch.randn_like(fake)
    output = DiscriminatorOutput(torch.zeros(8) if logits is None else logits)

    def judge(samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        return output

    return Round(Batch(LABEL, real), latent, real, fake, output, output, judge, generator, generator, 0)


@pytest.mark.parametrize("a", [0.5, 2.0])
def test_mode_seeking_of_a_linear_generator_is_the_inverse_of_its_scale(a: float) -> None:
    torch.testing.assert_close(ModeSeeking()(play(Scale(a))), torch.full((8,), 1 / a), rtol=1e-3, atol=0)


def test_mode_seeking_is_large_for_a_collapsed_generator() -> None:
    assert ModeSeeking()(play(Scale(0.0))).min().item() > 1e3


def test_path_length_of_a_linear_generator() -> None:
    """Jᵀy = a y, with y ~ N(0, I / places): the mean of the squared length is a² · values / places = a²."""
    torch.manual_seed(0)
    term, a = PathLength(decay=1.0), 3.0
    lengths = [(term(replace(play(Scale(a)), update=n)), float(term.mean))[1] for n in range(300)]
    # E‖y‖ of 5 normals of variance 1/5: √(2/5) Γ(3)/Γ(5/2)
    expected = a * (2 / 5) ** 0.5 * 2 / (0.75 * torch.pi**0.5)
    assert sum(lengths) / len(lengths) == pytest.approx(expected, rel=0.02)
    # the moving mean starts at 0 and forgets at the given pace
    slow = PathLength(decay=0.25)
    value = slow(play(Scale(a)))
    assert value.shape == (8,)
    assert 0 < float(slow.mean) < 0.5 * expected


def test_the_mean_path_length_moves_once_an_update_in_however_many_parts() -> None:
    """After parts with the mean lengths l₁, l₂, ... it is decay · their mean; a step later it goes on from there."""
    torch.manual_seed(0)
    parts, each = [play(Scale(a)) for a in (1.0, 2.0, 6.0)], []
    term = PathLength(decay=0.25)
    for part in parts:
        alone = PathLength(decay=1.0)
        with rng.kept(torch.device("cpu")):
            alone(part)
        each.append(float(alone.mean))
        term(part)
        assert float(term.mean) == pytest.approx(0.25 * sum(each) / len(each), rel=1e-5)
    before = float(term.mean)
    term.advance(Clock(1))
    with rng.kept(torch.device("cpu")):
        alone(replace(parts[0], update=9))
    term(parts[0])  # another step, whose update has the same number: of weights from another run, say
    assert float(term.mean) == pytest.approx(0.75 * before + 0.25 * float(alone.mean), rel=1e-5)


def test_feature_matching_compares_means_only() -> None:
    round = play(Scale(1.0))
    features = torch.randn(8, 3)
    shuffled = DiscriminatorOutput(torch.zeros(8), None, (features[torch.randperm(8)],))
    plain = DiscriminatorOutput(torch.zeros(8), None, (features,))
    same = replace(round, real_output=plain, fake_output=shuffled)
    assert FeatureMatching()(same).item() < 1e-12
    moved = DiscriminatorOutput(torch.zeros(8), None, (features + 2.0,))
    assert FeatureMatching()(replace(round, real_output=plain, fake_output=moved)).item() == pytest.approx(4, rel=1e-5)


def test_classification_wants_the_requested_label() -> None:
    asked = replace(play(Scale(1.0)), fake_output=DiscriminatorOutput(torch.zeros(8), 20 * torch.eye(4)[LABEL]))
    assert Classification()(asked).max().item() < 1e-6
    other = replace(asked, batch=Batch(LABEL + 1, asked.batch.real))
    assert Classification()(other).min().item() == pytest.approx(20, rel=1e-3)


def test_l1_is_the_mean_distance_per_value() -> None:
    round = play(Scale(1.0))
    far = replace(round, batch=Batch(LABEL, round.fake.detach() + 0.25))
    torch.testing.assert_close(L1()(far), torch.full((8,), 0.25))


def test_top_k_counts_the_best_and_keeps_the_mean_weight() -> None:
    logits = torch.tensor([3.0, -1.0, 0.0, 7.0, 2.0, -5.0, 1.0, 4.0])
    term = TopK(decay=0.5, images=100, smallest=0.25)
    round, values = play(Scale(1.0), logits), torch.ones(8)
    assert torch.equal(term(values, round), torch.ones(8))
    for images, kept in ((100, {0, 3, 4, 7}), (250, {3, 7}), (10_000, {3, 7})):
        term.advance(Clock(images=images))
        factors = term(values, round)
        assert set(factors.nonzero().flatten().tolist()) == kept
        assert factors.mean().item() == pytest.approx(1)


def test_votes_go_from_the_mean_to_the_severest() -> None:
    values = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    assert torch.equal(Vote(sharpness=0.0)(values, play(Scale(1.0))), torch.ones(2, 2))
    sharp = values * Vote(sharpness=50.0)(values, play(Scale(1.0)))
    assert sharp.mean().item() == pytest.approx(3)
    soft = Vote(sharpness=1.0)(values, play(Scale(1.0)))
    torch.testing.assert_close(soft[0], 2 * torch.tensor([1.0, 3.0]).softmax(0))


def test_feature_matching_of_chosen_layers() -> None:
    real, fake = (tuple(torch.randn(8, width) for width in (3, 5, 2)) for _ in range(2))
    current = replace(
        play(Scale(1.0)),
        real_output=DiscriminatorOutput(torch.zeros(8), features=real),
        fake_output=DiscriminatorOutput(torch.zeros(8), features=fake),
    )
    each = [(r.mean(0) - f.mean(0)).square().mean() for r, f in zip(real, fake, strict=True)]
    torch.testing.assert_close(FeatureMatching(layers=[-1])(current), each[2])
    torch.testing.assert_close(FeatureMatching(layers=[0, 2])(current), each[0] + each[2])
    torch.testing.assert_close(FeatureMatching()(current), each[0] + each[1] + each[2])


def test_a_layer_that_the_discriminator_lacks_is_refused_before_the_first_step() -> None:
    with pytest.raises(Incompatible, match=r"layers=\[3\], and this discriminator has 3\n  choose from 0 to 2"):
        FeatureMatching(layers=[3]).reads(DiscriminatorOutput(torch.zeros(2), features=(torch.zeros(2, 1),) * 3))
