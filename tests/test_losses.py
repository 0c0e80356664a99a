"""Each loss against values computed by hand, and the directions that it pushes in."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import tensor

from gan_cli import losses

REAL, FAKE = 2.0, -0.5  # logits


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


CASES = [
    (losses.NonSaturating(), -math.log(sigmoid(REAL)) - math.log(1 - sigmoid(FAKE)), -math.log(sigmoid(FAKE))),
    (losses.Minimax(), -math.log(sigmoid(REAL)) - math.log(1 - sigmoid(FAKE)), math.log(1 - sigmoid(FAKE))),
    (losses.LeastSquares(), 0.5 * (2 - 1) ** 2 + 0.5 * 0.5**2, 0.5 * 1.5**2),
    (losses.Wasserstein(), -0.5 - 2, 0.5),
    (losses.Hinge(), 0 + 0.5, 0.5),
    (losses.RelativisticPairing(), math.log(1 + math.exp(-2.5)), math.log(1 + math.exp(2.5))),
    # With one sample of each kind the mean is the sample, and both parts are equal.
    (losses.RelativisticAverage(), math.log(1 + math.exp(-2.5)), math.log(1 + math.exp(2.5))),
]


@pytest.mark.parametrize(("loss", "discriminator", "generator"), CASES, ids=lambda v: type(v).__name__)
def test_values(loss: losses.Loss, discriminator: float, generator: float) -> None:
    real, fake = tensor([REAL]), tensor([FAKE])
    assert loss.discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-6)
    assert loss.generator(fake, real).item() == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize("loss", [case[0] for case in CASES], ids=lambda v: type(v).__name__)
def test_gradients_push_apart_then_together(loss: losses.Loss) -> None:
    """The discriminator raises real logits and lowers fake ones; the generator raises its own."""
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    at_real, at_fake = torch.autograd.grad(loss.discriminator(real + 0.1, fake + 0.1).sum(), (real, fake))
    (at_own,) = torch.autograd.grad(loss.generator(fake + 0.1, real.detach()).sum(), fake)
    assert (at_real < 0).all()
    assert (at_fake > 0).all()
    assert (at_own < 0).all()


@pytest.mark.parametrize("loss", [case[0] for case in CASES], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 1, 4, 4)])
def test_any_shape_of_logits(loss: losses.Loss, shape: tuple[int, ...]) -> None:
    real, fake = torch.randn(shape), torch.randn(shape)
    assert loss.discriminator(real, fake).shape == shape
    assert loss.generator(fake, real).shape == shape


def test_saturation_is_what_tells_minimax_from_nonsaturating() -> None:
    """For a fake that D recognises (logit -10) minimax has no gradient left; the other loss has all of it."""
    fake = tensor([-10.0], requires_grad=True)
    (saturated,) = torch.autograd.grad(losses.Minimax().generator(fake).sum(), fake)
    (alive,) = torch.autograd.grad(losses.NonSaturating().generator(fake).sum(), fake)
    assert saturated.abs().item() < 1e-4
    assert alive.item() == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize(("real_label", "fake_label"), [(0.9, 0.0), (0.9, 0.1)])
def test_label_smoothing_moves_the_optimum(real_label: float, fake_label: float) -> None:
    """The discriminator's loss is least where σ(logit) equals the label."""
    loss = losses.NonSaturating(real_label, fake_label)
    best_real = torch.logit(tensor([real_label])).requires_grad_()
    other = tensor([0.3])
    (slope,) = torch.autograd.grad(loss.discriminator(best_real, other).sum(), best_real)
    assert slope.abs().item() < 1e-6
    if fake_label > 0:
        best_fake = torch.logit(tensor([fake_label])).requires_grad_()
        (slope,) = torch.autograd.grad(loss.discriminator(other, best_fake).sum(), best_fake)
        assert slope.abs().item() < 1e-6


def test_losses_are_finite_for_extreme_logits() -> None:
    far = tensor([-1e4, 1e4])
    for loss in (losses.NonSaturating(), losses.Minimax()):
        assert loss.discriminator(far, far).isfinite().all()
        assert loss.generator(far).isfinite().all()


def test_score_is_a_probability_where_the_loss_has_one() -> None:
    assert losses.NonSaturating().score(tensor([0.0])).item() == 0.5
    assert losses.Wasserstein().score(tensor([3.0])).item() == 3.0


@pytest.mark.parametrize("loss", [losses.RelativisticPairing(), losses.RelativisticAverage()])
def test_relativistic_losses_see_differences_only(loss: losses.Loss) -> None:
    real, fake = torch.randn(6), torch.randn(6)
    for shift in (3.0, -7.0):
        torch.testing.assert_close(loss.discriminator(real + shift, fake + shift), loss.discriminator(real, fake))
        torch.testing.assert_close(loss.generator(fake + shift, real + shift), loss.generator(fake, real))
    assert loss.needs_real_logits
    with pytest.raises(ValueError, match="real logits"):
        loss.generator(fake)


def test_pairing_compares_row_by_row_and_average_with_the_mean() -> None:
    real, fake = tensor([1.0, 3.0]), tensor([0.0, 2.0])
    paired = losses.RelativisticPairing().discriminator(real, fake)
    torch.testing.assert_close(paired, torch.full((2,), math.log(1 + math.exp(-1))))
    averaged = losses.RelativisticAverage().discriminator(real, fake)
    expected = [0.5 * (-math.log(sigmoid(r - 1)) - math.log(1 - sigmoid(f - 2))) for r, f in ((1, 0), (3, 2))]
    torch.testing.assert_close(averaged, tensor(expected))


def test_feature_matching_leaves_the_generator_to_its_auxiliary() -> None:
    real, fake = torch.randn(4), torch.randn(4)
    assert losses.FeatureMatching().generator(fake).tolist() == [0, 0, 0, 0]
    plain = losses.NonSaturating().discriminator(real, fake)
    assert torch.equal(losses.FeatureMatching().discriminator(real, fake), plain)


def test_the_generators_target_is_its_own() -> None:
    fake = torch.randn(6)
    loss = losses.NonSaturating(real_label=0.9, generator_label=0.8)
    expected = F.binary_cross_entropy_with_logits(fake, torch.full((6,), 0.8), reduction="none")
    torch.testing.assert_close(loss.generator(fake), expected)
    assert torch.equal(losses.NonSaturating(real_label=0.9).generator(fake), F.softplus(-fake))
