"""The two-player game: phases, what terms read, and what is refused."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from gan_cli.games.adversarial import Adversarial
from gan_cli.losses import Hinge, Loss, NonSaturating, Wasserstein
from gan_cli.networks import dcgan, mlp
from gan_cli.penalties import R1, GradientPenalty, WeightClipping
from gan_cli.priors import Normal, Uniform
from gan_cli.types import Augment, Batch, Incompatible, Round, Term


def points(loss: Loss | None = None, **parts: object) -> Adversarial:
    """A small game on points."""
    generator, discriminator = mlp.Generator(4, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    return Adversarial(generator, discriminator, loss or NonSaturating(), Normal(4), **parts)  # type: ignore[arg-type]


def batch(n: int = 6) -> Batch:
    return Batch(torch.zeros(n, dtype=torch.int64), torch.randn(n, 2))


def test_discriminator_first_then_generator() -> None:
    phases = points(critic_steps=5).phases()
    assert [(p.player, p.runs, p.shown) for p in phases] == [("discriminator", 5, True), ("generator", 1, False)]


def test_terms_are_weighted_and_named() -> None:
    game = points(penalties={"r1": R1(weight=2.0)})
    outcome = game.discriminator_objective(batch(), 0)
    assert set(outcome.terms) == {"loss", "r1"}
    assert set(outcome.readings) == {"D(real)", "D(fake)"}
    twice = points(penalties={"r1": R1(weight=4.0)})
    twice.load_state_dict(game.state_dict())
    same = batch()
    torch.testing.assert_close(
        twice.discriminator_objective(same, 0).terms["r1"], 2 * game.discriminator_objective(same, 0).terms["r1"]
    )


def test_lazy_terms_apply_at_every_interval_scaled_by_it() -> None:
    game, lazy = points(penalties={"r1": R1()}), points(penalties={"r1": R1(interval=4)})
    lazy.load_state_dict(game.state_dict())
    same = batch()
    assert [u for u in range(9) if "r1" in lazy.discriminator_objective(same, u).terms] == [0, 4, 8]
    torch.testing.assert_close(
        lazy.discriminator_objective(same, 4).terms["r1"], 4 * game.discriminator_objective(same, 4).terms["r1"]
    )


def test_the_discriminators_objective_sends_nothing_to_the_generator() -> None:
    game = points(penalties={"gradient_penalty": GradientPenalty(), "r1": R1()})
    sum(game.discriminator_objective(batch(), 0).terms.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None for p in game.generator.parameters())
    assert all(p.grad is not None for p in game.discriminator.parameters())


class Reader(Term):
    """A term of a user's own, which records what it may read."""

    def __init__(self, *needs: str) -> None:
        super().__init__()
        self.needs = frozenset(needs)

    def forward(self, round: Round) -> Tensor:
        self.round = round
        return torch.zeros(len(round.batch))


def test_needs_decide_what_carries_a_gradient() -> None:
    reader = Reader("fake_grad")
    points(penalties={"reader": reader}).discriminator_objective(batch(), 0)
    assert reader.round.real is not None
    assert (reader.round.real.requires_grad, reader.round.fake.requires_grad) == (False, True)


def test_auxiliaries_join_the_generators_objective() -> None:
    reader = Reader("real_output")
    outcome = points(auxiliaries={"reader": reader}).generator_objective(batch(), 0)
    assert set(outcome.terms) == {"loss", "reader"}
    assert reader.round.real_output is not None
    without = Reader()
    points(auxiliaries={"reader": without}).generator_objective(batch(), 0)
    assert without.round.real_output is None


class Halve(Augment):
    def forward(self, samples: Tensor) -> Tensor:
        return samples / 2


def test_augmentations_stand_before_the_discriminator_in_order() -> None:
    game = points(augments={"a": Halve(), "b": Halve()})
    x, y = torch.randn(3, 2), torch.zeros(3, dtype=torch.int64)
    torch.testing.assert_close(game.judge(x, y).logits, game.discriminator(x / 4, y).logits)


def test_projections_are_no_terms() -> None:
    game = points(Wasserstein(), penalties={"weight_clipping": WeightClipping(0.05)})
    assert set(game.discriminator_objective(batch(), 0).terms) == {"loss"}
    game.phases()[0].project()
    assert max(p.abs().max().item() for p in game.discriminator.parameters()) == pytest.approx(0.05)
    game.phases()[1].project()


def images(norm: str, *penalties: Term, spectral: bool = False, loss: Loss | None = None) -> Adversarial:
    generator = dcgan.Generator(4, 1, 16, width=2)
    discriminator = dcgan.Discriminator(1, 16, width=2, norm=norm, spectral_norm=spectral)
    named = {type(p).__name__: p for p in penalties}
    return Adversarial(generator, discriminator, loss or Hinge(), Normal(4), named)


def test_gradient_penalty_with_batch_norm_is_refused_with_the_remedy() -> None:
    with pytest.raises(Incompatible, match=r"BatchNorm2d.*model\.discriminator\.norm=layer"):
        images("batch", GradientPenalty())
    for norm in ("layer", "instance", "none"):
        images(norm, GradientPenalty())


def test_wasserstein_without_a_bounded_slope_warns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "gan_cli")
    logging.getLogger("gan_cli").propagate = True
    images("none", loss=Wasserstein())
    assert "gradient_penalty" in caplog.text
    caplog.clear()
    images("none", GradientPenalty(), loss=Wasserstein())
    images("none", loss=Wasserstein(), spectral=True)
    points(Wasserstein(), penalties={"clip": WeightClipping()})
    images("none", loss=Hinge())
    assert caplog.text == ""


def test_priors() -> None:
    many = Batch(torch.zeros(20_000, dtype=torch.int64))
    z = Normal(3)(many)
    assert z.shape == (20_000, 3)
    assert z.mean().abs().item() < 0.02
    assert z.std().item() == pytest.approx(1, abs=0.02)
    u = Uniform(3)(many)
    assert u.abs().max().item() <= 1
    assert u.var().item() == pytest.approx(1 / 3, abs=0.01)
